"""Background services: restarted when they fail, until they are stopped. Fair scheduling of their tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

from cockade.errors import Unavailable

BackgroundService = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set, then finishes its current work and returns."""

TaskHandler = Callable[[int, asyncio.Event], Awaitable[None]]
"""Runs the task with this number. When the event is set, it stops soon and raises TaskInterrupted."""

RESTART_DELAY_S_MIN = 0.5
RESTART_DELAY_S_MAX = 30.0
"""The delay before a restart doubles with each failure, up to this value."""
HEALTHY_AFTER_S = 60.0
"""A service that ran this long restarts with the minimum delay."""

FAILURES_MAX = 3
"""Attempts for a step of a task, unless the error is temporary."""
RETRY_S_MIN, RETRY_S_MAX = 0.2, 5.0
CLEANUP_INTERVAL_S = 30.0

log = structlog.get_logger()


class TaskInterrupted(Exception):
    """The task returns to the queue, for any worker."""


async def work(services: Mapping[str, BackgroundService], stop: asyncio.Event) -> None:
    """Run all services concurrently. Returns when `stop` is set and all have finished."""
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
    """Sleep, but return early if `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


class FairScheduler:
    """Runs tasks step by step: each step waits for a slot, first come, first served."""

    def __init__(self, concurrency: int, delay_ms: int) -> None:
        self._slots = asyncio.Semaphore(max(1, concurrency))
        self._delay_s = delay_ms / 1000
        """Pause of a task between two steps."""

    async def run(
        self,
        action: str,
        job: str,
        stopping: asyncio.Event,
        step: Callable[[], Awaitable[bool]],
        fail: Callable[[], Awaitable[None]],
    ) -> None:
        """Run a task to its end. `step` returns whether there is another one.

        Retries while the database is unavailable. After FAILURES_MAX other errors in a row it calls `fail`.
        Raises TaskInterrupted when `ending` is set. `action` and `job` are log fields.
        """
        failures, wait_s = 0, RETRY_S_MIN
        while not stopping.is_set():
            try:
                async with self._slots:
                    if stopping.is_set():
                        break
                    has_more = await step()
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
                if not has_more:
                    return
                failures, wait_s = 0, RETRY_S_MIN
                if self._delay_s:
                    await sleep_or_stop(stopping, self._delay_s)
                continue
            await sleep_or_stop(stopping, wait_s)
            wait_s = min(wait_s * 2, RETRY_S_MAX)
        raise TaskInterrupted


async def with_periodic_cleanup(cleanup: Callable[[], Awaitable[None]], work: Awaitable[None]) -> None:
    """Await `work`, and call `cleanup` periodically meanwhile. Skips it while the database is unavailable."""

    async def cleanup_periodically() -> None:
        while True:
            with suppress(Unavailable):
                await cleanup()
            await asyncio.sleep(CLEANUP_INTERVAL_S)

    async with asyncio.TaskGroup() as group:
        periodic = group.create_task(cleanup_periodically())
        try:
            await work
        finally:
            periodic.cancel()
