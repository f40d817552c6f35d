"""Read the database by SQL, independently of the code under test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

from msgspec import Struct

from cockade import ids
from cockade.ids import RequestKey
from cockade.storage.connection import Connection
from cockade.storage.database import connect
from tests.support import Org

WAIT_S_MAX = 20.0


class Earned(Struct, frozen=True):
    """A row of the ledger."""

    customer_id: int
    ordinal: int
    earned_badge_id: str
    request_id: str
    valid_from: datetime
    valid_until: datetime
    revoked_at: datetime | None


@asynccontextmanager
async def connection(url: str) -> AsyncGenerator[Connection]:
    """A plain connection, without cockade."""
    opened = await connect(url)
    try:
        yield opened
    finally:
        await opened.close()


async def earned_badges(url: str, org: Org, badge_id: str) -> list[Earned]:
    """Return all rows of the badge, by customer and ordinal."""
    async with connection(url) as opened:
        rows = await opened.fetch(
            "select e.customer_id, e.ordinal, e.request_key, e.line, r.request_id,"
            " e.valid_from, e.valid_until, e.revoked_at"
            " from earned_badge e join badge b using (badge_key)"
            " join request r on r.org_id = b.org_id and r.request_key = e.request_key"
            " where b.org_id = $1 and b.badge_id = $2 order by e.customer_id, e.ordinal",
            org.caller.org_id,
            badge_id,
        )
        assert len(rows) == await count_earned(url, org, badge_id), "an issuance without its request"
    return [
        Earned(row[0], row[1], ids.earned_badge_id(RequestKey(row[2]), row[3]), *tuple(row)[4:])
        for row in rows
    ]


async def count_earned(url: str, org: Org, badge_id: str) -> int:
    """Return the number of rows of the badge."""
    async with connection(url) as opened:
        return await opened.fetchval(
            "select count(*) from earned_badge e join badge b using (badge_key)"
            " where b.org_id = $1 and b.badge_id = $2",
            org.caller.org_id,
            badge_id,
        )


async def await_blocked(opened: Connection, by: int) -> int:
    """Wait for a backend that is blocked by the backend `by`, and return its process id."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            pid = await opened.fetchval(
                "select pid from pg_stat_activity where $1 = any(pg_blocking_pids(pid)) limit 1", by
            )
            if pid is not None:
                return pid
            await asyncio.sleep(0.01)


async def await_earned(url: str, org: Org, badge_id: str) -> None:
    """Wait until the badge has been issued."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            if await count_earned(url, org, badge_id):
                return
            await asyncio.sleep(0.01)
