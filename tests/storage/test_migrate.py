"""Migrations are recorded, each is applied once under concurrency, and a database that is behind is reported."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from cockade.errors import SetupError
from cockade.storage import migrate as migrate_module
from cockade.storage.database import Connection, connect
from cockade.storage.migrate import Migration, applied, migrate, migrations, pending, require_migrated
from tests.storage.conftest import OpenDatabase

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = [migration.version for migration in migrations()]


async def migrate_at(url: str) -> list[Migration]:
    connection = await connect(url)
    try:
        return await migrate(connection, NOW)
    finally:
        await connection.close()


async def test_all_migrations_of_the_shared_database_are_recorded(connection: Connection) -> None:
    assert await applied(connection) >= set(VERSIONS)
    assert await pending(connection) == []
    await require_migrated(connection)


def test_versions_count_up_from_one_without_gaps() -> None:
    assert list(range(1, len(VERSIONS) + 1)) == VERSIONS


async def test_several_processes_that_migrate_at_once_apply_each_migration_once(
    empty_database_url: str,
) -> None:
    results = await asyncio.gather(*(migrate_at(empty_database_url) for _ in range(5)))
    assert sorted(len(done) for done in results) == [0, 0, 0, 0, len(VERSIONS)]
    connection = await connect(empty_database_url)
    recorded = await connection.fetch(
        "select version, name, applied_at from schema_migration order by version"
    )
    await connection.close()
    assert [tuple(row) for row in recorded] == [
        (migration.version, migration.name, NOW) for migration in migrations()
    ]


async def test_migrated_database_is_left_alone(empty_database_url: str) -> None:
    assert [migration.version for migration in await migrate_at(empty_database_url)] == VERSIONS
    assert await migrate_at(empty_database_url) == []


async def test_failed_migration_leaves_nothing_and_can_be_repeated(
    empty_database_url: str,
) -> None:
    connection = await connect(empty_database_url)
    await connection.execute("create table request (in_the_way integer)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(connection, NOW)
    assert await applied(connection) == set()
    assert await connection.fetchval("select to_regclass('org')") is None
    await connection.execute("drop table request")
    assert [migration.version for migration in await migrate(connection, NOW)] == VERSIONS
    await connection.close()


async def test_database_that_is_behind_is_reported_with_the_remedy(
    empty_database_url: str, open_database: OpenDatabase
) -> None:
    database = await open_database(url=empty_database_url)
    with pytest.raises(SetupError, match=r"0001_initial.*Run `cockade db migrate`"):
        await database.require_ready()
    await migrate_at(empty_database_url)
    await database.require_ready()


async def test_new_migration_is_required_and_applied_once(
    empty_database_url: str, open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate_at(empty_database_url)
    added = Migration(len(VERSIONS) + 1, "added", "alter table badge add column note text")
    monkeypatch.setattr(migrate_module, "migrations", lambda: [*migrations(), added])
    database = await open_database(url=empty_database_url)
    with pytest.raises(SetupError, match=rf"{added.version:04d}_added"):
        await database.require_ready()
    assert await migrate_at(empty_database_url) == [added]
    assert await migrate_at(empty_database_url) == []
    await database.require_ready()
