"""Any of the processes dies: the service goes on or comes back by itself, and all that it acknowledged is there."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from cockade.http.urls import BASE_PATH
from tests.acceptance.service import Service, earn_bulk, make_badge, query, running, temporary_home
from tests.support import earn_bulk_body

BACK_S_MAX = 30.0
WORKERS_END_S_MAX = 3.0
DATABASE_ENDS_S_MAX = 20.0

AT_WORK = (
    "select count(*) from pg_stat_activity where application_name = 'cockade' and xact_start is not null"
)


class Customer(Struct):
    """A client that sends requests in a loop and remembers acknowledged results."""

    service: Service
    auth: tuple[str, str]
    badge_id: str
    calls: int = 0
    acknowledged: dict[str, Any] = {}

    def call(self) -> int:
        """One earnBulk on a connection of its own, for one who has nothing yet. Answers the status."""
        self.calls += 1
        request_id = f"{self.badge_id}-{self.calls}"
        body = earn_bulk_body(self.badge_id, [self.calls], requestId=request_id)
        url = f"{self.service.origin}{BASE_PATH}/customer/earnBulk"
        answer = httpx.post(url, json=body, auth=self.auth, timeout=30)
        if answer.status_code == 200:
            self.acknowledged[request_id] = answer.json()["data"]
        return answer.status_code

    def call_until_served(self, times: int = 5) -> list[int]:
        """The statuses up to so many successes in a row: those of calls and of /readyz in between."""
        statuses: list[int] = []
        deadline = time.monotonic() + BACK_S_MAX
        while statuses[-times:] != [200] * times:
            assert time.monotonic() < deadline, statuses
            statuses += [self.service.readiness() or 0, self.call()]
        return statuses

    def require_all(self) -> None:
        """Assert that everything acknowledged is stored unchanged."""
        with self.service.client(*self.auth) as client:
            for request_id, data in self.acknowledged.items():
                told = client.get("/requests", params={"requestId": request_id})
                assert (told.status_code, told.json()["data"]) == (200, data)


@pytest.fixture(scope="module")
def crashing() -> Generator[Service]:
    """A service of two workers whose other processes are killed."""
    with temporary_home() as made, running(Service(made, workers=2)) as started:
        yield started


@pytest.fixture
def customer(crashing: Service) -> Customer:
    return _customer(crashing, crashing.first_credential())


def _customer(service: Service, shown: dict[str, str]) -> Customer:
    auth = (shown["username"], shown["secret"])
    with service.client(*auth) as client:
        made = Customer(service=service, auth=auth, badge_id=make_badge(client), acknowledged={})
    for _ in range(5):
        assert made.call() == 200
    return made


def test_killed_worker_is_replaced_without_failed_requests(crashing: Service, customer: Customer) -> None:
    victim, other = crashing.workers
    victim.kill()
    started = time.monotonic()
    while victim in (workers := crashing.workers) or len(workers) < 2:
        assert customer.call() == 200
        assert time.monotonic() < started + BACK_S_MAX
    assert other in workers
    assert customer.call_until_served() == [200] * 6
    customer.require_all()


def test_workers_that_are_killed_every_few_seconds_are_replaced_each_time(
    crashing: Service, customer: Customer
) -> None:
    """The server below would give up after the second kill within 5.5 s."""
    parent, started = crashing.process.pid, time.monotonic()
    for _ in range(3):
        for victim in (victims := crashing.workers):
            victim.kill()
        while len(workers := crashing.workers) < 2 or set(victims) & set(workers):
            assert time.monotonic() < started + BACK_S_MAX, crashing.log()
            time.sleep(0.05)
    crashing.wait_ready()
    customer.call_until_served()
    assert crashing.process.pid == parent
    assert crashing.process.is_running()
    customer.require_all()


def test_service_exits_with_an_error_if_workers_keep_dying(home: Path) -> None:
    """Workers are killed right after they start, so the service exits with an error."""
    with running(Service(home)) as service:
        deadline = time.monotonic() + BACK_S_MAX
        while service.process.poll() is None:
            assert time.monotonic() < deadline, service.log()
            for victim in service.workers:
                victim.kill()
            time.sleep(0.02)
        assert service.process.returncode == 1
        assert "worker processes exit right after they start" in service.log()


def _kill_postmaster(service: Service) -> None:
    service.postmaster.kill()


def _kill_backend(service: Service) -> None:
    """A process of the database server that works for us; the server takes all others down for safety."""
    backends = [child for child in service.postmaster.children() if "cockade cockade" in child.cmdline()[0]]
    backends[0].kill()


@pytest.mark.parametrize("kill", [_kill_postmaster, _kill_backend], ids=["postmaster", "backend"])
def test_database_that_is_killed_comes_back_by_itself(
    crashing: Service,
    customer: Customer,
    kill: Callable[[Service], None],
    record_property: Callable[[str, object], None],
) -> None:
    workers = crashing.workers
    kill(crashing)
    started = time.monotonic()
    statuses = customer.call_until_served()
    record_property(
        f"back after a kill -9 in the database ({kill.__name__})", f"{time.monotonic() - started:.1f} s"
    )
    assert set(statuses) <= {200, 503}, crashing.log()
    assert crashing.workers == workers
    assert crashing.postmaster.is_running()
    customer.require_all()


def test_without_its_database_the_service_answers_503_and_says_when_to_come_again(
    crashing: Service, customer: Customer
) -> None:
    """The postmaster stands still, so that the answer of the time between can be seen at leisure."""
    victim = crashing.postmaster
    owner = crashing.process
    owner.send_signal(signal.SIGSTOP)  # else it would start another one at once
    try:
        victim.kill()
        crashing.await_gone([victim], DATABASE_ENDS_S_MAX)
        told = httpx.get(f"{crashing.origin}/readyz", timeout=10)
        assert (told.status_code, told.json()["errors"][0]["code"]) == (503, 503)
        assert "database" in told.json()["errors"][0]["message"]
        assert int(told.headers["Retry-After"]) > 0
        assert httpx.get(f"{crashing.origin}/healthz").status_code == 200
        with crashing.client(*customer.auth) as client:
            answer = earn_bulk(client, customer.badge_id, [1_000_000], requestId=f"{customer.badge_id}-dark")
    finally:
        owner.send_signal(signal.SIGCONT)
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["errors"][0]["code"] == 503
    customer.call_until_served()
    with crashing.client(*customer.auth) as client:
        again = earn_bulk(client, customer.badge_id, [1_000_000], requestId=f"{customer.badge_id}-dark")
    assert again.status_code == 200, "nothing was changed, and the same request may be sent again"
    customer.require_all()


def test_killed_parent_takes_everybody_along_and_the_next_start_has_all_data(
    home: Path, record_property: Callable[[str, object], None]
) -> None:
    with running(Service(home, workers=2)) as service:
        customer = _customer(service, service.first_credential())
        workers, postmaster = service.workers, service.postmaster
        workers[0].kill()  # the one that takes its place ends with the parent, too
        service.await_gone(workers[:1], WORKERS_END_S_MAX)
        while len(workers := service.workers) < 2:
            time.sleep(0.05)
        service.kill()
        started = time.monotonic()
        service.await_gone(workers, WORKERS_END_S_MAX)
        while not _is_free(service.port):
            assert time.monotonic() < started + WORKERS_END_S_MAX
        outlived_ms = (time.monotonic() - started) * 1000
        record_property("after a kill -9 of the service its port was free in", f"{outlived_ms:.0f} ms")
        service.await_gone([postmaster], DATABASE_ENDS_S_MAX)
        service.start()
        assert service.printed() == "", "no new credential, for the data is there"
        customer.require_all()
        assert customer.call() == 200
        assert query(service.database_url, "select count(*) from earned_badge") == [(customer.calls,)]


def test_sigterm_stops_all_processes_cleanly(home: Path) -> None:
    with running(Service(home, workers=2)) as service:
        customer = _customer(service, service.first_credential())
        family = [*service.workers, service.postmaster, *service.postmaster.children(recursive=True)]
        assert service.stop() == 0
        assert [process for process in family if process.is_running()] == []
        assert _is_free(service.port)
        assert not (service.data_dir / "postgres" / "postmaster.pid").exists()
        service.start()
        customer.require_all()


def test_call_in_flight_is_answered_before_it_stops(home: Path) -> None:
    with running(Service(home)) as service, ThreadPoolExecutor(1) as pool:
        customer = _customer(service, service.first_credential())
        with service.client(*customer.auth) as client:
            audience = range(10**6, 10**6 + 100_000)
            calling = pool.submit(earn_bulk, client, customer.badge_id, audience, requestId="last")
            while not calling.done() and query(service.database_url, AT_WORK) == [(0,)]:
                time.sleep(0.01)
            assert service.stop() == 0
            answer = calling.result()
        assert answer.status_code == 200, answer.text
        service.start()
        with service.client(*customer.auth) as client:
            told = client.get("/requests", params={"requestId": "last"})
        assert told.json()["data"] == answer.json()["data"]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0 and not probe.bind(("127.0.0.1", port))
