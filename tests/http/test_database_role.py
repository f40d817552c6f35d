"""The whole service under the role of `cockade db grant`: it can do its work, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct

from cockade import app
from cockade.config import Config
from cockade.errors import SetupError
from cockade.storage.connection import Connection
from cockade.storage.database import connect
from cockade.storage.grants import GRANTS, grant, require_grants
from tests.http.operations import Operation, openapi, operations, set_the_scene
from tests.support import TRIGGER, Org, client_for, make_org, migrated_database

OPERATIONS = [operation for operation in operations(openapi()) if "oauth" not in operation.path]
PRIVILEGES = ("select", "insert", "update", "delete", "truncate", "references", "trigger")


class Place(Struct, kw_only=True):
    """A database with an owner and a role that serves."""

    owner_url: str
    role: str
    role_url: str
    granted: dict[str, Any]
    """The output of the command."""


@pytest_asyncio.fixture(scope="module")
async def place(database_url: str) -> AsyncGenerator[Place]:
    role, password = f"cockade_test_{secrets.token_hex(6)}", secrets.token_hex(12)
    async with migrated_database(database_url) as owner_url:
        owner = await connect(owner_url)
        try:
            await owner.execute(f"create role {role} login password '{password}'")
        except asyncpg.InsufficientPrivilegeError:
            pytest.skip("the role of COCKADE_TEST_DATABASE_URL may not create roles")
        try:
            granted = await asyncio.to_thread(_command, owner_url, "db", "grant", role, "--json")
            assert granted.returncode == 0, granted.stderr
            yield Place(
                owner_url=owner_url,
                role=role,
                role_url=_as(owner_url, f"{role}:{password}"),
                granted=json.loads(granted.stdout),
            )
        finally:
            await owner.execute(f"drop owned by {role}")
            await owner.execute(f"drop role {role}")
            await owner.close()


def _command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COCKADE_DATABASE_URL": url}
    command = [sys.executable, "-m", "cockade", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _as(url: str, user: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


@pytest_asyncio.fixture(scope="module")
async def org(place: Place) -> AsyncGenerator[Org]:
    """Made by the owner, served by the role."""
    async with (
        app.running_services(place.owner_url, Config(pool_size=2)) as owners,
        app.running_services(place.role_url, Config(pool_size=4, rate_limit_per_minute=100_000)) as services,
    ):
        made = await make_org(owners, "bound")
        await made.client.aclose()
        async with client_for(services, made.credential) as client:
            yield msgspec.structs.replace(made, services=services, client=client)


@pytest_asyncio.fixture
async def connection(place: Place) -> AsyncGenerator[Connection]:
    """As the role."""
    opened = await connect(place.role_url)
    yield opened
    await opened.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_every_operation_works_under_the_role(org: Org, operation: Operation) -> None:
    scene = await set_the_scene(org, "bound")
    if operation.entry.prepare is not None:
        await operation.entry.prepare(org, scene)
    answer = await org.client.send(operation.request(org.client, scene))
    assert answer.status_code == operation.entry.status, answer.text


async def test_limits_tokens_and_wrong_secrets_work_under_the_role(org: Org) -> None:
    capped = await org.make_badge(
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1}],
        customerConstraints=[
            {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}
        ],
    )
    first = (await org.earn_bulk(capped, [1])).json()["data"]
    assert first["earnedCount"] == 1
    body = {"badgeMetaId": capped, "customerId": 1, "earnedBadgeId": first["issuedBadges"][0]["issuedId"]}
    assert (await org.client.post("/customer/revokeEarn", json=body)).status_code == 200
    sent = {"key": org.credential.client_key, "secret": org.credential.client_secret}
    url = "http://test/v3/oauth/token/generate"
    assert (await org.client.post(url, json=sent)).status_code == 200
    assert (await org.client.get("/badgeMeta", auth=("nobody", "x"))).status_code == 401


async def test_a_worker_does_its_jobs_under_the_role(org: Org) -> None:
    sent = {"badgeMetaId": await org.make_badge(), **TRIGGER, "requestId": "bound"}
    place, csv = "/customer/earnBulk/jobs", {"Content-Type": "text/csv"}
    job = (await org.client.post(place, params=sent, content=b"1\n2\n", headers=csv)).json()["data"]
    stop = asyncio.Event()
    working = asyncio.create_task(org.services.jobs.run(stop))
    async with asyncio.timeout(20):
        while job["state"] != "completed":
            assert not working.done(), working
            await asyncio.sleep(0.05)
            job = (await org.client.get(f"{place}/{job['jobId']}")).json()["data"]
    await org.services.jobs.cleanup()
    stop.set()
    await working
    assert job["counts"]["issued"] == 2


async def test_each_table_has_a_decision(connection: Connection) -> None:
    tables = await connection.fetch("select tablename from pg_tables where schemaname = current_schema()")
    assert {row[0] for row in tables} == set(GRANTS), "add a line to RIGHTS of storage/rights.py"


@pytest.mark.parametrize("table", GRANTS)
async def test_role_has_exactly_the_granted_permissions(connection: Connection, table: str) -> None:
    held = await connection.fetch(
        "select p from unnest($2::text[]) p where case when p in ('select', 'insert', 'update', 'references')"
        " then has_any_column_privilege($1, p) else has_table_privilege($1, p) end",
        table,
        list(PRIVILEGES),
    )
    assert {row[0] for row in held} == {right.split()[0] for right in GRANTS[table]}


@pytest.mark.parametrize(
    "statement",
    [
        "drop table earned_badge",
        "truncate earned_badge",
        "truncate request",
        "delete from audit_entry",
        "update audit_entry set username = 'other'",
        "update earned_badge set valid_until = valid_from",
        "update earned_badge set request_key = 1",
        "delete from badge",
        "alter table badge disable trigger all",
        "create table mine (x integer)",
        "create index mine on badge (name)",
        "insert into org (name, time_zone, created_at) values ('x', 'UTC', '2026-01-01Z')",
        "update credential set access_group = 'default'",
        "update credential set revoked_at = null",
        "delete from signing_key",
        "delete from schema_migration",
        "create role another",
        "copy badge to program 'cat'",
    ],
)
async def test_statements_beyond_the_grants_fail(connection: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)


async def test_grant_command_reports_its_changes(place: Place) -> None:
    assert place.granted == {"role": place.role, "tables": len(GRANTS), "warnings": []}


async def test_a_right_that_is_lacking_is_said_before_anything_is_served(place: Place) -> None:
    owner, role = await connect(place.owner_url), await connect(place.role_url)
    try:
        await require_grants(role)
        await owner.execute(f"revoke insert on request from {place.role}")
        with pytest.raises(SetupError, match=r"insert on request.*cockade db grant"):
            await require_grants(role)
        await owner.execute(f"grant delete on audit_entry to {place.role}")
        assert await grant(owner, place.role) == []
        await require_grants(role)
        assert not await role.fetchval("select has_table_privilege('audit_entry', 'delete')")
    finally:
        await owner.close()
        await role.close()


async def test_a_role_that_rights_do_not_bind_is_refused(place: Place) -> None:
    owner = await connect(place.owner_url)
    try:
        with pytest.raises(SetupError, match="owns the tables or is a superuser"):
            await grant(owner, await owner.fetchval("select current_user"))
        with pytest.raises(SetupError, match="no role"):
            await grant(owner, "cockade_nobody")
    finally:
        await owner.close()
