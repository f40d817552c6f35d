"""Migrations: forward only, in order, recorded, one process at a time."""

from __future__ import annotations

import re
from datetime import datetime
from importlib import resources

from msgspec import Struct

from cockade.errors import SetupError
from cockade.storage.connection import Connection

LOCK = 5_221_330_061
"""The advisory lock of a migration; any unused number."""
_FILE = re.compile(r"(\d{4})_([a-z_]+)\.sql")


class Migration(Struct, frozen=True):
    """A file of `migrations/`."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return all migrations of this version of cockade, in order."""
    files = resources.files("cockade.storage").joinpath("migrations").iterdir()
    found = [
        Migration(int(match[1]), match[2], file.read_text("utf-8"))
        for file in files
        if (match := _FILE.fullmatch(file.name))
    ]
    return sorted(found, key=lambda migration: migration.version)


async def applied(connection: Connection) -> set[int]:
    """Return the versions that the database has recorded."""
    if await connection.fetchval("select to_regclass('schema_migration')") is None:
        return set()
    return {row[0] for row in await connection.fetch("select version from schema_migration")}


async def pending(connection: Connection) -> list[Migration]:
    """Return the migrations that the database lacks."""
    done = await applied(connection)
    return [migration for migration in migrations() if migration.version not in done]


async def require_migrated(connection: Connection) -> None:
    """Raise SetupError if the database lacks migrations of this version of cockade."""
    if behind := await pending(connection):
        names = ", ".join(f"{m.version:04d}_{m.name}" for m in behind)
        raise SetupError(f"The database lacks {len(behind)} migration(s): {names}. Run `cockade db migrate`.")


async def migrate(connection: Connection, now: datetime) -> list[Migration]:
    """Apply pending migrations and return them.

    Several processes may call this at once: one applies them, the others wait and find nothing to do.
    """
    await connection.execute("select pg_advisory_lock($1)", LOCK)
    try:
        await connection.execute(
            "create table if not exists schema_migration"
            " (version integer primary key, name text not null, applied_at timestamptz not null)"
        )
        todo = await pending(connection)
        for migration in todo:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into schema_migration (version, name, applied_at) values ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    now,
                )
        return todo
    finally:
        await connection.execute("select pg_advisory_unlock($1)", LOCK)
