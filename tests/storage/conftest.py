"""Databases for single tests."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from cockade.config import Config
from cockade.storage.database import Connection, Database, connect
from tests.storage.proxy import Proxy

OpenDatabase = Callable[..., Coroutine[Any, Any, Database]]


@pytest_asyncio.fixture
async def open_database(database_url: str) -> AsyncGenerator[OpenDatabase]:
    """Open databases on the shared schema, or at `url`, with any configuration."""
    async with AsyncExitStack() as stack:

        async def open_one(*, url: str | None = None, **settings: Any) -> Database:
            database = Database(url or database_url, msgspec.structs.replace(Config(pool_size=4), **settings))
            await database.open()
            stack.push_async_callback(database.close)
            return database

        yield open_one


@pytest_asyncio.fixture
async def database(open_database: OpenDatabase) -> Database:
    """A database with the default configuration."""
    return await open_database()


@pytest_asyncio.fixture
async def proxy(database_url: str) -> AsyncGenerator[Proxy]:
    """A proxy that forwards everything so far."""
    async with Proxy(database_url).running() as running:
        yield running


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncGenerator[Connection]:
    """A plain connection."""
    plain = await connect(database_url)
    yield plain
    await plain.close()


@pytest_asyncio.fixture
async def empty_database_url(database_url: str, connection: Connection) -> AsyncGenerator[str]:
    """A new, empty database."""
    name = f"cockade_test_{secrets.token_hex(6)}"
    try:
        await connection.execute(f"create database {name}")
    except asyncpg.InsufficientPrivilegeError:
        pytest.skip("the role of COCKADE_TEST_DATABASE_URL may not create databases")
    yield urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
    await connection.execute(f"drop database {name} with (force)")
