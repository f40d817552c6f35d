"""One typed function per statement that only the feed asks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockade.event.model import LAST_LINE, START, Place, Revocation, Source
from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey
from cockade.request.model import Ledger, RequestKind
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def list_sources(tx: Tx, org_id: OrgId, position: int, size: int) -> list[Source]:
    """From this position on, in the order of the feed."""
    rows = await tx.rows(SQL["list_sources"], org_id, position, size)
    return [
        Source(
            position=row[0],
            request_key=RequestKey(row[1]),
            kind=None if row[2] is None else RequestKind(row[2]),
            badge_id=row[3],
            lines_max=row[4],
        )
        for row in rows
    ]


async def find_revocations(tx: Tx, org_id: OrgId, positions: Sequence[int]) -> list[Revocation]:
    """The revocations at these positions."""
    rows = await tx.rows(SQL["find_revocations"], org_id, positions)
    return [
        Revocation(
            request_key=RequestKey(row[0]),
            at=row[1],
            badge_id=row[2],
            ledger=Ledger(row[3]),
            customers=row[4],
            request_keys=row[5],
            lines=row[6],
        )
        for row in rows
    ]


async def list_event_dates(
    tx: Tx,
    request_key: RequestKey,
    badge_keys: Sequence[BadgeKey],
    customers: Sequence[CustomerId],
    lines: Sequence[int],
) -> dict[int, datetime]:
    """By line, the event dates of what an import wrote; the lists run side by side."""
    rows = await tx.rows(SQL["list_event_dates"], request_key, badge_keys, customers, lines)
    return {row[0]: row[1] for row in rows}


async def find_end(tx: Tx, org_id: OrgId) -> Place:
    """The end of the org's feed, as it is now."""
    position = await tx.value(SQL["find_last_position"], org_id)
    return START if position is None else Place(position, LAST_LINE)
