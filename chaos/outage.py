"""An outage of PostgreSQL under load: how long requests take, what is lost, how fast the service recovers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
from msgspec import Struct

from chaos.clients import Caller
from chaos.fault_injector import stop_for
from chaos.history import Call, History, InjectedFault, Outcome
from chaos.resolve_unknown import resolve_unknown
from chaos.run import verify
from chaos.scenario import Scenario
from chaos.setup import set_up
from tests.acceptance.service import Service

BEFORE_S = 15.0
AFTER_S = 20.0
CALLERS = 24
REQUEST_TIMEOUT_S = 10
SLACK_S = 1.0
"""Seconds that the connection may add to the timeout of a request on a busy machine."""
FULL = 0.8
"""Share of the previous rate that counts as recovered."""
SCENARIOS = [Scenario(name="plain", share=1, turnover=1)]


class Outage(Struct, frozen=True, kw_only=True):
    """The measurements."""

    seconds: float
    longest_s: float
    """Duration of the longest request."""
    acknowledged: int
    """Acknowledged issuances."""
    violations: int
    """Violations of any promise, for example lost issuances."""
    calls_per_s: tuple[float, float, float]
    """Acknowledged requests per second before, during and after the outage."""
    full_after_s: float | None
    """Seconds from the end of the outage to the first second with the full rate. None: not seen."""
    not_ready_after_s: float | None
    """Seconds from the start of the outage until /readyz reported it."""
    ready_after_s: float | None
    """Seconds from the end of the outage until /readyz reported it."""
    lines: list[str]
    """Report of the checker."""

    @property
    def passed(self) -> bool:
        """Whether all expectations are met."""
        return not self.violations and None not in (self.full_after_s, self.ready_after_s)


async def outage(home: Path, seconds: float, seed: int) -> Outage:
    """Serve, stop the database for this many seconds, and continue to serve."""
    service = Service(
        home, workers=2, settings={"LOG_LEVEL": "warning", "CALL_S_MAX": str(REQUEST_TIMEOUT_S)}
    )
    history = History()
    try:
        await asyncio.to_thread(service.start)
        async with set_up(
            service, history, SCENARIOS, seed=seed, callers=CALLERS, origins=[service.origin],
            steady=[service.origin], request_timeout_s=REQUEST_TIMEOUT_S + SLACK_S,
        ) as people:  # fmt: skip
            probes = await _stop_under_load(service, people.callers, history, seconds)
            await resolve_unknown(people, history)
        violations = await verify(service.database_url, history)
    finally:
        await asyncio.to_thread(service.close)
    return _measured(history, probes, seconds, [f"{each.promise}: {each.what}" for each in violations])


async def _stop_under_load(
    service: Service, callers: list[Caller], history: History, seconds: float
) -> list[tuple[float, bool]]:
    """Return the instants at which /readyz was polled, and whether it was ready."""
    deadline = time.monotonic() + BEFORE_S + seconds + AFTER_S
    probes: list[tuple[float, bool]] = []
    calling = [asyncio.create_task(caller.call_until(deadline, 0.01)) for caller in callers]
    probing = asyncio.create_task(_probe(service, probes, deadline))
    await asyncio.sleep(BEFORE_S)
    at = time.time()
    postmaster = service.postmaster
    await stop_for([postmaster, *postmaster.children()], seconds)
    history.note(InjectedFault(kind="database stopped", killed=0, at=at, recovery_s=0))
    await asyncio.gather(probing, *calling)
    return probes


async def _probe(service: Service, probes: list[tuple[float, bool]], deadline: float) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        while time.monotonic() < deadline:
            answer = await client.get(f"{service.origin}/readyz")
            probes.append((time.time(), answer.status_code == 200))
            await asyncio.sleep(0.1)


def _measured(
    history: History, probes: list[tuple[float, bool]], seconds: float, violations: list[str]
) -> Outage:
    begun = history.of(InjectedFault)[0].at
    ended = begun + seconds
    calls = [call for call in history.of(Call) if not call.looked_up]
    good = sorted(call.answer.answered_at for call in calls if call.answer.outcome is Outcome.ACKNOWLEDGED)

    def rate(since: float, until: float) -> float:
        return sum(since <= at < until for at in good) / (until - since)

    # The first seconds go to credential verification and connecting.
    before = rate(begun - BEFORE_S / 2, begun)
    steps = [step / 4 for step in range(int(AFTER_S - 3) * 4)]
    full = [step for step in steps if rate(ended + step, ended + step + 1) >= FULL * before]
    return Outage(
        seconds=seconds,
        longest_s=max(call.answer.answered_at - call.answer.sent_at for call in calls),
        acknowledged=sum(len(call.earned) for call in calls),
        violations=len(violations),
        calls_per_s=(before, rate(begun, ended), rate(ended + 3, ended + AFTER_S - 2)),
        full_after_s=full[0] if full else None,
        not_ready_after_s=next((at - begun for at, ready in probes if at > begun and not ready), None),
        ready_after_s=next((at - ended for at, ready in probes if at > ended and ready), None),
        lines=violations[:20],
    )
