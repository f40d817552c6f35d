"""One typed function per statement on the outbox."""

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
    """Say, in the transaction that decides it, which part of a job was: the number of a chunk, or WHOLE.

    With the end of what it issued.
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
    """Say, in the transaction that revokes, whose entries of one badge these were: customer, request key and line.

    It is the last that the transaction does but for the audit trail: its place in the feed depends on that.
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
    """Be the only one who gives positions, if nobody else is."""
    return await tx.value(SQL["try_lock"])


async def assign_positions(tx: Tx, rows_max: int) -> int:
    """Give positions to so many of those that have none, and note when what they issued ends; answers how many got one."""
    return await tx.value(SQL["assign_positions"], rows_max)


async def enqueue_expiries(tx: Tx, until: datetime, now: datetime, rows_max: int) -> int:
    """Say what has ended by then, of so many requests and parts of jobs at most; answers of how many.

    Only whoever gives positions does this.
    """
    return await tx.value(SQL["enqueue_expiries"], until, now, rows_max, int(now.timestamp()))


async def delete_old_rows(tx: Tx, before: datetime, rows_max: int) -> int:
    """Delete what happened before then from the outbox, so many rows of each org; answers how many."""
    return await tx.value(SQL["delete_old_rows"], before, rows_max)


async def replace_customer(tx: Tx, org_id: OrgId, customer: CustomerId, replacement: CustomerId) -> None:
    """Replace the customer in all revocations of the org."""
    await tx.execute(SQL["replace_customer"], org_id, customer, replacement)
