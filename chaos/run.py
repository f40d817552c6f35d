"""Run clients and faults, then the checker."""

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
from chaos.setup import set_up_clients

RESPONSE_SLACK_S = 15.0
"""Seconds that a stopped worker and a slow proxy may add to the request timeout."""
OVERTIME_MAX_S = 400.0
"""A run fails with a timeout if it exceeds its planned duration by more than this."""


class RunOptions(Struct, frozen=True, kw_only=True):
    """Duration and intensity of a run."""

    seconds: float
    seed: int
    clients: int = 12
    request_pause_s: float = 0.15
    """Mean pause between two requests of a client."""
    fault_pause_s: float | None = 1.2
    """Mean pause between the recovery from a fault and the next fault. None: no faults."""


async def run_faults(environment: Environment, options: RunOptions, history: History) -> None:
    """Run all clients and the fault injector at the same time, then resolve unknown outcomes."""
    first, second = environment.first, environment.second
    async with set_up_clients(
        first,
        history,
        SCENARIOS,
        seed=options.seed,
        load_clients=options.clients,
        origins=environment.origins,
        direct_origins=[first.origin, second.origin],
        max_response_s=REQUEST_TIMEOUT_S + RESPONSE_SLACK_S,
    ) as clients:
        deadline = time.monotonic() + options.seconds
        tasks: list[Any] = [client.run_until(deadline, options.request_pause_s) for client in clients.load]
        tasks += [client.run_until(deadline) for client in clients.admin]
        if options.fault_pause_s is not None:
            rng = random.Random(f"{options.seed} faults")
            injector = FaultInjector(first, second, environment.proxies, history, rng)
            tasks += [
                injector.inject_until(deadline, options.fault_pause_s),
                injector.kill_workers_until(deadline),
                injector.disturb_network_until(deadline),
            ]
        async with asyncio.timeout(options.seconds + OVERTIME_MAX_S):
            await asyncio.gather(*tasks)
            await resolve_unknown(clients, history)


async def verify(database_url: str, history: History) -> list[Violation]:
    """Compare the database with the history and return all violations."""
    connection = await asyncpg.connect(database_url)
    try:
        return await check(connection, history)
    finally:
        await connection.close()
