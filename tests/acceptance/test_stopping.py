"""SIGTERM: requests in progress finish within a time limit, nothing is half done, and new requests are
rejected.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.acceptance.service import Service, earn_bulk, make_badge, query, running
from tests.acceptance.test_crashes import AT_WORK

CUSTOMERS = 100_000
CALLERS = 3
STOPPED_S_MAX = 40.0
"""Much more than it takes, and less than it would be with a call that waits for something else."""
LEDGER = (
    "select r.request_id, count(e.customer_id) from request r left join earned_badge e using (request_key)"
    " where r.request_id like 'last-%' group by 1"
)
HOLD = "select pg_advisory_lock(1, badge_key), pg_sleep(6) from badge where badge_id = $1"
WAITING = "select count(*) from pg_stat_activity where wait_event = $1"


def test_calls_in_flight_are_answered_and_durable(
    home: Path, record_property: Callable[[str, object], None]
) -> None:
    """Large requests on every worker, and small ones until the server stops listening."""
    with running(Service(home, workers=2)) as service, ThreadPoolExecutor(CALLERS + 1) as pool:
        shown = service.first_credential()
        auth = (shown["username"], shown["secret"])
        with service.client(*auth) as client:
            badge_id = make_badge(client)

        def call(number: int, size: int) -> httpx.Response:
            audience = range(number * CUSTOMERS, number * CUSTOMERS + size)
            with service.client(*auth) as client:
                return earn_bulk(client, badge_id, audience, requestId=f"last-{number}")

        def knock() -> dict[str, httpx.Response | None]:
            """Small calls, each on a connection of its own; None is one that was broken off or refused."""
            answers: dict[str, httpx.Response | None] = {}
            for number in range(100, 100_000):
                try:
                    answers[f"last-{number}"] = call(number, 1)
                except httpx.ConnectError:
                    return answers
                except httpx.TransportError:
                    answers[f"last-{number}"] = None
            raise AssertionError("it still listens")

        large = {f"last-{number}": pool.submit(call, number, CUSTOMERS) for number in range(1, CALLERS + 1)}
        while query(service.database_url, AT_WORK) < [(2,)]:
            assert not all(calling.done() for calling in large.values())
        knocking = pool.submit(knock)
        started = time.monotonic()
        assert service.stop() == 0
        record_property("stopped with calls in flight", f"{time.monotonic() - started:.1f} s")
        answers = {**{name: _response(calling) for name, calling in large.items()}, **knocking.result()}
        with pytest.raises(httpx.ConnectError):
            call(99, 1)

        service.start()
        kept = dict(query(service.database_url, LEDGER))
        tally: Counter[str] = Counter()
        with service.client(*auth) as client:
            for name, answer in answers.items():
                tally[_outcome(client, name, answer, kept.get(name), CUSTOMERS if name in large else 1)] += 1
        record_property("calls while it was asked to stop", dict(tally))
        assert tally["large answered"] >= 2, "what had begun was finished"


def _response(calling: Future[httpx.Response]) -> httpx.Response | None:
    """None where the connection was refused or broken off."""
    try:
        return calling.result()
    except httpx.TransportError:
        return None


def _outcome(
    client: httpx.Client, name: str, answer: httpx.Response | None, kept: int | None, size: int
) -> str:
    """Return the outcome. Acknowledged requests are stored; others are stored completely or not at all."""
    told = client.get("/requests", params={"requestId": name})
    word = "small" if size == 1 else "large"
    assert kept in (None, size), f"{name} is half there: {kept}"
    assert told.status_code == (404 if kept is None else 200)
    if answer is None:
        return f"{word} {'without effect' if kept is None else 'broken off and kept'}"
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == told.json()["data"]
    return f"{word} answered"


def test_call_that_does_not_finish_in_time_is_broken_off_and_leaves_nothing(
    home: Path, database_url: str, record_property: Callable[[str, object], None]
) -> None:
    settings = {"DATABASE_URL": database_url, "SHUTDOWN_TIMEOUT_S": "2", "LOCK_TIMEOUT_S": "60"}
    service = Service(home, settings=settings)
    made = service.make_org(f"stopping-{time.time_ns()}")
    with running(service), ThreadPoolExecutor(2) as pool:
        with service.client(made["username"], made["secret"]) as client:
            badge_id = make_badge(client)
            holder = pool.submit(query, database_url, HOLD, badge_id)
            _await_waiting(database_url, "PgSleep")
            calling = pool.submit(earn_bulk, client, badge_id, [1], requestId="stuck")
            _await_waiting(database_url, "advisory")
            started = time.monotonic()
            assert service.stop() == 0
            stopped_s = time.monotonic() - started
            record_property("stopped with a call that hangs, bound 2 s", f"{stopped_s:.1f} s")
            assert _response(calling) is None
        assert stopped_s >= 2
        holder.result()
        service.start()
        with service.client(made["username"], made["secret"]) as client:
            assert earn_bulk(client, badge_id, [1], requestId="stuck").status_code == 200


def _await_waiting(url: str, event: str) -> None:
    """Wait until a connection of the server waits for this event."""
    while query(url, WAITING, event) == [(0,)]:
        time.sleep(0.05)
