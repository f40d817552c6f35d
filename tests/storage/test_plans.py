"""Hot statements find their rows by an index, in a ledger of any size.

Tested with default planner settings, for generic and for custom plans. A temporary table with the same
indexes stands for the ledger.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from cockade.config import Config
from cockade.customer_badge.store import SQL as CUSTOMER_BADGE
from cockade.earning.store import SQL as EARNING
from cockade.enrolment.store import SQL as ENROLMENT
from cockade.event.store import SQL as EVENT
from cockade.outbox.store import SQL as OUTBOX
from cockade.storage.database import Connection, connect, session_settings

BADGES = 120
CUSTOMERS = 2000
BADGE = BADGES // 2
TABLES = ("earned_badge", "enrolment")
FROM, UNTIL = "'2024-05-01Z'", "'2024-06-01Z'"
NOTHING = "null, null, null, null, null, null, null, null, null"


class Asked(NamedTuple):
    """A statement, its parameters as SQL literals, and the columns that must be index conditions."""

    statement: str
    values: str
    by: set[str]


def customers(count: int) -> str:
    """Return a list of customers, of which most have the badge."""
    return "'{" + ",".join(str(customer) for customer in range(1, count + 1)) + "}'"


def hot(count: int) -> dict[str, Asked]:
    """Return the statements of an earnBulk and an issueBulk with `count` customers, a revokeIssue, an undo,
    and expiries.
    """
    one_each = {"badge_key", "customer_id"}
    audience = customers(count)
    badges = "'{" + ",".join([str(BADGE)] * count) + "}'"
    froms, untils = (f"array_fill(timestamptz {at}, array[{count}])" for at in (FROM, UNTIL))
    return {
        "find_holders": Asked(
            EARNING["find_holders"], f"{BADGE}, {audience}, {FROM}, {UNTIL}, null, null", one_each
        ),
        "find_last_ordinals": Asked(
            EARNING["find_last_ordinals"], f"{BADGE}, {audience}, {FROM}, {UNTIL}", one_each
        ),
        "find_holders_of_many": Asked(
            EARNING["find_holders_of_many"], f"{badges}, {audience}, {froms}, {untils}, {badges}", one_each
        ),
        "find_last_ordinals_of_many": Asked(
            EARNING["find_last_ordinals_of_many"], f"{badges}, {audience}", one_each
        ),
        "find_enrollees": Asked(
            ENROLMENT["find_enrollees"], f"{BADGE}, {audience}, {FROM}, {UNTIL}", one_each
        ),
        "find_holding": Asked(ENROLMENT["find_holding"], f"{BADGE}, {audience}, {FROM}", one_each),
        "list_validities": Asked(EVENT["list_validities"], f"1, {badges}, {audience}, {audience}", one_each),
        "list_ended": Asked(
            EVENT["list_expired"], f"1, {badges}, {audience}, {audience}, {FROM}, {UNTIL}", one_each
        ),
        **{
            f"{name} of {table}": Asked(sql[name], f"1, {badges}, {audience}, {audience}{more}", one_each)
            for table, sql in (("earned_badge", EARNING), ("enrolment", ENROLMENT))
            for name, more in (("count_lines", ""), ("revoke_lines", f", {FROM}"))
        },
        "revoke_all": Asked(ENROLMENT["revoke_all"], f"{BADGE}, {audience}, {FROM}", one_each),
    }


SINGLE = {
    "revoke": Asked(EARNING["revoke"], f"{BADGE}, 7, 1, 7, {FROM}", {"badge_key", "customer_id"}),
    "list_states": Asked(
        CUSTOMER_BADGE["list_states"],
        f"1001, 7, {FROM}, {NOTHING}, 'LIVE', 'RANK', 1, 10, 0",
        {"badge_key", "customer_id"},
    ),
    "list_earned": Asked(CUSTOMER_BADGE["list_earned"], f"{BADGE}, 7, 10, 1001", {"badge_key", "customer_id"}),
    "list_holders": Asked(
        CUSTOMER_BADGE["list_holders"], f"{BADGE}, 7, 1, null, {FROM}, 10, 1001", {"badge_key"}
    ),
    "count_states": Asked(CUSTOMER_BADGE["count_states"], f"{BADGE}, 7, {FROM}", {"badge_key", "customer_id"}),
    "list_counted": Asked(
        CUSTOMER_BADGE["list_counted"], f"7, '{{{BADGE}}}', array[{FROM}]::timestamptz[], array[{UNTIL}]::timestamptz[]",
        {"badge_key", "customer_id"},
    ),
}  # fmt: skip


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncGenerator[Connection]:
    """A connection with an empty ledger of its own and default planner settings."""
    connection = await connect(database_url)
    try:
        for table in TABLES:
            await connection.execute(f"create temp table {table} (like public.{table} including all)")
        yield connection
    finally:
        await connection.close()


async def fill(connection: Connection) -> None:
    """Insert 240,000 rows in the order in which badges are issued. A fifth of them counts towards windows."""
    for table in TABLES:
        await connection.execute(
            f"insert into {table} (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)"
            f" select c, b, at, at + interval '90 days', b, 1, c from generate_series(1, {BADGES}) b,"
            f" generate_series(1, {CUSTOMERS}) c, lateral (select timestamptz '2024-01-01Z' + b * interval '1 day') t (at)"
        )
    await connection.execute("update earned_badge set counted_at = valid_from where badge_key % 5 = 0")
    for table in TABLES:
        await connection.execute(f"analyze {table}")


async def plan_of(connection: Connection, asked: Asked, mode: str) -> dict[str, Any]:
    """Return the plan of a prepared statement with `force_generic_plan` or `force_custom_plan`."""
    await connection.execute(f"set plan_cache_mode = {mode}")
    await connection.execute(f"prepare asked as {asked.statement}")
    plan = await connection.fetchval(f"explain (format json) execute asked ({asked.values})")
    await connection.execute("deallocate asked")
    return json.loads(plan)[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the node and all its descendants."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def require_index(name: str, plan: dict[str, Any], by: set[str]) -> None:
    """Require that every scan of a ledger uses an index on these columns."""
    reading = [
        node for node in nodes(plan) if node.get("Relation Name") in TABLES and "Scan" in node["Node Type"]
    ]
    assert reading, name
    for node in reading:
        leading = [node, *node.get("Plans", [])] if node["Node Type"] == "Bitmap Heap Scan" else [node]
        condition = " ".join(part.get("Index Cond", "") for part in leading)
        assert all(column in condition for column in by), (name, node)


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_hot_statements_use_an_index_in_a_large_ledger(connection: Connection, mode: str) -> None:
    await fill(connection)
    for count in (1, 100, 1000):
        for name, asked in hot(count).items():
            require_index(f"{name} of {count}", await plan_of(connection, asked, mode), asked.by)
    for name, asked in SINGLE.items():
        require_index(name, await plan_of(connection, asked, mode), asked.by)


async def test_plans_made_on_an_empty_ledger_use_an_index_too(
    connection: Connection,
) -> None:
    """Services keep these plans for as long as they run."""
    for name, value in session_settings(Config()).items():
        await connection.execute("select set_config($1, $2, false)", name, value)
    for table in TABLES:
        await connection.execute(f"vacuum analyze {table}")
    for name, asked in (hot(100) | SINGLE).items():
        require_index(name, await plan_of(connection, asked, "force_generic_plan"), asked.by)


async def test_expiries_are_found_by_time_and_their_requests_by_key(connection: Connection) -> None:
    """These statements run four times a second over all future expiries."""
    for name, value in session_settings(Config()).items():
        await connection.execute("select set_config($1, $2, false)", name, value)
    tell = Asked(OUTBOX["enqueue_expiries"], f"{FROM}, {FROM}, 10, 0", set())
    place = Asked(OUTBOX["assign_positions"], "10", set())
    for asked in (tell, place):
        plan = await plan_of(connection, asked, "force_generic_plan")
        scans = {
            (node.get("Relation Name"), node.get("Index Name"))
            for node in nodes(plan)
            if "Scan" in node["Node Type"]
        }
        assert "request_by_key" in {index for _, index in scans}  # as an index scan or a bitmap
        assert (asked is place) is (("pending_expiry", "pending_expiry_by_time") not in scans)
        assert "Seq Scan" not in {node["Node Type"] for node in nodes(plan)}
