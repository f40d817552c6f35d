"""What runs in the background: services that are started again when they fail, until they are asked to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from cockade.errors import Unavailable

BackgroundService = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set; then it finishes what it has begun, and returns."""

TaskHandler = Callable[[int, asyncio.Event], Awaitable[None]]
"""Does the task of the queue with this number. When the event is set, it stops soon, and raises Unfinished."""

RESTART_DELAY_S_MIN = 0.5
RESTART_DELAY_S_MAX = 30.0
"""The pause before a service is started again doubles from one failure to the next, up to this."""
HEALTHY_AFTER_S = 60.0
"""A service that has run for so long begins with the shortest pause again."""

FAILURES_MAX = 3
"""So often one step of a task is tried where the reason is none that passes."""
RETRY_S_MIN, RETRY_S_MAX = 0.2, 5.0
CLEANUP_INTERVAL_S = 30.0

log = structlog.get_logger()


class TaskInterrupted(Exception):
    """The task goes back to the queue, for any worker."""


async def work(services: Mapping[str, BackgroundService], stop: asyncio.Event) -> None:
    """Run all services side by side; returns when `stop` is set and all of them have finished."""
    async with asyncio.TaskGroup() as group:
        for name, run in services.items():
            group.create_task(_keep_running(name, run, stop))
        await stop.wait()


async def _keep_running(name: str, run: BackgroundService, stop: asyncio.Event) -> None:
    pause_s, now_s = RESTART_DELAY_S_MIN, asyncio.get_running_loop().time
    while not stop.is_set():
        started_s = now_s()
        try:
            await run(stop)
        except Exception as error:
            log.warning("a background service failed", action=f"worker.{name}", cause=repr(error))
        if now_s() - started_s > HEALTHY_AFTER_S:
            pause_s = RESTART_DELAY_S_MIN
        await sleep_or_stop(stop, pause_s * random.uniform(0.5, 1.5))
        pause_s = min(pause_s * 2, RESTART_DELAY_S_MAX)


async def sleep_or_stop(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


class FairScheduler:
    """Tasks that are done step by step take turns: each step waits for one, in the order in which they ask."""

    def __init__(self, at_a_time: int, gap_ms: int) -> None:
        self._slots = asyncio.Semaphore(max(1, at_a_time))
        self._gap_s = gap_ms / 1000
        """How long a task rests between two steps."""

    async def run(
        self,
        action: str,
        job: str,
        ending: asyncio.Event,
        step: Callable[[], Awaitable[bool]],
        fail: Callable[[], Awaitable[None]],
    ) -> None:
        """One task, from where it is to its end: `step` answers whether there is another one.

        A database that is away is waited for; after FAILURES_MAX other failures in a row it is `fail`. Raises Unfinished
        when `ending` is set. The log calls it `action` and `job`.
        """
        failures, wait_s = 0, RETRY_S_MIN
        while not ending.is_set():
            try:
                async with self._slots:
                    if ending.is_set():
                        break
                    goes_on = await step()
            except Unavailable as error:
                log.warning("retry", action=action, job=job, cause=repr(error.__cause__))
            except Exception as error:
                failures += 1
                log.error("unexpected error", action=action, job=job, exc_info=error)
                if failures == FAILURES_MAX:
                    with suppress(Unavailable):
                        await fail()
                    return
            else:
                if not goes_on:
                    return
                failures, wait_s = 0, RETRY_S_MIN
                if self._gap_s:
                    await sleep_or_stop(ending, self._gap_s)
                continue
            await sleep_or_stop(ending, wait_s)
            wait_s = min(wait_s * 2, RETRY_S_MAX)
        raise TaskInterrupted


async def with_periodic_cleanup(cleanup: Callable[[], Awaitable[None]], work: Awaitable[None]) -> None:
    """Work, and sweep every now and then meanwhile; where the database is away, the next time."""

    async def sweep_often() -> None:
        while True:
            with suppress(Unavailable):
                await cleanup()
            await asyncio.sleep(CLEANUP_INTERVAL_S)

    async with asyncio.TaskGroup() as group:
        often = group.create_task(sweep_often())
        try:
            await work
        finally:
            often.cancel()
