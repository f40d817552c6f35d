"""Statements on the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey
from cockade.outbox.model import Ledger
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def enqueue_job_chunk(
    tx: Tx,
    org_id: OrgId,
    request_key: RequestKey,
    chunk: int,
    now: datetime,
    valid_until: datetime | None = None,
) -> None:
    """Record that a chunk of a job was decided, or with WHOLE_JOB that the job has ended.

    Call it in the transaction that does this. `valid_until`: end of the validity of what was issued.
    """
    await tx.execute(SQL["enqueue_job_chunk"], org_id, now, request_key, chunk, valid_until)


async def enqueue_revocations(
    tx: Tx,
    org_id: OrgId,
    ledger: Ledger,
    badge_key: BadgeKey,
    revoked: Sequence[tuple[CustomerId, RequestKey, int]],
    now: datetime,
) -> None:
    """Record the revocation of these entries of one badge: customer, request key and line.

    Call it in the transaction that revokes, as the last statement before the audit trail: the order in the
    feed depends on it.
    """
    await tx.execute(
        SQL["enqueue_revocations"],
        org_id,
        now,
        int(now.timestamp()),
        badge_key,
        ledger.value,
        [customer for customer, _, _ in revoked],
        [request_key for _, request_key, _ in revoked],
        [line for _, _, line in revoked],
    )


async def try_lock(tx: Tx) -> bool:
    """Acquire the lock for assigning positions. Return False if another transaction holds it."""
    return await tx.value(SQL["try_lock"])


async def assign_positions(tx: Tx, max_rows: int) -> int:
    """Assign positions to at most `max_rows` rows, and schedule their expiries. Return how many were
    assigned.
    """
    return await tx.value(SQL["assign_positions"], max_rows)


async def enqueue_expiries(tx: Tx, until: datetime, now: datetime, max_rows: int) -> int:
    """Record which validities ended by `until`, for at most `max_rows` requests or chunks. Return their
    number.

    Requires the lock for assigning positions.
    """
    return await tx.value(SQL["enqueue_expiries"], until, now, max_rows, int(now.timestamp()))


async def delete_old_rows(tx: Tx, before: datetime, max_rows: int) -> int:
    """Delete rows older than `before`, at most `max_rows` per org. Return the number of deleted rows."""
    return await tx.value(SQL["delete_old_rows"], before, max_rows)


async def replace_customer(tx: Tx, org_id: OrgId, customer: CustomerId, replacement: CustomerId) -> None:
    """Replace the customer in all revocations of the org."""
    await tx.execute(SQL["replace_customer"], org_id, customer, replacement)
