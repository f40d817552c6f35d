"""BodyMemoryLimiter: limit, order of waiters, and no lost bytes after timeouts and cancellation."""

from __future__ import annotations

import asyncio

import pytest

from cockade.errors import ServiceBusy
from cockade.http.body_limiter import BodyMemoryLimiter


async def waiting(room: BodyMemoryLimiter, size: int) -> asyncio.Task[None]:
    """Return a task that is waiting for bytes."""
    task = asyncio.create_task(room.acquire(size))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def assert_all_is_free(room: BodyMemoryLimiter, size: int) -> None:
    async with asyncio.timeout(1):
        await room.acquire(size)


async def test_acquire_waits_until_enough_bytes_are_free() -> None:
    room = BodyMemoryLimiter(10, 60)
    await room.acquire(6)
    await room.acquire(4)
    third = await waiting(room, 5)
    room.release(4)
    await asyncio.sleep(0)
    assert not third.done()
    room.release(6)
    await third
    room.release(5)
    await assert_all_is_free(room, 10)


async def test_small_body_does_not_overtake_a_waiting_large_one() -> None:
    room = BodyMemoryLimiter(10, 60)
    await room.acquire(6)
    large, small = await waiting(room, 10), await waiting(room, 1)
    room.release(6)
    await large
    assert not small.done()
    room.release(10)
    await small


async def test_timeout_raises_service_busy_and_lets_the_next_waiter_run() -> None:
    room = BodyMemoryLimiter(10, 0.05)
    await room.acquire(6)
    large = asyncio.create_task(room.acquire(10))
    await asyncio.sleep(0.01)
    small = asyncio.create_task(room.acquire(4))
    with pytest.raises(ServiceBusy):
        await large
    await small
    room.release(10)
    await assert_all_is_free(room, 10)


@pytest.mark.parametrize("has_had_her_turn", [False, True])
async def test_cancelled_waiter_uses_no_bytes(has_had_her_turn: bool) -> None:
    room = BodyMemoryLimiter(10, 60)
    await room.acquire(10)
    gone = await waiting(room, 10)
    if has_had_her_turn:
        room.release(10)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    if not has_had_her_turn:
        room.release(10)
    await assert_all_is_free(room, 10)
