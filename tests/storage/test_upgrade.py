"""Upgrades: the data of every version is kept, and its statements work on the newest schema during a rolling update.

`snapshots/NNNN/rows.sql` has rows as the code of migration NNNN writes them, for the tables and columns that it added. The
other files are the `queries.sql` files of that version.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from cockade import app
from cockade.auth.model import AccessGroup, NewCredential
from cockade.config import Config
from cockade.ids import OrgId
from cockade.storage.database import Connection, connect
from cockade.storage.migrate import migrate, migrations
from cockade.storage.sql import parse
from tests.storage.test_migrate import NOW
from tests.support import TRIGGER, badge_body, client_for, earn_bulk_body

SNAPSHOTS = Path(__file__).parent / "snapshots"
VERSIONS = [migration.version for migration in migrations()]
STATEMENTS = {
    f"{file.parent.name}-{file.stem}": parse(file.read_text())
    for file in sorted(SNAPSHOTS.glob("*/*.sql"))
    if file.name != "rows.sql"
}
"""Statements by version and feature."""
BADGE_ID = "653de334b3cda7078c7c68eb"
CREDENTIAL = NewCredential(
    org_id=OrgId(1001),
    username="old",
    secret="the secret of old",
    client_key="old-client",
    client_secret="the client secret of old",
    access_group=AccessGroup.DEFAULT,
    token_ttl_minutes=60,
)
COLUMNS = (
    "select table_name, string_agg(quote_ident(column_name), ', ' order by ordinal_position)"
    " from information_schema.columns where table_schema = 'public' group by table_name"
)
Contents = dict[str, list[str]]
Columns = dict[str, str]


def _folder(version: int) -> Path:
    return SNAPSHOTS / f"{version:04d}"


async def _migrate_to(connection: Connection, version: int) -> None:
    """Migrate as this version did."""
    await connection.execute(
        "create table schema_migration (version integer primary key, name text not null, applied_at timestamptz not null)"
    )
    for migration in migrations()[:version]:
        await connection.execute(migration.sql)
        await connection.execute(
            "insert into schema_migration values ($1, $2, $3)", migration.version, migration.name, NOW
        )


async def _write(connection: Connection, version: int) -> None:
    """Insert the rows of all versions up to this one."""
    for number in range(1, version + 1):
        await connection.execute((_folder(number) / "rows.sql").read_text())


async def _columns(connection: Connection) -> Columns:
    return {row[0]: row[1] for row in await connection.fetch(COLUMNS)}


async def _contents(connection: Connection, columns: Columns) -> Contents:
    """Return the rows of each table, as far as these columns are concerned."""
    found = {
        table: await connection.fetch(f"select row({names})::text from {table} order by 1")
        for table, names in columns.items()
        if table != "schema_migration"
    }
    return {table: [row[0] for row in rows] for table, rows in found.items()}


@pytest.mark.parametrize("version", VERSIONS)
async def test_data_of_every_version_is_kept_and_served(empty_database_url: str, version: int) -> None:
    connection = await connect(empty_database_url)
    try:
        await _migrate_to(connection, version)
        await _write(connection, version)
        columns = await _columns(connection)
        before = await _contents(connection, columns)
        assert [table for table, rows in before.items() if not rows] == [], "rows.sql fills every table"
        assert [migration.version for migration in await migrate(connection, NOW)] == VERSIONS[version:]
        assert await _contents(connection, columns) == before
    finally:
        await connection.close()
    await _require_served(empty_database_url)


@pytest.mark.parametrize("version", VERSIONS)
async def test_rows_of_every_version_fit_the_newest_schema(empty_database_url: str, version: int) -> None:
    connection = await connect(empty_database_url)
    try:
        await migrate(connection, NOW)
        await _write(connection, version)
    finally:
        await connection.close()
    await _require_served(empty_database_url)


async def test_statements_of_every_version_fit_the_newest_schema(connection: Connection) -> None:
    for statements in STATEMENTS.values():
        for sql in statements.values():
            await connection.prepare(sql)


def test_every_migration_has_a_snapshot() -> None:
    """See CONTRIBUTING.md, "Add a migration"."""
    assert [version for version in VERSIONS if not (_folder(version) / "rows.sql").exists()] == []
    saved = {feature[:4] for feature, statements in STATEMENTS.items() if statements}
    assert [f"{version:04d}" for version in VERSIONS[:-1] if f"{version:04d}" not in saved] == []


async def _require_served(url: str) -> None:
    """Check that the service issues, rejects, revokes and reads on this data."""
    async with (
        app.running_services(url, Config(pool_size=2)) as services,
        client_for(services, CREDENTIAL) as client,
    ):
        await _require_issued(client)
        await _require_revoked(client)
        held = await client.get("/customer/1", params={"badgeType": "EARNED"})
        assert [badge["badgeMetaId"] for badge in held.json()["data"]["badges"]] == [BADGE_ID]
        made = await client.post(
            "/badgeMeta", json=badge_body(), headers={"X-CAP-BADGES-MIGRATION": "migration"}
        )
        assert made.status_code == 201, made.text


async def _require_issued(client: httpx.AsyncClient) -> None:
    """Issue to customers without a valid badge. Old request ids are used, and their outcomes can be looked
    up.
    """
    again = await client.post("/customer/earnBulk", json=earn_bulk_body(BADGE_ID, [1, 5], requestId="old"))
    assert again.json()["errors"][0]["code"] == 809, again.text
    told = await client.get("/requests", params={"requestId": "old-2"})
    [entry] = told.json()["data"]["issuedBadges"]
    assert entry["error"]["code"] == 1040, told.text
    new = await client.post("/customer/earnBulk", json=earn_bulk_body(BADGE_ID, [1, 3, 5], requestId="new"))
    codes = [entry.get("error", {}).get("code") for entry in new.json()["data"]["issuedBadges"]]
    assert codes == [1040, None, None], new.text


async def _require_revoked(client: httpx.AsyncClient) -> None:
    """Revoke an old badge, and issue it again."""
    told = await client.get("/requests", params={"requestId": "old"})
    issued = {entry["customerId"]: entry["issuedId"] for entry in told.json()["data"]["issuedBadges"]}
    body = {"badgeMetaId": BADGE_ID, "customerId": 4, "earnedBadgeId": issued[4]}
    revoked = await client.post("/customer/revokeEarn", json=body)
    assert revoked.status_code == 200, revoked.text
    earned = await client.post(
        "/customer/earn", json={"badgeMetaId": BADGE_ID, "customerId": 4, "triggeredBy": TRIGGER}
    )
    assert earned.status_code == 200, earned.text
