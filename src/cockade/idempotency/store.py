"""Statements on stored responses, one function each."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cockade.idempotency.model import IdempotentCall, StoredResponse
from cockade.ids import OrgId
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def try_lock(tx: Tx, org_id: OrgId, key: str) -> bool:
    """Try to lock the key until the transaction ends. Return whether it succeeded."""
    return await tx.value(SQL["try_lock_key"], _lock_number(org_id, key))


async def lock(tx: Tx, org_id: OrgId, key: str) -> None:
    """Wait for the lock on the key."""
    await tx.execute(SQL["lock_key"], _lock_number(org_id, key))


def _lock_number(org_id: OrgId, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{org_id} {key}".encode()).digest()[:8], signed=True)


async def find(tx: Tx, org_id: OrgId, key: str, since: datetime) -> tuple[bytes, StoredResponse] | None:
    """Return the fingerprint and the response stored under the key since then, or None."""
    row = await tx.row(SQL["find_response"], org_id, key, since)
    return None if row is None else (row[0], StoredResponse(status=row[1], body=row[2], request_id=row[3]))


async def insert(tx: Tx, org_id: OrgId, call: IdempotentCall, answer: StoredResponse, now: datetime) -> None:
    """Store the response."""
    await tx.execute(
        SQL["insert_response"],
        org_id,
        call.key,
        call.fingerprint,
        answer.status,
        answer.body,
        answer.request_id,
        now,
    )


async def delete_expired(tx: Tx, before: datetime, count_max: int) -> int:
    """Delete up to `count_max` responses of any org stored before then. Return the number deleted."""
    return await tx.value(SQL["delete_expired"], before, count_max)
