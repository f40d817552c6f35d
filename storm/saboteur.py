"""The saboteur: kills, stops and restarts, one act after the other, and times how long it takes to come back."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx
import psutil

from storm.diary import Act, Diary
from storm.proxy import Wire
from tests.acceptance.service import Service

BACK_S_MAX = 90.0
POLL_S = 0.05
Deed = Callable[[], Awaitable[int]]
"""Does it, and answers how many processes it killed."""


class Saboteur:
    """Two services on one database, and the wires between; the first service owns the database."""

    def __init__(
        self, owner: Service, guest: Service, wires: Sequence[Wire], diary: Diary, chance: random.Random
    ) -> None:
        self._owner = owner
        self._guest = guest
        self._wires = wires
        self._diary = diary
        self._chance = chance
        self._deeds: list[tuple[int, str, Deed]] = [
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

    async def sabotage_until(self, deadline: float, pause_s: float) -> None:
        """One act after the other, each once all is well again; the last ends before the deadline, mostly."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * pause_s)
            [(_, kind, deed)] = self._chance.choices(self._deeds, [weight for weight, _, _ in self._deeds])
            await self._commit(kind, deed)

    async def snipe_until(self, deadline: float) -> None:
        """Meanwhile single workers, whenever both services could serve just now."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._chance.uniform(1, 5))
            if all([await self._is_ready(service) for service in (self._owner, self._guest)]):
                with suppress(psutil.NoSuchProcess, IndexError):
                    at, killed = time.time(), await self._kill_worker()
                    self._diary.note(Act(kind="worker killed in passing", killed=killed, at=at, back_s=0))

    async def spoil_until(self, deadline: float) -> None:
        """Meanwhile the wires: cut, slow, blocked."""
        while time.monotonic() < deadline:
            await asyncio.sleep(self._chance.uniform(0.5, 3))
            wire, at = self._chance.choice(self._wires), time.time()
            match self._chance.choice(["cut", "slow", "blocked", "commit"]):
                case "cut":
                    await wire.cut()
                    kind = "wire cut"
                case "commit":
                    self._wires[0].commits_to_cut = 2
                    kind = "wire to the database cut at two commits"
                case "slow":
                    await wire.slow(self._chance.uniform(0.5, 2), 0.3)
                    kind = "wire slow"
                case _:
                    await wire.block(self._chance.uniform(0.5, 2))
                    kind = "wire blocked"
            self._diary.note(Act(kind=kind, killed=0, at=at, back_s=0))

    async def _commit(self, kind: str, deed: Deed) -> None:
        at = time.time()
        try:
            killed = await deed()
        except (psutil.NoSuchProcess, IndexError):  # who was meant was not there
            return
        started = time.monotonic()
        back_s = await self._come_back(started)
        self._diary.note(Act(kind=kind, killed=killed, at=at, back_s=back_s))

    async def _come_back(self, started: float) -> float | None:
        while time.monotonic() < started + BACK_S_MAX:
            ready = [await self._is_ready(service) for service in (self._owner, self._guest)]
            if all(ready):
                return time.monotonic() - started
            await self._start_again()
            await asyncio.sleep(POLL_S)
        return None

    async def _start_again(self) -> None:
        """The guest may not find the database while the owner is away, and ends; somebody starts it again."""
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
        """The database server: the postmaster first, then all others."""
        postmasters = [child for child in self._owner.process.children() if child.name() == "postgres"]
        return [postmasters[0], *postmasters[0].children()]

    def _backends(self) -> list[psutil.Process]:
        """Processes of the database server that work for a service."""
        return [child for child in self._database() if _works_for_us(child)]


def _works_for_us(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, IndexError):
        return "cockade cockade" in child.cmdline()[0]
    return False


async def stop_for(processes: Sequence[psutil.Process], seconds: float) -> None:
    """SIGSTOP and, after a while, SIGCONT."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(seconds)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
