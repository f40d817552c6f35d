"""A storm from its beginning to the checker's word."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import asyncpg
from msgspec import Struct

from storm.cast import cast
from storm.checker import Violation, check
from storm.diary import Diary
from storm.plan import PLOTS
from storm.saboteur import Saboteur
from storm.settling import settle
from storm.site import CALL_S_MAX, Site

SLACK_S = 15.0
"""What a stopped worker and a slow wire add to the bound of a call."""


OVERTIME_S_MAX = 400.0
"""A storm that does not end is a failure, not a pause."""


class Weather(Struct, frozen=True, kw_only=True):
    """How hard it blows."""

    seconds: float
    seed: int
    callers: int = 12
    pace_s: float = 0.15
    """The mean pause between two calls of a caller."""
    sabotage_pause_s: float | None = 1.2
    """The mean pause after everything is well again; None: no sabotage."""


async def blow(place: Site, weather: Weather, diary: Diary) -> None:
    """Let everybody loose, and settle what is unknown when all is quiet."""
    async with cast(
        place.owner,
        diary,
        PLOTS,
        seed=weather.seed,
        callers=weather.callers,
        origins=place.origins,
        steady=[place.owner.origin, place.guest.origin],
        call_s_max=CALL_S_MAX + SLACK_S,
    ) as people:
        deadline = time.monotonic() + weather.seconds
        tasks: list[Any] = [caller.call_until(deadline, weather.pace_s) for caller in people.callers]
        tasks += [keeper.keep_until(deadline) for keeper in people.keepers]
        if weather.sabotage_pause_s is not None:
            chance = random.Random(f"{weather.seed} saboteur")
            saboteur = Saboteur(place.owner, place.guest, place.wires, diary, chance)
            tasks += [
                saboteur.sabotage_until(deadline, weather.sabotage_pause_s),
                saboteur.snipe_until(deadline),
                saboteur.spoil_until(deadline),
            ]
        async with asyncio.timeout(weather.seconds + OVERTIME_S_MAX):
            await asyncio.gather(*tasks)
            await settle(people, diary)


async def verify(database_url: str, diary: Diary) -> list[Violation]:
    """What the checker finds in the database."""
    connection = await asyncpg.connect(database_url)
    try:
        return await check(connection, diary)
    finally:
        await connection.close()
