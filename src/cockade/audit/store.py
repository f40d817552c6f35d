"""Statements on the audit trail, one function each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from cockade.audit.model import Action, AuditRecord, Changer, EntryFilter
from cockade.ids import BadgeId, OrgId
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_details = msgspec.json.Decoder(dict[str, object]).decode


async def record(
    tx: Tx,
    by: Changer,
    now: datetime,
    action: Action,
    subject: str,
    details: Mapping[str, object],
    *,
    badge_id: BadgeId | None = None,
) -> None:
    """Insert an entry in the transaction of the change, so that neither exists without the other.

    `details` can hold any JSON, but no secrets, and no customer data except customer ids.
    """
    await tx.execute(
        SQL["record"], by.org_id, now, by.username, action.value, badge_id, subject, _encode(details)
    )


async def list_entries(tx: Tx, wanted: EntryFilter, before: int | None, size: int) -> list[AuditRecord]:
    """Return entries before the entry `before`, newest first."""
    rows = await tx.rows(
        SQL["list_entries"],
        wanted.org_id,
        wanted.actions,
        wanted.badge_id,
        wanted.username,
        wanted.since,
        wanted.until,
        before,
        size,
    )
    return [_entry(row) for row in rows]


def _entry(row: Row) -> AuditRecord:
    return AuditRecord(
        entry_id=row[0],
        org_id=None if row[1] is None else OrgId(row[1]),
        at=row[2],
        username=row[3],
        action=row[4],
        badge_id=row[5],
        subject=row[6],
        details=_details(row[7]),
    )
