"""Measure an outage of PostgreSQL under load: duration of requests, lost issuances and time to recover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import httpx
from msgspec import Struct

from chaos.clients import LoadClient
from chaos.fault_injector import stop_for
from chaos.history import Attempt, Fault, History, Outcome
from chaos.resolve_unknown import resolve_unknown
from chaos.run import verify
from chaos.scenario import Scenario
from chaos.setup import set_up_clients
from tests.acceptance.service import Service

BEFORE_S = 15.0
AFTER_S = 20.0
CLIENTS = 24
REQUEST_PAUSE_S = 0.01
REQUEST_TIMEOUT_S = 10
RESPONSE_SLACK_S = 1.0
"""Seconds that the connection may add to the request timeout on a busy machine."""
RECOVERED_RATE = 0.8
"""Share of the request rate before the outage that counts as recovered."""
SCENARIOS = [Scenario(name="plain", weight=1, requests_per_customer=1)]


class Rates(Struct, frozen=True, kw_only=True):
    """Requests per second that were acknowledged before, during and after the outage."""

    before: float
    during: float
    after: float


class Outage(Struct, frozen=True, kw_only=True):
    """The measurements. Fields that end in `_s` are in seconds."""

    duration_s: float
    longest_request_s: float
    acknowledged_issuances: int
    acknowledged_per_s: Rates
    not_ready_after_s: float | None
    """From the start of the outage until /readyz failed. None: it did not fail."""
    ready_after_s: float | None
    """From the end of the outage until /readyz succeeded. None: it did not succeed."""
    full_rate_after_s: float | None
    """From the end of the outage until the request rate had recovered. None: it did not recover."""
    violations: int
    """Number of violations of any guarantee. A lost issuance is one."""
    first_violations: list[str]

    @property
    def passed(self) -> bool:
        """Whether there are no violations and the service recovered."""
        return not self.violations and None not in (self.full_rate_after_s, self.ready_after_s)


async def measure_outage(home: Path, seconds: float, seed: int) -> Outage:
    """Run a service under load, and stop its database server for this time."""
    service = Service(
        home,
        workers=2,
        settings={"LOG_LEVEL": "warning", "REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S)},
    )
    history = History()
    try:
        await asyncio.to_thread(service.start)
        async with set_up_clients(
            service,
            history,
            SCENARIOS,
            seed=seed,
            load_clients=CLIENTS,
            origins=[service.origin],
            direct_origins=[service.origin],
            max_response_s=REQUEST_TIMEOUT_S + RESPONSE_SLACK_S,
        ) as clients:
            probes = await _stop_under_load(service, clients.load, history, seconds)
            await resolve_unknown(clients, history)
        violations = await verify(service.database_url, history)
    finally:
        await asyncio.to_thread(service.close)
    return _measurements(
        history, probes, seconds, [f"{each.guarantee}: {each.detail}" for each in violations]
    )


async def _stop_under_load(
    service: Service, clients: list[LoadClient], history: History, seconds: float
) -> list[tuple[float, bool]]:
    """Return the times at which /readyz responded, and whether it succeeded."""
    deadline = time.monotonic() + BEFORE_S + seconds + AFTER_S
    probes: list[tuple[float, bool]] = []
    load = [asyncio.create_task(client.run_until(deadline, REQUEST_PAUSE_S)) for client in clients]
    probing = asyncio.create_task(_probe(service, probes, deadline))
    await asyncio.sleep(BEFORE_S)
    injected_at = time.time()
    postmaster = service.postmaster
    await stop_for([postmaster, *postmaster.children()], seconds)
    history.append(Fault(kind="database stopped", killed=0, injected_at=injected_at, recovery_s=0))
    await asyncio.gather(probing, *load)
    return probes


async def _probe(service: Service, probes: list[tuple[float, bool]], deadline: float) -> None:
    """Append the time and the success of each /readyz to `probes`."""
    async with httpx.AsyncClient(timeout=30) as client:
        while time.monotonic() < deadline:
            response = await client.get(f"{service.origin}/readyz")
            probes.append((time.time(), response.status_code == 200))
            await asyncio.sleep(0.1)


def _measurements(
    history: History, probes: list[tuple[float, bool]], seconds: float, violations: list[str]
) -> Outage:
    [fault] = history.of_type(Fault)
    start, end = fault.injected_at, fault.injected_at + seconds
    attempts = [attempt for attempt in history.of_type(Attempt) if not attempt.is_lookup]
    acknowledged_at = [
        attempt.response.received_at
        for attempt in attempts
        if attempt.response.outcome is Outcome.ACKNOWLEDGED
    ]

    def rate(since: float, until: float) -> float:
        return sum(since <= at < until for at in acknowledged_at) / (until - since)

    # Skip the first seconds, in which credentials are verified and connections are opened.
    before = rate(start - BEFORE_S / 2, start)
    offsets = [quarter / 4 for quarter in range(int(AFTER_S - 3) * 4)]
    recovered = [
        offset for offset in offsets if rate(end + offset, end + offset + 1) >= RECOVERED_RATE * before
    ]
    return Outage(
        duration_s=seconds,
        longest_request_s=round(
            max(attempt.response.received_at - attempt.response.sent_at for attempt in attempts), 2
        ),
        acknowledged_issuances=sum(len(attempt.earned) for attempt in attempts),
        acknowledged_per_s=Rates(
            before=round(before, 1),
            during=round(rate(start, end), 1),
            after=round(rate(end + 3, end + AFTER_S - 2), 1),
        ),
        not_ready_after_s=_first(at - start for at, ready in probes if at > start and not ready),
        ready_after_s=_first(at - end for at, ready in probes if at > end and ready),
        full_rate_after_s=_first(recovered),
        violations=len(violations),
        first_violations=violations[:20],
    )


def _first(seconds: Iterable[float]) -> float | None:
    first = next(iter(seconds), None)
    return None if first is None else round(first, 2)
