"""Migrations: all are recorded, each is applied once however many try, and who is behind is told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from cockade.errors import SetupError
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


async def test_a_migrated_database_is_left_alone(empty_database_url: str) -> None:
    assert [migration.version for migration in await migrate_at(empty_database_url)] == VERSIONS
    assert await migrate_at(empty_database_url) == []


async def test_a_failed_migration_leaves_nothing_behind_and_the_next_try_succeeds(
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


async def test_whoever_is_behind_is_told_what_to_do(
    empty_database_url: str, open_database: OpenDatabase
) -> None:
    database = await open_database(url=empty_database_url)
    with pytest.raises(SetupError, match=r"0001_foundation.*Run `cockade db migrate`"):
        await database.require_ready()
    await migrate_at(empty_database_url)
    await database.require_ready()


FIRST_VERSION_DATA = """
insert into org (name, time_zone, created_at) values ('old', 'UTC', '2026-01-01');
insert into badge (org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, owners,
                   customer_constraints, badge_constraints, presentation, is_active, created_at, created_by, updated_at,
                   updated_by)
select org_id, '653de334b3cda7078c7c68eb', 1, 'old badge', '2026-01-01', '2027-01-01', 'EARN', '{"type":"never"}',
       array['Loyalty'], '[]', '[]',
       '{"description":"a \\u0000","badge_group_id":"0123456789abcdef01234567","badge_rank":7,"custom_fields":{}}',
       true, '2026-01-01', 'x', '2026-01-01', 'x' from org;
insert into earned_badge (customer_id, request_key, valid_from, valid_until, revoked_at, badge_key, ordinal, line)
select c, 1, '2026-02-01', '2027-02-01', case when c = 3 then timestamptz '2026-03-01' end, badge_key, 1, c
from badge, generate_series(1, 5) c;
"""


async def test_data_of_the_first_version_is_carried_over(empty_database_url: str) -> None:
    connection = await connect(empty_database_url)
    try:
        await connection.execute(migrations()[0].sql)
        await connection.execute(
            "create table schema_migration (version integer primary key, name text, applied_at timestamptz)"
        )
        await connection.execute("insert into schema_migration values (1, 'foundation', now())")
        await connection.execute(FIRST_VERSION_DATA)
        assert [migration.version for migration in await migrate(connection, NOW)] == VERSIONS[1:]
        counted = await connection.fetch("select issued, earned from badge_count")
        assert [tuple(row) for row in counted] == [(0, 4)], "what was revoked does not count"
        badge = await connection.fetchrow("select badge_group_id, badge_rank, is_capped from badge")
        assert badge is not None
        assert tuple(badge) == ("0123456789abcdef01234567", 7, False)
        assert (
            await connection.fetchval("select count(*) from earned_badge where counted_at is not null") == 0
        )
    finally:
        await connection.close()
