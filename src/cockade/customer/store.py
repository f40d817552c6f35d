"""Typed functions, one per SQL statement, of customer identifiers."""

from __future__ import annotations

from collections.abc import Mapping

from cockade.customer.model import Identifier, IdentifierCounts
from cockade.ids import CustomerId, OrgId
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def put(tx: Tx, org_id: OrgId, owned: Mapping[Identifier, CustomerId]) -> IdentifierCounts:
    """Assign each identifier to its customer."""
    row = await tx.row(
        SQL["put_identifiers"],
        org_id,
        [identifier.kind.value for identifier in owned],
        [identifier.value for identifier in owned],
        list(owned.values()),
    )
    assert row is not None
    return IdentifierCounts(created=row[0], updated=row[1], unchanged=len(owned) - row[0] - row[1])


async def find(tx: Tx, org_id: OrgId, identifier: Identifier) -> CustomerId | None:
    """Return the customer with this identifier, or None."""
    return await tx.value(SQL["find_customer"], org_id, identifier.kind.value, identifier.value)


async def erase(tx: Tx, org_id: OrgId, customer: CustomerId) -> int:
    """Delete the customer's identifiers and return their number."""
    return await tx.value(SQL["erase_identifiers"], org_id, customer)


async def move(tx: Tx, org_id: OrgId, customer: CustomerId, into: CustomerId) -> int:
    """Move the customer's identifiers to another customer and return their number."""
    return await tx.value(SQL["move_identifiers"], org_id, customer, into)
