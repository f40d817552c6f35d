"""One typed function per statement on kept answers."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cockade.idempotency.model import IdempotentCall, StoredResponse
from cockade.ids import OrgId
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def try_lock(tx: Tx, org_id: OrgId, key: str) -> bool:
    """Hold the key until the end of the transaction; whether nobody else does."""
    return await tx.value(SQL["try_lock_key"], _lock_number(org_id, key))


async def lock(tx: Tx, org_id: OrgId, key: str) -> None:
    """As try_lock, once nobody else holds it."""
    await tx.execute(SQL["lock_key"], _lock_number(org_id, key))


def _lock_number(org_id: OrgId, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{org_id} {key}".encode()).digest()[:8], signed=True)


async def find(tx: Tx, org_id: OrgId, key: str, since: datetime) -> tuple[bytes, StoredResponse] | None:
    """The answer that was kept under the key then or later, with the fingerprint of its call."""
    row = await tx.row(SQL["find_response"], org_id, key, since)
    return None if row is None else (row[0], StoredResponse(status=row[1], body=row[2], request_id=row[3]))


async def insert(tx: Tx, org_id: OrgId, call: IdempotentCall, answer: StoredResponse, now: datetime) -> None:
    """Keep what the call is answered."""
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
    """Delete so many answers at most that were kept before then, of any org; answers how many."""
    return await tx.value(SQL["delete_expired"], before, count_max)
