"""Limits on request bodies: the memory that a process uses for them, and the time to receive one."""

from __future__ import annotations

import asyncio
from collections import deque

from cockade.errors import ServiceBusy

SMALL_BYTES = 64 * 1024
"""Bodies up to this size are not limited; the number of connections bounds their memory."""


class BodyMemoryLimiter:
    """Limits the bytes of large bodies in memory. If the limit is reached, requests wait in order of arrival."""

    def __init__(self, bytes_max: int, wait_s_max: float) -> None:
        self._free = bytes_max
        self._wait_s_max = wait_s_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> None:
        """Wait until this number of bytes is available, and take it. Raises Busy after a timeout."""
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(self._wait_s_max):
                await turn
        except BaseException as error:
            self._withdraw(size, turn)
            if isinstance(error, TimeoutError):
                raise ServiceBusy from None
            raise

    def release(self, size: int) -> None:
        """Return this number of bytes to the next request in the queue."""
        self._free += size
        while self._waiting and self._waiting[0][0] <= self._free:
            needed, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= needed
                turn.set_result(None)

    def _withdraw(self, size: int, turn: asyncio.Future[None]) -> None:
        """Leave the queue. The bytes may have been granted at the same moment."""
        if turn.done() and not turn.cancelled():
            self.release(size)
        elif (size, turn) in self._waiting:
            self._waiting.remove((size, turn))
            self.release(0)
