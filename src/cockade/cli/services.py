"""Select the database of a command: COCKADE_DATABASE_URL or the embedded database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from cockade import app, clock, config, logs
from cockade.app import Services
from cockade.config import Config
from cockade.storage.database import check_server, connect
from cockade.storage.embedded import embedded_database
from cockade.storage.grants import require_grants
from cockade.storage.migrate import migrate, require_migrated

T = TypeVar("T")
log = structlog.get_logger()


@contextmanager
def database_url(settings: Config, *, serving: bool = False) -> Generator[str]:
    """Yield the database URL. The embedded server runs at least until the block ends."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    with embedded_database(settings.data_dir, serving=serving) as url:
        yield url


async def prepare(url: str, settings: Config) -> None:
    """Check the server and the schema. Migrate the embedded database, but not one configured by URL.

    Raises SetupError if the database is unreachable or too old, has pending migrations, or does not grant the
    required permissions.
    """
    connection = await connect(url)
    try:
        for warning in await check_server(connection):
            log.warning(warning, action="db.check")
        if settings.database_url is None:
            await migrate(connection, clock.now())
        await require_migrated(connection)
        await require_grants(connection)
    finally:
        await connection.close()


def with_services(work: Callable[[Services], Awaitable[T]]) -> T:
    """Run `work` on the configured database, whether or not a service is running on it."""
    settings = config.from_environment()
    logs.configure(settings)

    async def run(url: str) -> T:
        await prepare(url, settings)
        async with app.running_services(url, settings) as services:
            return await work(services)

    with database_url(settings) as url:
        return asyncio.run(run(url))
