"""What runs in the background: services that are started again when they fail, until they are asked to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog

Background = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event is set; then it finishes what it has begun, and returns."""

Handler = Callable[[int, asyncio.Event], Awaitable[None]]
"""Does the task of the queue with this number. When the event is set, it stops soon, and raises Unfinished."""

PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 30.0
"""The pause before a service is started again doubles from one failure to the next, up to this."""
SOUND_S = 60.0
"""A service that has run for so long begins with the shortest pause again."""

log = structlog.get_logger()


class Unfinished(Exception):
    """The task goes back to the queue, for any worker."""


async def work(services: Mapping[str, Background], stop: asyncio.Event) -> None:
    """Run all services side by side; returns when `stop` is set and all of them have finished."""
    async with asyncio.TaskGroup() as group:
        for name, run in services.items():
            group.create_task(_keep_running(name, run, stop))
        await stop.wait()


async def _keep_running(name: str, run: Background, stop: asyncio.Event) -> None:
    pause_s, now_s = PAUSE_S_MIN, asyncio.get_running_loop().time
    while not stop.is_set():
        started_s = now_s()
        try:
            await run(stop)
        except Exception as error:
            log.warning("a background service failed", action=f"worker.{name}", cause=repr(error))
        if now_s() - started_s > SOUND_S:
            pause_s = PAUSE_S_MIN
        await pause(stop, pause_s * random.uniform(0.5, 1.5))
        pause_s = min(pause_s * 2, PAUSE_S_MAX)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
