"""One typed function per statement on the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from cockade.earning.model import Holder, LedgerRow, Standing
from cockade.ids import BadgeKey, CustomerId, RequestKey
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)

_COLUMNS = (
    "customer_id",
    "request_key",
    "valid_from",
    "valid_until",
    "counted_at",
    "badge_key",
    "ordinal",
    "line",
)


Reach = tuple[datetime, datetime] | None
"""From when until when (half open) event dates count towards windows per customer; None where there are none."""


async def find_holders(
    tx: Tx,
    badge_key: BadgeKey,
    customers: Sequence[CustomerId],
    valid_from: datetime,
    valid_until: datetime,
    reach: Reach,
) -> dict[CustomerId, Holder]:
    """Those of the customers who ever had the badge, with what stands within `[valid_from, valid_until)`.

    Reads all that they ever had of it.
    """
    opens, closes = reach or (None, None)
    rows = await tx.rows(SQL["find_holders"], badge_key, customers, valid_from, valid_until, opens, closes)
    return {
        row[0]: Holder(
            last_ordinal=row[1],
            total=row[2],
            standing=Standing(request_key=row[4], line=row[5], valid_from=row[6], valid_until=row[7])
            if row[3]
            else None,
            counted=row[8] or (),
        )
        for row in rows
    }


async def find_last_ordinals(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], reach: Reach
) -> dict[CustomerId, Holder]:
    """Those of the customers who ever had the badge, with nothing but their ordinal and what counts towards windows."""
    opens, closes = reach or (None, None)
    rows = await tx.rows(SQL["find_last_ordinals"], badge_key, customers, opens, closes)
    return {row[0]: Holder(last_ordinal=row[1], counted=row[2] or ()) for row in rows}


async def find_last_ordinals_of_many(
    tx: Tx, asked: Collection[tuple[BadgeKey, CustomerId]]
) -> dict[tuple[BadgeKey, CustomerId], int]:
    """The highest ordinals of those who ever had these badges."""
    rows = await tx.rows(
        SQL["find_last_ordinals_of_many"],
        [badge_key for badge_key, _ in asked],
        [customer for _, customer in asked],
    )
    return {(BadgeKey(row[0]), CustomerId(row[1])): row[2] for row in rows}


async def insert(tx: Tx, rows: Sequence[LedgerRow]) -> None:
    """Write rows, which must be in ascending order of badge, customer and ordinal: two requests then cannot deadlock.

    Raises DuplicateRow where another request has issued to one of the customers since the holders were read.
    """
    await tx.copy("earned_badge", _COLUMNS, rows)


async def revoke(
    tx: Tx, badge_key: BadgeKey, customer: CustomerId, place: tuple[RequestKey, int], now: datetime
) -> datetime | None:
    """The event date of the revoked one; None where there was no such, unrevoked and not yet at its end."""
    return await tx.value(SQL["revoke"], badge_key, customer, *place, now)


async def count_by_event(tx: Tx, badge_key: BadgeKey) -> None:
    """Have all unrevoked ones count towards windows per customer, where a badge gets its first."""
    await tx.execute(SQL["count_by_event"], badge_key)
