"""A TCP proxy on loopback that can drop, block and delay connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, quote, urlsplit

CHUNK_BYTES = 65536
COMMIT = b"COMMIT\0"


class Proxy:
    """Forwards connections to `host`:`port`, or to a PostgreSQL socket in the directory `host`."""

    def __init__(self, host: str, port: int, rng: random.Random) -> None:
        self._host = host
        self._port = port
        self._rng = rng
        self._connections: set[asyncio.Task[None]] = set()
        self._unblocked = asyncio.Event()
        self._unblocked.set()
        self._max_delay_s = 0.0
        self.port = 0
        """The port that the proxy listens on."""
        self.commits_to_drop = 0
        """Number of upcoming COMMITs that drop their connection, half of them before the server receives it."""

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[Proxy]:
        """Accept connections until the block ends."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self.drop_connections()

    async def drop_connections(self) -> int:
        """Drop all connections and return their number."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        return len(connections)

    async def block(self, seconds: float) -> None:
        """Forward nothing for this time. Connections stay open."""
        self._unblocked.clear()
        await asyncio.sleep(seconds)
        self._unblocked.set()

    async def slow_down(self, seconds: float, max_delay_s: float) -> None:
        """For this time, delay each chunk by up to `max_delay_s`."""
        self._max_delay_s = max_delay_s
        await asyncio.sleep(seconds)
        self._max_delay_s = 0.0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            opening = asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            opening = asyncio.open_connection(self._host, self._port)
        server_reader, server_writer = await opening
        directions = [
            asyncio.create_task(self._forward(reader, server_writer)),
            asyncio.create_task(self._forward(server_reader, writer)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            server_writer.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if self._max_delay_s:
                await asyncio.sleep(self._rng.uniform(0, self._max_delay_s))
            await self._unblocked.wait()
            is_dropped = COMMIT in chunk and self.commits_to_drop > 0
            self.commits_to_drop -= is_dropped
            if is_dropped and self._rng.random() < 0.5:
                return
            target.write(chunk)
            await target.drain()
            if is_dropped:
                return


def database_proxy(url: str, rng: random.Random) -> Proxy:
    """Return a proxy to the database at this URL."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = query.get("host", [parts.hostname or "localhost"])[0]
    return Proxy(host, int(query.get("port", [parts.port or 5432])[0]), rng)


def proxied_url(proxy: Proxy, url: str) -> str:
    """Return the URL that reaches the same database through the proxy."""
    parts = urlsplit(url)
    name = quote(parts.username or "")
    login = f"{name}:{quote(parts.password)}" if parts.password else name
    return f"postgresql://{login}@127.0.0.1:{proxy.port}{parts.path}?sslmode=disable"
