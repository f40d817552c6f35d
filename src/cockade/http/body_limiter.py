"""How bodies come in: a process holds only so many bytes of them at a time, and none may take for ever."""

from __future__ import annotations

import asyncio
from collections import deque

from cockade.errors import ServiceBusy

SMALL_BYTES = 64 * 1024
"""A body of at most so many bytes needs no room: the connections that a process accepts bound those."""


class BodyMemoryLimiter:
    """So many bytes of large bodies fit into a process; who comes when it is full waits for those before her."""

    def __init__(self, bytes_max: int, wait_s_max: float) -> None:
        self._free = bytes_max
        self._wait_s_max = wait_s_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> None:
        """Wait until there is room for so many bytes, and take it. Raises Busy where that takes too long."""
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
        """Give back so many bytes; whoever waits longest is next."""
        self._free += size
        while self._waiting and self._waiting[0][0] <= self._free:
            needed, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= needed
                turn.set_result(None)

    def _withdraw(self, size: int, turn: asyncio.Future[None]) -> None:
        """Somebody waits no longer; her turn may have come at the very same moment."""
        if turn.done() and not turn.cancelled():
            self.release(size)
        elif (size, turn) in self._waiting:
            self._waiting.remove((size, turn))
            self.release(0)
