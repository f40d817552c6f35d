"""Stub."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockade.enrolment.model import Enrolled
from cockade.ids import BadgeKey, CustomerId
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def find_holding(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], event_at: datetime
) -> dict[CustomerId, Enrolled]:
    """Stub."""
    rows = await tx.rows(SQL["find_holding"], badge_key, customers, event_at)
    return {row[0]: Enrolled(request_key=row[1], line=row[2], valid_until=row[3]) for row in rows}
