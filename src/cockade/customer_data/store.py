"""SQL statements that only erasing and merging use."""

from __future__ import annotations

from cockade.ids import BadgeKey, CustomerId, OrgId
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def list_badges_of(tx: Tx, org_id: OrgId, customer: CustomerId) -> set[BadgeKey]:
    """Return the org's badges of which the customer ever had an earned badge or enrolment."""
    return {BadgeKey(row[0]) for row in await tx.rows(SQL["list_badges_of"], org_id, customer)}
