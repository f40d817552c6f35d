"""The fault injector: kills, stops and restarts processes one after the other, and measures how long recovery
takes.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx
import psutil

from chaos.history import History, InjectedFault
from chaos.proxy import Proxy
from tests.acceptance.service import Service

RECOVERY_S_MAX = 90.0
POLL_S = 0.05
Injection = Callable[[], Awaitable[int]]
"""Injects a fault and returns the number of killed processes."""


class FaultInjector:
    """Injects faults into two services on one database and their proxies. The first service owns the
    database.
    """

    def __init__(
        self,
        owner: Service,
        guest: Service,
        proxies: Sequence[Proxy],
        history: History,
        chance: random.Random,
    ) -> None:
        self._owner = owner
        self._guest = guest
        self._wires = proxies
        self._diary = history
        self._chance = chance
        self._deeds: list[tuple[int, str, Injection]] = [
            (10, "worker killed", self._kill_worker),
            (3, "all workers of a service killed", self._kill_workers),
            (2, "service with the database killed", lambda: self._kill_service(self._owner)),
            (3, "other service killed", lambda: self._kill_service(self._guest)),
            (1, "other service restarted", self._restart),
            (4, "database backend killed", self._kill_backend),
            (4, "postmaster killed", self._kill_postmaster),
            (2, "database stopped for seconds", self._stop_database),
            (2, "worker stopped for seconds", self._stop_worker),
        ]

    async def inject_until(self, deadline: float, pause_s: float) -> None:
        """Inject one fault after the other, each when both services are ready again, until the deadline."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * pause_s)
            [(_, kind, injection)] = self._chance.choices(
                self._deeds, [weight for weight, _, _ in self._deeds]
            )
            await self._commit(kind, injection)

    async def kill_workers_until(self, deadline: float) -> None:
        """Kill single workers whenever both services were ready just now."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._chance.uniform(1, 5))
            if all([await self._is_ready(service) for service in (self._owner, self._guest)]):
                with suppress(psutil.NoSuchProcess, IndexError):
                    at, killed = time.time(), await self._kill_worker()
                    self._diary.note(
                        InjectedFault(kind="worker killed in passing", killed=killed, at=at, recovery_s=0)
                    )

    async def disturb_proxies_until(self, deadline: float) -> None:
        """Cut, slow down and block the proxies."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._chance.uniform(0.5, 3))
            proxy, at = self._chance.choice(self._wires), time.time()
            match self._chance.choice(["cut", "slow", "blocked", "commit"]):
                case "cut":
                    await proxy.cut()
                    kind = "wire cut"
                case "commit":
                    self._wires[0].commits_to_cut = 2
                    kind = "wire to the database cut at two commits"
                case "slow":
                    await proxy.slow(self._chance.uniform(0.5, 2), 0.3)
                    kind = "wire slow"
                case _:
                    await proxy.block(self._chance.uniform(0.5, 2))
                    kind = "wire blocked"
            self._diary.note(InjectedFault(kind=kind, killed=0, at=at, recovery_s=0))

    async def _commit(self, kind: str, injection: Injection) -> None:
        at = time.time()
        try:
            killed = await injection()
        except (psutil.NoSuchProcess, IndexError):  # the process was gone already
            return
        started = time.monotonic()
        recovery_s = await self._await_recovery(started)
        self._diary.note(InjectedFault(kind=kind, killed=killed, at=at, recovery_s=recovery_s))

    async def _await_recovery(self, started: float) -> float | None:
        while time.monotonic() < started + RECOVERY_S_MAX:
            ready = [await self._is_ready(service) for service in (self._owner, self._guest)]
            if all(ready):
                return time.monotonic() - started
            await self._start_again()
            await asyncio.sleep(POLL_S)
        return None

    async def _start_again(self) -> None:
        """Start the guest again: it exits if it does not find the database while the owner is restarting."""
        for service in (self._owner, self._guest):
            if service.process.poll() is not None:
                await asyncio.to_thread(service.start, wait=False)
                await asyncio.sleep(0.5)

    async def _is_ready(self, service: Service) -> bool:
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(timeout=10) as client:
                return (await client.get(f"{service.origin}/readyz")).status_code == 200
        return False

    def _either(self) -> Service:
        return self._chance.choice([self._owner, self._guest])

    async def _kill_worker(self) -> int:
        self._chance.choice(self._either().workers).kill()
        return 1

    async def _kill_workers(self) -> int:
        workers = self._either().workers
        for worker in workers:
            worker.kill()
        return len(workers)

    async def _kill_service(self, service: Service) -> int:
        service.kill()
        await asyncio.sleep(self._chance.uniform(0, 1.5))
        await asyncio.to_thread(service.start, wait=False)
        return 1

    async def _restart(self) -> int:
        await asyncio.to_thread(self._guest.stop)
        await asyncio.to_thread(self._guest.start, wait=False)
        return 0

    async def _kill_backend(self) -> int:
        self._chance.choice(self._backends()).kill()
        return 1

    async def _kill_postmaster(self) -> int:
        self._database()[0].kill()
        return 1

    async def _stop_database(self) -> int:
        await stop_for(self._database(), self._chance.uniform(1, 6))
        return 0

    async def _stop_worker(self) -> int:
        await stop_for([self._chance.choice(self._either().workers)], self._chance.uniform(1, 5))
        return 0

    def _database(self) -> list[psutil.Process]:
        """Return the processes of the database server, the postmaster first."""
        postmasters = [child for child in self._owner.process.children() if child.name() == "postgres"]
        return [postmasters[0], *postmasters[0].children()]

    def _backends(self) -> list[psutil.Process]:
        """Return the database processes that serve a service."""
        return [child for child in self._database() if _works_for_us(child)]


def _works_for_us(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, IndexError):
        return "cockade cockade" in child.cmdline()[0]
    return False


async def stop_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Send SIGSTOP and, after a while, SIGCONT."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
