"""The load generator: a process of its own that costs as little as it can, for it shares the machine with what it measures.

Requests are bytes before the clock starts, of the answers only status and length are read, and what they say is looked
at after the clock has stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import cycle
from typing import cast

import msgspec
import psutil
import uvloop
from msgspec import Struct

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"
SPREAD_TRIES_MAX = 200
PROBE = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"


class Load(Struct, kw_only=True):
    """What is to be sent."""

    port: int
    callers: int
    """Connections, each of which sends its next request when it has the answer to its last."""
    requests: list[bytes]
    seconds_max: float | None = None
    """No request is begun later than this."""
    repeats: bool = False
    """Whether to begin again where all have been sent."""
    processes: list[int] = []
    """Those that answer, by id: connections are spread evenly over them, as a load balancer would do it."""


class Outcome(Struct, kw_only=True):
    """What came back."""

    seconds: float
    """From the first request to the last answer."""
    latencies_s: list[float]
    earned: int
    """The sum of what the answers call `earnedCount`."""
    failed: int

    @property
    def calls(self) -> int:
        """How many were answered."""
        return len(self.latencies_s)

    @property
    def calls_per_s(self) -> float:
        """Answers in a second."""
        return self.calls / self.seconds

    @property
    def customers_per_s(self) -> float:
        """Customers answered for in a second, whether they earned or not."""
        return (self.earned + self.failed) / self.seconds


class _Counts(Struct, rename="camel"):
    earned_count: int = 0
    failed_count: int = 0


class _Answer(Struct):
    data: _Counts


class NotAnswered(Exception):
    """An answer was another one than 200, or there was none."""


class Caller(asyncio.Protocol):
    """One connection; what it receives is kept until the clock has stopped."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.answers: list[bytes] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests: Iterator[bytes] = iter(())
        self._deadline = 0.0
        self._sent_at = 0.0
        self._parts: list[bytes] = []
        self._missing = -1

    def run(self, requests: Iterator[bytes], deadline: float) -> asyncio.Future[None]:
        """Send requests, one after the other, until there is none left or it is too late."""
        self._requests, self._deadline = requests, deadline
        self.done = asyncio.get_running_loop().create_future()
        self._next(time.perf_counter())
        return self.done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop, as are the next two."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """An answer has come, or a part of one."""
        self._parts.append(data)
        if self._missing < 0:
            self._begin_answer()
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._end_answer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is sent again: a benchmark in which connections break is none."""
        if not self.done.done():
            self.done.set_exception(NotAnswered(f"the connection was closed: {exc}"))

    def _begin_answer(self) -> None:
        received = b"".join(self._parts)
        head_end = received.find(HEAD_END)
        if head_end < 0:
            return
        head = received[:head_end].lower()
        at = head.find(LENGTH)
        if at < 0:
            self.done.set_exception(NotAnswered(f"no length: {head!r}"))
            return
        line_end = head.find(b"\r\n", at)
        length = int(head[at + len(LENGTH) : line_end if line_end > 0 else None])
        self._missing = head_end + len(HEAD_END) + length - len(received)
        self._parts = [received]

    def _end_answer(self) -> None:
        now = time.perf_counter()
        self.latencies_s.append(now - self._sent_at)
        self.answers.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        self._parts, self._missing = [], -1
        self._next(now)

    def _next(self, now: float) -> None:
        request = next(self._requests, None) if now < self._deadline else None
        if request is None:
            self.done.set_result(None)
        else:
            self._sent_at = now
            self.transport.write(request)


def run(load: Load) -> Outcome:
    """Send the load. Raises NotAnswered where anything but 200 comes back."""
    return uvloop.run(_run(load))


async def _run(load: Load) -> Outcome:
    callers = await _connect(load)
    requests = cycle(load.requests) if load.repeats else iter(load.requests)
    started = time.perf_counter()
    deadline = float("inf") if load.seconds_max is None else started + load.seconds_max
    await asyncio.gather(*(caller.run(requests, deadline) for caller in callers))
    seconds = time.perf_counter() - started
    for caller in callers:
        caller.transport.close()
    answers = [_read(answer) for caller in callers for answer in caller.answers]
    return Outcome(
        seconds=seconds,
        latencies_s=[latency for caller in callers for latency in caller.latencies_s],
        earned=sum(answer.earned_count for answer in answers),
        failed=sum(answer.failed_count for answer in answers),
    )


async def _connect(load: Load) -> list[Caller]:
    """The callers, each of the answering processes having as many of them as the others, or one more."""
    loop = asyncio.get_running_loop()
    share = -(-load.callers // max(1, len(load.processes)))
    callers: list[Caller] = []
    spread = dict.fromkeys(load.processes, 0)
    for _ in range(SPREAD_TRIES_MAX):
        if len(callers) == load.callers:
            return callers
        _, caller = await loop.create_connection(Caller, "127.0.0.1", load.port)
        if load.processes:
            await caller.run(iter([PROBE]), float("inf"))
            caller.answers, caller.latencies_s = [], []
            answering = _holder(caller, load.processes)
            if answering is None or spread[answering] == share:
                caller.transport.close()
                continue
            spread[answering] += 1
        callers.append(caller)
    raise NotAnswered(f"the callers could not be spread over the processes: {spread}")


def _holder(caller: Caller, processes: list[int]) -> int | None:
    """Which process has the other end of the connection."""
    here = caller.transport.get_extra_info("sockname")
    for process in processes:
        for connection in psutil.Process(process).net_connections("tcp"):
            if connection.raddr == here:
                return process
    return None


def _read(answer: bytes) -> _Counts:
    head, _, body = answer.partition(HEAD_END)
    if head.split(b" ", 2)[1] != b"200":
        raise NotAnswered(answer[:2000].decode(errors="replace"))
    return msgspec.json.decode(body, type=_Answer).data


def post(path: str, authorization: str, body: bytes) -> bytes:
    """A POST of JSON as it goes over the wire."""
    return b"%b%b" % (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode(),
        body,
    )


def get(path: str, authorization: str) -> bytes:
    """A GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n\r\n".encode()
