"""Limit of the memory that request bodies use in a process."""

from __future__ import annotations

import asyncio
from collections import deque

from cockade.errors import ServiceBusy

SMALL_BYTES = 64 * 1024
"""Bodies up to this size are not counted. Their memory is bounded by the maximum number of connections."""


class BodyMemoryLimiter:
    """Fair semaphore weighted by bytes: bounds the memory of large request bodies. Waiters are served in
    order.
    """

    def __init__(self, bytes_max: int, wait_s_max: float) -> None:
        self._free = bytes_max
        self._wait_s_max = wait_s_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> None:
        """Wait until `size` bytes are free, and reserve them. Raises ServiceBusy after the maximum waiting
        time.
        """
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((size, waiter))
        try:
            async with asyncio.timeout(self._wait_s_max):
                await waiter
        except BaseException as error:
            self._cancel(size, waiter)
            if isinstance(error, TimeoutError):
                raise ServiceBusy from None
            raise

    def release(self, size: int) -> None:
        """Free `size` bytes, and serve waiters in order."""
        self._free += size
        while self._waiting and self._waiting[0][0] <= self._free:
            needed, waiter = self._waiting.popleft()
            if not waiter.cancelled():
                self._free -= needed
                waiter.set_result(None)

    def _cancel(self, size: int, waiter: asyncio.Future[None]) -> None:
        """Remove a waiter that gave up. It may have been served at the same moment; then release its bytes."""
        if waiter.done() and not waiter.cancelled():
            self.release(size)
        elif (size, waiter) in self._waiting:
            self._waiting.remove((size, waiter))
            self.release(0)
