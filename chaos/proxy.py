"""A proxy on loopback between a client and a server, which can be cut, slowed down and blocked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, quote, urlsplit

CHUNK_BYTES = 65536
COMMIT = b"COMMIT\0"


class Proxy:
    """Forwards connections to `host`:`port`, or to the socket `host` if that is a path."""

    def __init__(self, host: str, port: int, chance: random.Random) -> None:
        self._host = host
        self._port = port
        self._chance = chance
        self._links: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0
        self.delay_s_max = 0.0
        """Maximum delay of each chunk."""
        self.commits_to_cut = 0
        """Number of COMMITs that will break their connection, half of them before the server receives it."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Proxy]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self.cut()

    async def cut(self) -> int:
        """Break all connections, and return how many there were."""
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        return len(links)

    async def block(self, seconds: float) -> None:
        """Forward nothing for a while, without closing connections."""
        self._open.clear()
        await asyncio.sleep(seconds)
        self._open.set()

    async def slow(self, seconds: float, delay_s_max: float) -> None:
        """Delay what is forwarded for a while."""
        self.delay_s_max = delay_s_max
        await asyncio.sleep(seconds)
        self.delay_s_max = 0.0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._links.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            there = await asyncio.open_connection(self._host, self._port)
        ways = [
            asyncio.create_task(self._copy(reader, there[1])),
            asyncio.create_task(self._copy(there[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            there[1].transport.abort()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if self.delay_s_max:
                await asyncio.sleep(self._chance.uniform(0, self.delay_s_max))
            await self._open.wait()
            cut = COMMIT in chunk and self.commits_to_cut > 0
            self.commits_to_cut -= cut
            if cut and self._chance.random() < 0.5:
                return
            target.write(chunk)
            await target.drain()
            if cut:
                return


def proxy_to_database(url: str, chance: random.Random) -> Proxy:
    """Return a proxy to the database of this URL."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = query.get("host", [parts.hostname or "localhost"])[0]
    return Proxy(host, int(query.get("port", [parts.port or 5432])[0]), chance)


def url_via(proxy: Proxy, url: str) -> str:
    """Return the URL of the same database through the proxy."""
    parts = urlsplit(url)
    name = quote(parts.username or "")
    login = f"{name}:{quote(parts.password)}" if parts.password else name
    return f"postgresql://{login}@127.0.0.1:{proxy.port}{parts.path}?sslmode=disable"
