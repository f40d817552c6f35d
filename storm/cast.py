"""Who takes part: an org of its own, its badges, those who call and those who keep the badges changing."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from msgspec import Struct

from storm.callers import BASE_PATH, Caller, Field, Line, Sender
from storm.diary import Badge, Diary, Storm
from storm.keepers import Keeper
from storm.plan import TRIGGER, ZONE, Plot
from tests.acceptance.service import MIGRATION, Service


class Cast(Struct, frozen=True, kw_only=True):
    """All of them."""

    callers: list[Caller]
    keepers: list[Keeper]
    calm: Sender
    """Sends by no wire, for what is to be settled when all is over."""


@asynccontextmanager
async def cast(
    service: Service,
    diary: Diary,
    plots: Sequence[Plot],
    *,
    seed: int,
    callers: int,
    origins: Sequence[str],
    steady: Sequence[str],
    call_s_max: float,
) -> AsyncGenerator[Cast]:
    """Made by one service; they call at `origins`, and where it matters at `steady`."""
    shown = service.make_org(f"storm-{time.time_ns()}")
    auth = (shown["username"], shown["secret"])
    diary.note(Storm(seed=seed, org_id=shown["orgId"], zone=ZONE, call_s_max=call_s_max))
    badges = make_badges(service, auth, plots, seed)
    for badge in badges:
        diary.note(badge)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fields = [Field(plot, badge, hour) for plot, badge in zip(plots, badges, strict=True)]
    line = Line(origins, auth, random.Random(f"{seed} line"))
    calm = Line(steady, auth, random.Random(f"{seed} steady"))
    sender = Sender(line, diary)
    try:
        yield Cast(
            callers=[
                Caller(f"s{seed}-{number}", sender, fields, random.Random(f"{seed} caller {number}"))
                for number in range(callers)
            ],
            keepers=[
                Keeper(
                    calm, diary, badge, plot.kept, random.Random(f"{seed} {plot.name}"), service.database_url
                )
                for plot, badge in zip(plots, badges, strict=True)
                if plot.kept
            ],
            calm=Sender(calm, diary),
        )
    finally:
        await line.close()
        await calm.close()


def make_badges(service: Service, auth: tuple[str, str], plots: Sequence[Plot], seed: int) -> list[Badge]:
    """One for each plot, claimed."""
    now = datetime.now(UTC)
    with httpx.Client(base_url=service.origin + BASE_PATH, auth=auth, timeout=60) as client:
        return [_make_badge(client, plot, now, str(seed)) for plot in plots]


def _make_badge(client: httpx.Client, plot: Plot, now: datetime, suffix: str) -> Badge:
    fields = plot.fields(now, suffix)
    created = client.post("/badgeMeta", json=fields, headers=MIGRATION)
    assert created.status_code == 201, created.text
    badge_id = created.json()["data"]["id"]
    claimed = client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)
    assert claimed.status_code == 200, claimed.text
    return Badge(badge_id=badge_id, name=plot.name, fields=fields, changing=plot.kept == "changing limit")
