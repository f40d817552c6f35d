"""A caller who does not hear the answer sends the same call with the same Idempotency-Key, and learns what became of it."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.acceptance.service import Service, make_badge, query, running
from tests.support import earn_bulk_body

SEED = 20231103
CUSTOMERS = 10_000
MOMENTS = 6
"""Fewer than would make the service give up on its workers."""
LEARN_S_MAX = 30.0
ISSUED = (
    "select count(*), count(distinct e.customer_id), count(distinct e.request_key)"
    " from badge b join earned_badge e using (badge_key) where b.badge_id = $1"
)


def call(client: httpx.Client, body: Any, key: str, **options: Any) -> httpx.Response | None:
    """The answer, or None where it was not heard."""
    try:
        return client.post("/customer/earnBulk", json=body, headers={"Idempotency-Key": key}, **options)
    except httpx.TransportError:
        return None


def learn(client: httpx.Client, body: Any, key: str) -> httpx.Response:
    """The answer, sooner or later: the same call again and again, as the answers so far say."""
    deadline = time.monotonic() + LEARN_S_MAX
    while True:
        answer = call(client, body, key)
        if answer is not None and answer.status_code not in (409, 503):
            assert answer.status_code == 200, answer.text
            return answer
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def require_once(client: httpx.Client, url: str, badge_id: str, body: Any, key: str) -> bool:
    """One set of issuances, and one answer however often it is asked for. Whether the first one learnt was a replay."""
    answer = learn(client, body, key)
    assert answer.json()["data"]["earnedCount"] == CUSTOMERS
    assert query(url, ISSUED, badge_id) == [(CUSTOMERS, CUSTOMERS, 1)]
    again = learn(client, body, key)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (answer.content, "true")
    return "Idempotent-Replayed" in answer.headers


def test_client_that_disconnects_gets_the_response_with_a_retry(
    service: Service, client: httpx.Client
) -> None:
    badge_id, key = make_badge(client), secrets.token_hex(8)
    body = earn_bulk_body(badge_id, list(range(1, CUSTOMERS + 1)))
    assert call(client, body, key, timeout=httpx.Timeout(30, read=0.005)) is None
    require_once(client, service.database_url, badge_id, body, key)


def test_workers_killed_at_any_moment_of_a_call_leave_one_outcome_and_it_is_learnt(
    home: Path, database_url: str, record_property: Callable[[str, object], None]
) -> None:
    chance, tally = random.Random(SEED), Counter[str]()
    service = Service(home, workers=1, settings={"DATABASE_URL": database_url})
    credential = service.make_org(f"replayed-{time.time_ns()}")
    with running(service), service.client(credential["username"], credential["secret"]) as client:
        usual_s = _usual_s(client)
        for number in range(MOMENTS):
            badge_id, key = make_badge(client), secrets.token_hex(8)
            body = earn_bulk_body(badge_id, list(range(1, CUSTOMERS + 1)))
            with ThreadPoolExecutor(1) as pool:
                calling = pool.submit(call, client, body, key)
                time.sleep((number + chance.random()) / MOMENTS * 1.3 * usual_s)
                _kill(service.workers)
                heard = calling.result()
            was_replay = require_once(client, database_url, badge_id, body, key)
            assert was_replay or heard is None, "what was answered is kept"
            tally["answered" if heard else "kept, not answered" if was_replay else "not kept"] += 1
            service.wait_ready()
    assert tally["not kept"] > 0, "every kill came too late, so that nothing was tested"
    record_property("worker killed during a call with a key", dict(tally))


def _usual_s(client: httpx.Client) -> float:
    """Return the duration of a normal request: the second one, because the first verifies credentials."""
    took_s = 0.0
    for _ in range(2):
        body = earn_bulk_body(make_badge(client), list(range(1, CUSTOMERS + 1)))
        started = time.perf_counter()
        assert learn(client, body, secrets.token_hex(8)).status_code == 200
        took_s = time.perf_counter() - started
    return took_s


def _kill(workers: list[psutil.Process]) -> None:
    for worker in workers:
        worker.kill()
