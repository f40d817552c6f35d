"""One typed function per statement on the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockade.earning.model import Entry, Holder, Standing
from cockade.ids import BadgeKey, CustomerId, RequestKey
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)

_COLUMNS = ("customer_id", "request_key", "valid_from", "valid_until", "badge_key", "ordinal", "line")


async def find_holders(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], valid_from: datetime, valid_until: datetime
) -> dict[CustomerId, Holder]:
    """Those of the customers who ever had the badge, with what stands within `[valid_from, valid_until)`."""
    rows = await tx.rows(SQL["find_holders"], badge_key, customers, valid_from, valid_until)
    return {
        row[0]: Holder(
            last_ordinal=row[1],
            standing=Standing(request_key=row[3], line=row[4], valid_from=row[5], valid_until=row[6])
            if row[2]
            else None,
        )
        for row in rows
    }


async def insert(
    tx: Tx,
    badge_key: BadgeKey,
    request_key: RequestKey,
    valid_from: datetime,
    valid_until: datetime,
    entries: Sequence[Entry],
) -> None:
    """Write entries, which must be in ascending order of customer: two requests then cannot deadlock.

    Raises DuplicateRow where another request has issued to one of the customers since the holders were read.
    """
    await tx.copy(
        "earned_badge",
        _COLUMNS,
        [
            (entry.customer_id, request_key, valid_from, valid_until, badge_key, entry.ordinal, entry.line)
            for entry in entries
        ],
    )


async def revoke(
    tx: Tx, badge_key: BadgeKey, customer: CustomerId, place: tuple[RequestKey, int], now: datetime
) -> bool:
    """Whether there was such an earned badge of hers, unrevoked and not yet at its end."""
    return await tx.value(SQL["revoke"], badge_key, customer, *place, now) is not None
