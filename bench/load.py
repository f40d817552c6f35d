"""The load generator. It runs in a separate process.

It shares the machine with the service, so it does as little work as possible while the clock runs: requests are encoded
before, only the status and length of a response are read meanwhile, and bodies are checked after.
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
MAX_CONNECT_ATTEMPTS = 200
PROBE = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"


class Load(Struct, kw_only=True):
    """The requests to send, and how to send them."""

    port: int
    connections: int
    """Each connection sends its next request when it has received the response to the previous one."""
    requests: list[bytes]
    max_seconds: float | None = None
    """No request is started after this time."""
    repeat: bool = False
    """Whether to start again with the first request after the last one."""
    worker_pids: list[int] = []
    """Process ids of the server's workers. Connections are distributed evenly over them, as by a load balancer."""


class LoadResult(Struct, kw_only=True):
    """Latencies, and totals over all responses."""

    seconds: float
    """Time from the first request to the last response."""
    latencies_s: list[float]
    earned: int
    """Sum of `earnedCount`."""
    failed: int
    """Sum of `failedCount`."""

    @property
    def requests(self) -> int:
        """The number of requests, all of them with a response."""
        return len(self.latencies_s)

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    @property
    def customers_per_s(self) -> float:
        """Processed customers per second, issued or failed."""
        return (self.earned + self.failed) / self.seconds


class _Counts(Struct, rename="camel"):
    earned_count: int = 0
    failed_count: int = 0


class _Envelope(Struct):
    data: _Counts


class LoadError(Exception):
    """A response was not a 200, a connection was closed, or connections could not be distributed over the workers."""


class Connection(asyncio.Protocol):
    """One HTTP connection. It keeps the raw responses until the clock has stopped."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.responses: list[bytes] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests: Iterator[bytes] = iter(())
        self._deadline = 0.0
        self._sent_at = 0.0
        self._parts: list[bytes] = []
        self._missing = -1

    def run(self, requests: Iterator[bytes], deadline: float) -> asyncio.Future[None]:
        """Send requests one after the other until none is left or the deadline has passed."""
        self._requests, self._deadline = requests, deadline
        self.done = asyncio.get_running_loop().create_future()
        self._next(time.perf_counter())
        return self.done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Add a part of a response. Send the next request when the response is complete."""
        self._parts.append(data)
        if self._missing < 0:
            self._read_head()
        else:
            self._missing -= len(data)
        if self._missing == 0:
            self._end_response()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the benchmark. Retries would distort the measurement."""
        if not self.done.done():
            self.done.set_exception(LoadError(f"the connection was closed: {exc}"))

    def _read_head(self) -> None:
        received = b"".join(self._parts)
        head_end = received.find(HEAD_END)
        if head_end < 0:
            return
        head = received[:head_end].lower()
        at = head.find(LENGTH)
        if at < 0:
            self.done.set_exception(LoadError(f"the response has no Content-Length: {head!r}"))
            return
        line_end = head.find(b"\r\n", at)
        length = int(head[at + len(LENGTH) : line_end if line_end > 0 else None])
        self._missing = head_end + len(HEAD_END) + length - len(received)
        self._parts = [received]

    def _end_response(self) -> None:
        now = time.perf_counter()
        self.latencies_s.append(now - self._sent_at)
        self.responses.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        self._parts, self._missing = [], -1
        self._next(now)

    def _next(self, now: float) -> None:
        request = next(self._requests, None) if now < self._deadline else None
        if request is None:
            self.done.set_result(None)
        else:
            self._sent_at = now
            self.transport.write(request)


def run(load: Load) -> LoadResult:
    """Send the load. Raises LoadError if a response is not a 200 or a connection is closed."""
    return uvloop.run(_run(load))


async def _run(load: Load) -> LoadResult:
    connections = await _connect(load)
    requests = cycle(load.requests) if load.repeat else iter(load.requests)
    started = time.perf_counter()
    deadline = float("inf") if load.max_seconds is None else started + load.max_seconds
    await asyncio.gather(*(connection.run(requests, deadline) for connection in connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.transport.close()
    counts = [_read_counts(response) for connection in connections for response in connection.responses]
    return LoadResult(
        seconds=seconds,
        latencies_s=[latency for connection in connections for latency in connection.latencies_s],
        earned=sum(each.earned_count for each in counts),
        failed=sum(each.failed_count for each in counts),
    )


async def _connect(load: Load) -> list[Connection]:
    """Open the connections, at most ⌈connections ÷ workers⌉ to each worker.

    The kernel picks the worker of a connection. A connection to a worker that has enough is closed and tried again.
    """
    loop = asyncio.get_running_loop()
    max_per_worker = -(-load.connections // max(1, len(load.worker_pids)))
    connections: list[Connection] = []
    by_worker = dict.fromkeys(load.worker_pids, 0)
    for _ in range(MAX_CONNECT_ATTEMPTS):
        if len(connections) == load.connections:
            return connections
        _, connection = await loop.create_connection(Connection, "127.0.0.1", load.port)
        if load.worker_pids:
            await connection.run(iter([PROBE]), float("inf"))
            connection.responses, connection.latencies_s = [], []
            worker = _find_worker(connection, load.worker_pids)
            if worker is None or by_worker[worker] == max_per_worker:
                connection.transport.close()
                continue
            by_worker[worker] += 1
        connections.append(connection)
    raise LoadError(
        f"could not distribute {load.connections} connections over the workers in {MAX_CONNECT_ATTEMPTS} attempts; "
        f"connections by process id: {by_worker}"
    )


def _find_worker(connection: Connection, worker_pids: list[int]) -> int | None:
    """Return the id of the process at the other end of the connection."""
    local_address = connection.transport.get_extra_info("sockname")
    for pid in worker_pids:
        for candidate in psutil.Process(pid).net_connections("tcp"):
            if candidate.raddr == local_address:
                return pid
    return None


def _read_counts(response: bytes) -> _Counts:
    head, _, body = response.partition(HEAD_END)
    if head.split(b" ", 2)[1] != b"200":
        raise LoadError(response[:2000].decode(errors="replace"))
    return msgspec.json.decode(body, type=_Envelope).data


def post(path: str, authorization: str, body: bytes) -> bytes:
    """Encode a POST request with a JSON body."""
    return b"%b%b" % (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode(),
        body,
    )


def get(path: str, authorization: str) -> bytes:
    """Encode a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n\r\n".encode()
