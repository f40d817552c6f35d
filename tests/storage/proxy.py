"""A proxy to the database that breaks a connection at its COMMIT: before, after, or while it is running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from urllib.parse import parse_qs, quote, urlsplit

LATE_S = 0.3


class Cut(Enum):
    """When to break the connection at the next COMMIT."""

    BEFORE_COMMIT = auto()
    """The connection breaks before the server receives the COMMIT."""
    BEFORE_ANSWER = auto()
    """The server commits; the connection breaks before the client receives the response."""
    WHILE_COMMITTING = auto()
    """The connection breaks, and the server commits later."""


class Proxy:
    """Forwards loopback connections to the database, message by message."""

    def __init__(self, upstream_url: str) -> None:
        self._upstream = urlsplit(upstream_url)
        self._query = parse_qs(self._upstream.query)
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self.cut: Cut | None = None
        """Applied to the next COMMIT, once."""
        self.gone_after_cut = False
        """Whether the database is unreachable after a connection was cut."""
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        """Run after a COMMIT was cut, before the client notices."""
        self.commits_cut = 0
        self._hearing = asyncio.Event()
        self._hearing.set()

    @property
    def url(self) -> str:
        """The URL for clients."""
        user, password = self._upstream.username or "", self._upstream.password
        name = f"{quote(user)}:{quote(password)}" if password else quote(user)
        return f"postgresql://{name}@127.0.0.1:{self._port}{self._upstream.path}?sslmode=disable"

    def fall_silent(self) -> None:
        """Stop forwarding what clients send, without closing connections."""
        self._hearing.clear()

    def hear_again(self) -> None:
        """Forward again. What was sent in the meantime is lost."""
        self._hearing.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Proxy]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not (self.gone_after_cut and self.commits_cut):
                await self._serve(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        await self._hearing.wait()
        server, to_server = await self._connect()
        answers = asyncio.create_task(_copy(server, to_client))
        try:
            to_server.write(await _read_start(client))
            while True:
                kind, payload = await _read_message(client)
                if not self._hearing.is_set():
                    continue
                if kind == b"Q" and payload.startswith(b"COMMIT") and self.cut is not None:
                    answers.cancel()
                    with suppress(asyncio.CancelledError):
                        await answers
                    await self._break(to_client, server, to_server, _message(kind, payload))
                    return
                to_server.write(_message(kind, payload))
                await to_server.drain()
        finally:
            answers.cancel()
            to_server.close()

    async def _break(
        self,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        commit: bytes,
    ) -> None:
        cut, self.cut = self.cut, None
        self.commits_cut += 1
        if cut is Cut.WHILE_COMMITTING:
            to_client.close()
            await asyncio.sleep(LATE_S)
        if cut is not Cut.BEFORE_COMMIT:
            to_server.write(commit)
            await server.readexactly(1)  # the server responds after it has committed
        to_server.close()
        if self.meanwhile is not None:
            await self.meanwhile()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = self._query.get("host", [self._upstream.hostname or "localhost"])[0]
        port = int(self._query.get("port", [self._upstream.port or 5432])[0])
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
        target.close()


async def _read_start(client: asyncio.StreamReader) -> bytes:
    length = await client.readexactly(4)
    return length + await client.readexactly(int.from_bytes(length) - 4)


async def _read_message(client: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await client.readexactly(5)
    return head[:1], await client.readexactly(int.from_bytes(head[1:]) - 4)


def _message(kind: bytes, payload: bytes) -> bytes:
    return kind + (len(payload) + 4).to_bytes(4) + payload
