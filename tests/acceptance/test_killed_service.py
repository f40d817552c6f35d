"""kill -9 at any moment of a call: all of its issuances are there with its request id, or none of them and no id."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
from msgspec import Struct

from tests.acceptance.service import Service, earn_bulk, make_badge, query, running

SEED = 20231103
CUSTOMERS = 10_000
LATEST = 1.3
"""Moments are drawn from the beginning of a call to this many times its usual duration,"""
PARTS = 4
"""one after the other from the first, second, … part of that time, so that each gets its share."""
MOMENTS, MOMENTS_MAX = int(os.environ.get("COCKADE_KILLS", "8")), 80
"""Minimum and maximum number of kills while the database keeps running. COCKADE_KILLS sets the minimum.

It continues after the minimum until both outcomes have occurred. `make chaos` kills about a hundred times.
"""
OWN_MOMENTS, OWN_MOMENTS_MAX = 2, 12
"""With the embedded database, which the kill ends too."""
WORKERS_END_S_MAX = 3.0
LEDGER = (
    "select count(e.customer_id), count(distinct e.customer_id),"
    " count(r.request_key) filter (where r.request_id = $3 and r.completed_at is not null)"
    " from badge b join earned_badge e using (badge_key)"
    " left join request r on r.org_id = b.org_id and r.request_key = e.request_key"
    " where b.badge_id = $1 and e.customer_id between $2 and $2 + $4 - 1"
)


class Victim(Struct):
    """A service that is killed again and again, and what its customers have to do with it."""

    service: Service
    username: str
    secret: str
    chance: random.Random
    badge_id: str = ""
    calls: int = 0
    workers_ended_s: float = 0
    """The longest that workers outlived their parent."""

    def kill_at_a_moment(self, part: int) -> str:
        """Call, kill, start again, and see what is there. Answers which of the outcomes it was."""
        with self.service.client(self.username, self.secret) as client, ThreadPoolExecutor(1) as pool:
            moment_s = (part + self.chance.random()) / PARTS * LATEST * self._usual_s(client)
            workers = self.service.workers
            calling = pool.submit(_attempt, lambda: self._call(client))
            time.sleep(moment_s)
            self.service.kill()
            ended_s = self.service.await_gone(workers, WORKERS_END_S_MAX)
            self.workers_ended_s = max(self.workers_ended_s, ended_s)
            answer = calling.result()
        self.service.start()
        return self._outcome(answer)

    def _usual_s(self, client: httpx.Client) -> float:
        """Return the duration of a normal request: the second one, because the first verifies credentials."""
        self.badge_id = self.badge_id or make_badge(client)
        assert self._call(client).status_code == 200
        started = time.perf_counter()
        assert self._call(client).status_code == 200
        return time.perf_counter() - started

    def _call(self, client: httpx.Client) -> httpx.Response:
        """An earnBulk for customers who have nothing yet."""
        self.calls += 1
        return earn_bulk(client, self.badge_id, self._audience(), requestId=self._request_id())

    def _request_id(self) -> str:
        """Return the request id of the last request."""
        return f"{self.badge_id}-{self.calls}"

    def _audience(self) -> range:
        """Return the audience of the last request."""
        return range(self.calls * CUSTOMERS, (self.calls + 1) * CUSTOMERS)

    def _outcome(self, answer: httpx.Response | None) -> str:
        audience, request_id = self._audience(), self._request_id()
        rows = query(self.service.database_url, LEDGER, self.badge_id, audience[0], request_id, CUSTOMERS)
        with self.service.client(self.username, self.secret) as client:
            told = client.get("/requests", params={"requestId": request_id})
            again = earn_bulk(client, self.badge_id, audience, requestId=request_id)
        if told.status_code == 404:
            assert rows == [(0, 0, 0)], "nothing is there, so nothing may be"
            assert answer is None or answer.status_code == 503, "an acknowledged request is durable"
            assert again.status_code == 200, again.text
            assert again.json()["data"]["earnedCount"] == CUSTOMERS
            return "nothing was kept"
        assert told.status_code == 200, told.text
        assert rows == [(CUSTOMERS, CUSTOMERS, CUSTOMERS)], "something is there, so all must be"
        assert told.json()["data"]["earnedCount"] == CUSTOMERS
        assert again.json()["errors"][0]["code"] == 809
        if answer is None or answer.status_code == 503:
            assert answer is None or "outcome is unknown" in answer.text
            return "all was kept, and not answered"
        assert (answer.status_code, answer.json()["data"]) == (200, told.json()["data"])
        return "all was kept and answered"


def test_with_a_database_that_goes_on(
    home: Path, database_url: str, record_property: Callable[[str, object], None]
) -> None:
    service = Service(home, settings={"DATABASE_URL": database_url})
    credential = service.make_org(f"killed-{time.time_ns()}")
    with running(service):
        victim = Victim(service, credential["username"], credential["secret"], random.Random(SEED))
        tally = _kill_often(victim, MOMENTS, MOMENTS_MAX)
    record_property(f"kill -9 of the service, seed {SEED}", _report(victim, tally))


def test_with_its_own_database(home: Path, record_property: Callable[[str, object], None]) -> None:
    with running(Service(home)) as service:
        shown = service.first_credential()
        victim = Victim(service, shown["username"], shown["secret"], random.Random(SEED + 1))
        tally = _kill_often(victim, OWN_MOMENTS, OWN_MOMENTS_MAX)
    record_property(f"kill -9 of the service and its database, seed {SEED + 1}", _report(victim, tally))


def _kill_often(victim: Victim, moments: int, moments_max: int) -> Counter[str]:
    """At so many moments at least, and until both outcomes were seen."""
    tally: Counter[str] = Counter()
    for number in count():
        kept = sum(times for outcome, times in tally.items() if outcome.startswith("all"))
        if number >= moments and 0 < kept < number:
            return tally
        assert number < moments_max, f"one outcome was never seen: {tally}"
        tally[victim.kill_at_a_moment(number % PARTS)] += 1
    raise AssertionError("unreachable")


def _report(victim: Victim, tally: Counter[str]) -> str:
    outcomes = ", ".join(f"{outcome} {times}×" for outcome, times in sorted(tally.items()))
    return f"{outcomes}; workers outlived their parent by {victim.workers_ended_s * 1000:.0f} ms at most"


def _attempt(call: Callable[[], httpx.Response]) -> httpx.Response | None:
    """The answer, or None where the connection broke first."""
    try:
        return call()
    except httpx.TransportError:
        return None
