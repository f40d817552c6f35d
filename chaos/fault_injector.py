"""The fault injector: kills, stops and restarts processes, disturbs the network, and measures the recovery."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx
import psutil

from chaos.history import Fault, History
from chaos.proxy import Proxy
from tests.acceptance.service import Service

RECOVERY_MAX_S = 90.0
POLL_S = 0.05
Injection = Callable[[], Awaitable[int]]
"""Injects a fault and returns the number of killed processes."""


class FaultInjector:
    """Injects faults into two services on one database, and into the proxies between them.

    The first service runs the database server. The first proxy leads to the database.
    """

    def __init__(
        self, first: Service, second: Service, proxies: Sequence[Proxy], history: History, rng: random.Random
    ) -> None:
        self._first = first
        self._second = second
        self._proxies = proxies
        self._history = history
        self._rng = rng
        self._injections: list[tuple[int, str, Injection]] = [
            (10, "worker killed", self._kill_worker),
            (3, "all workers of a service killed", self._kill_workers),
            (2, "first service killed, with its database", lambda: self._kill_service(self._first)),
            (3, "second service killed", lambda: self._kill_service(self._second)),
            (1, "second service restarted", self._restart),
            (4, "database backend killed", self._kill_backend),
            (4, "postmaster killed", self._kill_postmaster),
            (2, "database stopped with SIGSTOP", self._stop_database),
            (2, "worker stopped with SIGSTOP", self._stop_worker),
        ]
        """Weight, kind and function."""

    async def inject_until(self, deadline: float, mean_pause_s: float) -> None:
        """Inject one fault after the other until the deadline, each after the services have recovered."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * mean_pause_s)
            weights = [weight for weight, _, _ in self._injections]
            [(_, kind, inject)] = self._rng.choices(self._injections, weights)
            await self._inject(kind, inject)

    async def kill_workers_until(self, deadline: float) -> None:
        """Kill a worker at random times at which both services are ready, without waiting for recovery."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._rng.uniform(1, 5))
            if await self._are_ready():
                with suppress(psutil.NoSuchProcess, IndexError):
                    injected_at, killed = time.time(), await self._kill_worker()
                    self._record("worker killed without waiting for recovery", killed, injected_at)

    async def disturb_network_until(self, deadline: float) -> None:
        """Drop, slow down and block the connections of the proxies."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._rng.uniform(0.5, 3))
            proxy, injected_at = self._rng.choice(self._proxies), time.time()
            match self._rng.choice(["drop", "drop commits", "slow down", "block"]):
                case "drop":
                    await proxy.drop_connections()
                    kind = "network: connections dropped"
                case "drop commits":
                    self._proxies[0].commits_to_drop = 2
                    kind = "network: database connections dropped at two COMMITs"
                case "slow down":
                    await proxy.slow_down(self._rng.uniform(0.5, 2), 0.3)
                    kind = "network: slowed down"
                case _:
                    await proxy.block(self._rng.uniform(0.5, 2))
                    kind = "network: blocked"
            self._record(kind, 0, injected_at)

    async def _inject(self, kind: str, inject: Injection) -> None:
        injected_at = time.time()
        try:
            killed = await inject()
        except (psutil.NoSuchProcess, IndexError):  # the process did not exist
            return
        self._record(kind, killed, injected_at, await self._await_recovery())

    def _record(self, kind: str, killed: int, injected_at: float, recovery_s: float | None = 0) -> None:
        self._history.append(Fault(kind=kind, killed=killed, injected_at=injected_at, recovery_s=recovery_s))

    async def _await_recovery(self) -> float | None:
        """Return the seconds until both services are ready, or None if that takes too long."""
        started = time.monotonic()
        while time.monotonic() < started + RECOVERY_MAX_S:
            if await self._are_ready():
                return time.monotonic() - started
            await self._start_ended_services()
            await asyncio.sleep(POLL_S)
        return None

    async def _start_ended_services(self) -> None:
        """Start services that have ended, as a process manager does.

        The second one ends if it starts while the database of the first one is down.
        """
        for service in (self._first, self._second):
            if service.process.poll() is not None:
                await asyncio.to_thread(service.start, wait=False)
                await asyncio.sleep(0.5)

    async def _are_ready(self) -> bool:
        return all([await _is_ready(service) for service in (self._first, self._second)])

    def _random_service(self) -> Service:
        return self._rng.choice([self._first, self._second])

    async def _kill_worker(self) -> int:
        self._rng.choice(self._random_service().workers).kill()
        return 1

    async def _kill_workers(self) -> int:
        workers = self._random_service().workers
        for worker in workers:
            worker.kill()
        return len(workers)

    async def _kill_service(self, service: Service) -> int:
        service.kill()
        await asyncio.sleep(self._rng.uniform(0, 1.5))
        await asyncio.to_thread(service.start, wait=False)
        return 1

    async def _restart(self) -> int:
        await asyncio.to_thread(self._second.stop)
        await asyncio.to_thread(self._second.start, wait=False)
        return 0

    async def _kill_backend(self) -> int:
        self._rng.choice(self._backends()).kill()
        return 1

    async def _kill_postmaster(self) -> int:
        self._database_processes()[0].kill()
        return 1

    async def _stop_database(self) -> int:
        await stop_for(self._database_processes(), self._rng.uniform(1, 6))
        return 0

    async def _stop_worker(self) -> int:
        await stop_for([self._rng.choice(self._random_service().workers)], self._rng.uniform(1, 5))
        return 0

    def _database_processes(self) -> list[psutil.Process]:
        """Return the processes of the database server, the postmaster first."""
        postmasters = [child for child in self._first.process.children() if child.name() == "postgres"]
        return [postmasters[0], *postmasters[0].children()]

    def _backends(self) -> list[psutil.Process]:
        """Return the backends of the connections of the services."""
        return [process for process in self._database_processes() if _is_backend(process)]


def _is_backend(process: psutil.Process) -> bool:
    """Whether the title of the process has the user and the database of the services."""
    with suppress(psutil.NoSuchProcess, IndexError):
        return "cockade cockade" in process.cmdline()[0]
    return False


async def _is_ready(service: Service) -> bool:
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.get(f"{service.origin}/readyz")).status_code == 200
    return False


async def stop_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Stop processes with SIGSTOP, and continue them with SIGCONT after this time."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
