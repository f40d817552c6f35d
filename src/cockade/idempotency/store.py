"""Typed functions, one per SQL statement, of stored responses."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cockade.idempotency.model import IdempotentCall, StoredResponse
from cockade.ids import OrgId
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def try_lock(tx: Tx, org_id: OrgId, key: str) -> bool:
    """Try to lock the key until the end of the transaction. Returns whether it was acquired."""
    return await tx.value(SQL["try_lock_key"], _lock_number(org_id, key))


async def lock(tx: Tx, org_id: OrgId, key: str) -> None:
    """Lock the key until the end of the transaction. Waits for a concurrent holder."""
    await tx.execute(SQL["lock_key"], _lock_number(org_id, key))


def _lock_number(org_id: OrgId, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{org_id} {key}".encode()).digest()[:8], signed=True)


async def find(tx: Tx, org_id: OrgId, key: str, since: datetime) -> tuple[bytes, StoredResponse] | None:
    """Return the fingerprint and response stored under this key at or after `since`, or None."""
    row = await tx.row(SQL["find_response"], org_id, key, since)
    if row is None:
        return None
    fingerprint, status, body, request_id = row
    return fingerprint, StoredResponse(status=status, body=body, request_id=request_id)


async def insert(
    tx: Tx, org_id: OrgId, call: IdempotentCall, response: StoredResponse, now: datetime
) -> None:
    """Store the response."""
    await tx.execute(
        SQL["insert_response"],
        org_id,
        call.key,
        call.fingerprint,
        response.status,
        response.body,
        response.request_id,
        now,
    )


async def delete_expired(tx: Tx, before: datetime, count_max: int) -> int:
    """Delete at most `count_max` responses of any org stored before this time, and return how many."""
    return await tx.value(SQL["delete_expired"], before, count_max)
