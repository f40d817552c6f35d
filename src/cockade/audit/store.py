"""Typed functions, one per SQL statement, of the audit trail."""

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
    """Record a change in the transaction that makes it, so that neither is committed without the other.

    `details` must be JSON serializable. It must not contain secrets, or anything about customers except their
    ids.
    """
    await tx.execute(
        SQL["record"], by.org_id, now, by.username, action.value, badge_id, subject, _encode(details)
    )


async def list_entries(tx: Tx, filters: EntryFilter, before: int | None, size: int) -> list[AuditRecord]:
    """Return at most `size` entries, newest first, starting before the entry id `before`."""
    rows = await tx.rows(
        SQL["list_entries"],
        filters.org_id,
        filters.actions,
        filters.badge_id,
        filters.username,
        filters.since,
        filters.until,
        before,
        size,
    )
    return [_record(row) for row in rows]


def _record(row: Row) -> AuditRecord:
    entry_id, org_id, at, username, action, badge_id, subject, details = row
    return AuditRecord(
        entry_id=entry_id,
        org_id=None if org_id is None else OrgId(org_id),
        at=at,
        username=username,
        action=action,
        badge_id=badge_id,
        subject=subject,
        details=_details(details),
    )
