"""A storm from its beginning to the checker's word."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import httpx
from msgspec import Struct

from storm.callers import BASE_PATH, Caller, Field, Line, Order, Sender
from storm.checker import Violation, check
from storm.diary import Act, Badge, Call, Cap, Diary, Fate, Pause, Revocation, Storm
from storm.keepers import Keeper
from storm.plan import PLOTS, TRIGGER, ZONE
from storm.proxy import Wire, url_through, wire_to_database
from storm.saboteur import Saboteur
from tests.acceptance.service import MIGRATION, Service

CALL_S_MAX = 15
SLACK_S = 10.0
"""What a stopped worker and a slow wire add to the bound of a call."""
SETTLE_S_MAX = 120.0
TOLD_AGAIN = 300
SETTINGS = {"LOG_LEVEL": "warning", "POOL_SIZE": "6", "LOCK_TIMEOUT_S": "5", "CALL_S_MAX": str(CALL_S_MAX)}


class Weather(Struct, frozen=True, kw_only=True):
    """How hard it blows."""

    seconds: float
    seed: int
    callers: int = 12
    pace_s: float = 0.15
    """The mean pause between two calls of a caller."""
    sabotage_pause_s: float | None = 2.0
    """The mean pause after everything is well again; None: no sabotage."""
    workers: int = 2
    """Of each of the two services."""


class Site(Struct, frozen=True, kw_only=True):
    """Where it happens."""

    owner: Service
    guest: Service
    wires: list[Wire]
    origins: list[str]
    """All addresses that callers may use."""
    database_url: str


@asynccontextmanager
async def site(home: Path, weather: Weather) -> AsyncGenerator[Site]:
    """Two services on one database: one owns it, one reaches it by a wire; callers reach both with and without one."""
    async with AsyncExitStack() as stack:
        for name in ("owner", "guest"):
            (home / name).mkdir(mode=0o755)
        owner = Service(home / "owner", workers=weather.workers, settings=SETTINGS)
        stack.callback(owner.close)
        await asyncio.to_thread(owner.start)
        chance = random.Random(f"{weather.seed} wires")
        to_database = await stack.enter_async_context(wire_to_database(owner.database_url, chance).running())
        url = url_through(to_database, owner.database_url)
        guest = Service(home / "guest", workers=weather.workers, settings={**SETTINGS, "DATABASE_URL": url})
        stack.callback(guest.close)
        await asyncio.to_thread(guest.start)
        to_callers = [
            await stack.enter_async_context(Wire("127.0.0.1", service.port, chance).running())
            for service in (owner, guest)
        ]
        yield Site(
            owner=owner,
            guest=guest,
            wires=[to_database, *to_callers],
            origins=[owner.origin, guest.origin, *(f"http://127.0.0.1:{wire.port}" for wire in to_callers)],
            database_url=owner.database_url,
        )


async def blow(place: Site, weather: Weather, diary: Diary) -> None:
    """Make the badges, let everybody loose, and settle what is unknown when all is quiet."""
    shown = place.owner.make_org(f"storm-{time.time_ns()}")
    auth = (shown["username"], shown["secret"])
    diary.note(Storm(seed=weather.seed, org_id=shown["orgId"], zone=ZONE, call_s_max=CALL_S_MAX + SLACK_S))
    now = datetime.now(UTC)
    fields, keepers = [], []
    line = Line(place.origins, auth, random.Random(f"{weather.seed} line"))
    steady = Line([place.owner.origin, place.guest.origin], auth, random.Random(f"{weather.seed} steady"))
    with httpx.Client(base_url=place.owner.origin + BASE_PATH, auth=auth, timeout=60) as client:
        for plot in PLOTS:
            badge = _make_badge(
                client, plot.fields(now, str(weather.seed)), plot.name, bool(plot.whole and plot.kept)
            )
            diary.note(badge)
            fields.append(Field(plot, badge, now.replace(minute=0, second=0, microsecond=0)))
            if plot.kept:
                chance = random.Random(f"{weather.seed} {plot.name}")
                keepers.append((plot.kept, Keeper(steady, diary, badge, chance, place.database_url)))
    sender = Sender(line, diary)
    callers = [
        Caller(number, sender, fields, random.Random(f"{weather.seed} caller {number}"), f"s{weather.seed}")
        for number in range(weather.callers)
    ]
    deadline = time.monotonic() + weather.seconds
    tasks: list[Any] = [caller.call_until(deadline, weather.pace_s) for caller in callers]
    tasks += [keeper.keep_until(kept, deadline) for kept, keeper in keepers]
    if weather.sabotage_pause_s is not None:
        saboteur = Saboteur(
            place.owner, place.guest, place.wires, diary, random.Random(f"{weather.seed} saboteur")
        )
        tasks += [saboteur.sabotage_until(deadline, weather.sabotage_pause_s), saboteur.spoil_until(deadline)]
    await asyncio.gather(*tasks)
    await settle(Sender(steady, diary), diary, callers)
    await line.close()
    await steady.close()


def _make_badge(client: httpx.Client, fields: dict[str, Any], name: str, changing: bool) -> Badge:
    created = client.post("/badgeMeta", json=fields, headers=MIGRATION)
    assert created.status_code == 201, created.text
    badge_id = created.json()["data"]["id"]
    claimed = client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)
    assert claimed.status_code == 200, claimed.text
    return Badge(badge_id=badge_id, name=name, fields=fields, changing=changing)


async def settle(sender: Sender, diary: Diary, callers: Sequence[Caller]) -> None:
    """Send again, with its id, whatever is of unknown outcome; ask for it where it had been issued; ask for others too."""
    deadline = time.monotonic() + SETTLE_S_MAX
    for order in [order for caller in callers for order in caller.unsettled.values()]:
        await _settle_order(sender, order, deadline)
    settled = [order for caller in callers for order in caller.settled]
    for order in random.Random(len(settled)).sample(settled, min(TOLD_AGAIN, len(settled))):
        await sender.ask(order, deadline)
    await _settle_revocations(sender, diary, deadline)


async def _settle_order(sender: Sender, order: Order, deadline: float) -> None:
    while (call := await sender.send(order, deadline)) is not None and time.monotonic() < deadline:
        if call.answer.fate in (Fate.UNKNOWN, Fate.UNAVAILABLE):
            await asyncio.sleep(1)
            continue
        if call.answer.code == 809:
            await sender.ask(order, deadline)
        return


async def _settle_revocations(sender: Sender, diary: Diary, deadline: float) -> None:
    fates: dict[tuple[str, int, str], set[Fate]] = {}
    for revocation in diary.of(Revocation):
        key = (revocation.badge_id, revocation.customer, revocation.earned_id)
        fates.setdefault(key, set()).add(revocation.answer.fate)
    for key, known in fates.items():
        if not known & {Fate.ACKNOWLEDGED, Fate.REFUSED} and Fate.UNKNOWN in known:
            await sender.revoke(*key, deadline)


async def verify(database_url: str, diary: Diary) -> list[Violation]:
    """What the checker finds in the database."""
    connection = await asyncpg.connect(database_url)
    try:
        return await check(connection, diary)
    finally:
        await connection.close()


def report(diary: Diary, violations: Sequence[Violation]) -> list[str]:
    """The storm in a few lines."""
    [begun] = diary.of(Storm)
    calls = [call for call in diary.of(Call) if not call.told]
    issuances: Counter[str] = Counter()
    for call in calls:
        issuances[call.answer.fate] += len(call.audience)
    fates = Counter(str(call.answer.fate) for call in calls)
    lines = [
        f"seed {begun.seed}",
        f"calls: {len(calls)}; {_said(fates)}",
        f"issuances: {sum(issuances.values())} attempted; in calls {_said(issuances)};"
        f" {sum(len(call.earned) for call in calls)} issued",
        f"revocations: {_said(Counter(str(each.answer.fate) for each in diary.of(Revocation)))}",
        f"pauses seen to hold: {sum(pause.sound for pause in diary.of(Pause))},"
        f" limits: {sum(cap.sound for cap in diary.of(Cap))}",
        f"longest call {max((call.answer.answered_at - call.answer.sent_at for call in calls), default=0):.1f} s",
        f"kills: {sum(act.killed for act in diary.of(Act))} processes in"
        f" {sum(act.killed > 0 for act in diary.of(Act))} acts",
    ]
    for kind, number in sorted(Counter(act.kind for act in diary.of(Act)).items()):
        took = [act.back_s for act in diary.of(Act) if act.kind == kind and act.back_s is not None]
        back = f", back after {median(took):.1f} s (at most {max(took):.1f})" if took and max(took) else ""
        lines.append(f"  {kind}: {number}{back}")
    lines += [f"VIOLATION of '{each.promise}': {each.what}" for each in violations[:50]]
    return [*lines, f"violations: {len(violations)}"]


def _said(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(counter.items())) or "none"
