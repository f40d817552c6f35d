"""PostgreSQL stands still under load: how long calls take, what is lost, how fast it is again afterwards."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
from msgspec import Struct

from storm.callers import Caller
from storm.cast import cast
from storm.diary import Act, Call, Diary, Fate
from storm.plan import Plot
from storm.run import verify
from storm.saboteur import stop_for
from storm.settling import settle
from tests.acceptance.service import Service

BEFORE_S = 15.0
AFTER_S = 20.0
CALLERS = 24
CALL_S_MAX = 10
SLACK_S = 1.0
"""What the way to the service and back may add to the bound of a call, on a busy machine."""
FULL = 0.8
"""The part of the rate before that counts as full again."""
PLOTS = [Plot(name="plain", share=1, turnover=1)]


class Outage(Struct, frozen=True, kw_only=True):
    """What was measured."""

    seconds: float
    longest_s: float
    """The longest call."""
    acknowledged: int
    """Issuances."""
    violations: int
    """Of any promise, a lost issuance among them."""
    calls_per_s: tuple[float, float, float]
    """Acknowledged before, during and after."""
    full_after_s: float | None
    """From its return until a second with the full rate; None: it was not seen."""
    not_ready_after_s: float | None
    """From its stop until /readyz says so."""
    ready_after_s: float | None
    """From its return until /readyz says so."""
    lines: list[str]
    """What the checker says."""

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return not self.violations and None not in (self.full_after_s, self.ready_after_s)


async def outage(home: Path, seconds: float, seed: int) -> Outage:
    """Serve, stop the database for so long, and serve on."""
    service = Service(home, workers=2, settings={"LOG_LEVEL": "warning", "CALL_S_MAX": str(CALL_S_MAX)})
    diary = Diary()
    try:
        await asyncio.to_thread(service.start)
        async with cast(
            service, diary, PLOTS, seed=seed, callers=CALLERS, origins=[service.origin],
            steady=[service.origin], call_s_max=CALL_S_MAX + SLACK_S,
        ) as people:  # fmt: skip
            probes = await _stop_under_load(service, people.callers, diary, seconds)
            await settle(people, diary)
        violations = await verify(service.database_url, diary)
    finally:
        await asyncio.to_thread(service.close)
    return _measured(diary, probes, seconds, [f"{each.promise}: {each.what}" for each in violations])


async def _stop_under_load(
    service: Service, callers: list[Caller], diary: Diary, seconds: float
) -> list[tuple[float, bool]]:
    """Answers when /readyz was asked, and whether it said yes."""
    deadline = time.monotonic() + BEFORE_S + seconds + AFTER_S
    probes: list[tuple[float, bool]] = []
    calling = [asyncio.create_task(caller.call_until(deadline, 0.01)) for caller in callers]
    probing = asyncio.create_task(_probe(service, probes, deadline))
    await asyncio.sleep(BEFORE_S)
    at = time.time()
    postmaster = service.postmaster
    await stop_for([postmaster, *postmaster.children()], seconds)
    diary.note(Act(kind="database stopped", killed=0, at=at, back_s=0))
    await asyncio.gather(probing, *calling)
    return probes


async def _probe(service: Service, probes: list[tuple[float, bool]], deadline: float) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        while time.monotonic() < deadline:
            answer = await client.get(f"{service.origin}/readyz")
            probes.append((time.time(), answer.status_code == 200))
            await asyncio.sleep(0.1)


def _measured(
    diary: Diary, probes: list[tuple[float, bool]], seconds: float, violations: list[str]
) -> Outage:
    begun = diary.of(Act)[0].at
    ended = begun + seconds
    calls = [call for call in diary.of(Call) if not call.told]
    good = sorted(call.answer.answered_at for call in calls if call.answer.fate is Fate.ACKNOWLEDGED)

    def rate(since: float, until: float) -> float:
        return sum(since <= at < until for at in good) / (until - since)

    # The first seconds are spent on verifying the credential and on connecting.
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
