"""BodyMemoryLimiter: limit, order of waiters, and no lost bytes after timeouts and cancellation."""

from __future__ import annotations

import asyncio

import pytest

from cockade.errors import ServiceBusy
from cockade.http.body_limiter import BodyMemoryLimiter


async def waiting(limiter: BodyMemoryLimiter, size: int) -> asyncio.Task[None]:
    """Return a task that is waiting for bytes."""
    task = asyncio.create_task(limiter.acquire(size))
    await asyncio.sleep(0)
    assert not task.done()
    return task


async def assert_all_bytes_are_free(limiter: BodyMemoryLimiter, size: int) -> None:
    async with asyncio.timeout(1):
        await limiter.acquire(size)


async def test_acquire_waits_until_enough_bytes_are_free() -> None:
    limiter = BodyMemoryLimiter(10, 60)
    await limiter.acquire(6)
    await limiter.acquire(4)
    third = await waiting(limiter, 5)
    limiter.release(4)
    await asyncio.sleep(0)
    assert not third.done()
    limiter.release(6)
    await third
    limiter.release(5)
    await assert_all_bytes_are_free(limiter, 10)


async def test_small_body_does_not_overtake_a_waiting_large_one() -> None:
    limiter = BodyMemoryLimiter(10, 60)
    await limiter.acquire(6)
    large, small = await waiting(limiter, 10), await waiting(limiter, 1)
    limiter.release(6)
    await large
    assert not small.done()
    limiter.release(10)
    await small


async def test_timeout_raises_service_busy_and_lets_the_next_waiter_run() -> None:
    limiter = BodyMemoryLimiter(10, 0.05)
    await limiter.acquire(6)
    large = asyncio.create_task(limiter.acquire(10))
    await asyncio.sleep(0.01)
    small = asyncio.create_task(limiter.acquire(4))
    with pytest.raises(ServiceBusy):
        await large
    await small
    limiter.release(10)
    await assert_all_bytes_are_free(limiter, 10)


@pytest.mark.parametrize("is_served", [False, True])
async def test_cancelled_waiter_uses_no_bytes(is_served: bool) -> None:
    limiter = BodyMemoryLimiter(10, 60)
    await limiter.acquire(10)
    cancelled = await waiting(limiter, 10)
    if is_served:
        limiter.release(10)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    if not is_served:
        limiter.release(10)
    await assert_all_bytes_are_free(limiter, 10)
