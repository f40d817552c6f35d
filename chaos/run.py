"""A run from the start to the checker's report."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import asyncpg
from msgspec import Struct

from chaos.checker import Violation, check
from chaos.environment import REQUEST_TIMEOUT_S, Environment
from chaos.fault_injector import FaultInjector
from chaos.history import History
from chaos.resolve_unknown import resolve_unknown
from chaos.scenario import SCENARIOS
from chaos.setup import set_up

SLACK_S = 15.0
"""Seconds that a stopped worker and a slow proxy may add to the timeout of a request."""


OVERTIME_S_MAX = 400.0
"""A run that takes this much longer than planned has failed."""


class Intensity(Struct, frozen=True, kw_only=True):
    """The intensity of a run."""

    seconds: float
    seed: int
    callers: int = 12
    pace_s: float = 0.15
    """Mean pause between two requests of a client."""
    fault_pause_s: float | None = 1.2
    """Mean pause between recovery and the next fault. None: no faults."""


async def run_faults(place: Environment, intensity: Intensity, history: History) -> None:
    """Run clients and fault injector, and resolve unknown outcomes when everything is quiet."""
    async with set_up(
        place.owner,
        history,
        SCENARIOS,
        seed=intensity.seed,
        callers=intensity.callers,
        origins=place.origins,
        steady=[place.owner.origin, place.guest.origin],
        request_timeout_s=REQUEST_TIMEOUT_S + SLACK_S,
    ) as people:
        deadline = time.monotonic() + intensity.seconds
        tasks: list[Any] = [caller.call_until(deadline, intensity.pace_s) for caller in people.callers]
        tasks += [admin_client.change_until(deadline) for admin_client in people.admin_clients]
        if intensity.fault_pause_s is not None:
            chance = random.Random(f"{intensity.seed} saboteur")
            fault_injector = FaultInjector(place.owner, place.guest, place.proxies, history, chance)
            tasks += [
                fault_injector.inject_until(deadline, intensity.fault_pause_s),
                fault_injector.kill_workers_until(deadline),
                fault_injector.disturb_proxies_until(deadline),
            ]
        async with asyncio.timeout(intensity.seconds + OVERTIME_S_MAX):
            await asyncio.gather(*tasks)
            await resolve_unknown(people, history)


async def verify(database_url: str, history: History) -> list[Violation]:
    """Return the violations that the checker finds in the database."""
    connection = await asyncpg.connect(database_url)
    try:
        return await check(connection, history)
    finally:
        await connection.close()
