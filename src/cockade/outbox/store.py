"""Statements on the outbox, one function each."""

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
    """Add a row for a decided chunk of a job, or for the whole job with WHOLE_JOB. Runs in the deciding
    transaction.

    `valid_until` is the end of the validity of what the chunk issued.
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
    """Add a row for revoked issuances of one badge: customer, request key and line. Runs in the revoking
    transaction.

    Must be the transaction's last statement before the audit trail, because its position in the feed depends
    on it.
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
    """Try to become the only process that assigns positions."""
    return await tx.value(SQL["try_lock"])


async def assign_positions(tx: Tx, rows_max: int) -> int:
    """Assign positions to up to `rows_max` rows, and record when their issuances expire. Return the number
    assigned.
    """
    return await tx.value(SQL["assign_positions"], rows_max)


async def enqueue_expiries(tx: Tx, until: datetime, now: datetime, rows_max: int) -> int:
    """Add rows for expiries until the given time, for up to `rows_max` requests and chunks. Return their
    number.

    Requires the lock of `try_lock`.
    """
    return await tx.value(SQL["enqueue_expiries"], until, now, rows_max, int(now.timestamp()))


async def delete_old_rows(tx: Tx, before: datetime, rows_max: int) -> int:
    """Delete rows older than the given time, up to `rows_max` per org. Return the number deleted."""
    return await tx.value(SQL["delete_old_rows"], before, rows_max)


async def replace_customer(tx: Tx, org_id: OrgId, customer: CustomerId, replacement: CustomerId) -> None:
    """Replace the customer in all revocations of the org."""
    await tx.execute(SQL["replace_customer"], org_id, customer, replacement)
