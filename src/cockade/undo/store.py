"""Typed functions, one per SQL statement, of background undos."""

from __future__ import annotations

from datetime import datetime

from cockade.auth.model import Caller
from cockade.ids import OrgId, RequestKey
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load
from cockade.undo.model import UndoState, UndoTask

SQL = load(__package__)


async def insert(
    tx: Tx, caller: Caller, request_key: RequestKey, request_id: str, batches: int, now: datetime
) -> bool:
    """Create an undo. Returns False if the request already has one."""
    values = (request_key, caller.org_id, request_id, now, caller.username, batches)
    return await tx.value(SQL["insert_undo"], *values) is not None


async def find(tx: Tx, request_key: RequestKey) -> UndoTask | None:
    """Return the undo of this request without waiting for a worker that locks it."""
    return _task(await tx.row(SQL["find_undo"], request_key))


async def lock(tx: Tx, request_key: RequestKey) -> UndoTask | None:
    """Return the undo of this request and lock its row until the end of the transaction."""
    return _task(await tx.row(SQL["lock_undo"], request_key))


async def requeue(tx: Tx, request_key: RequestKey, now: datetime) -> bool:
    """Set a failed undo to queued. Returns False if it has not failed."""
    return await tx.value(SQL["requeue"], request_key, now) is not None


async def save_progress(tx: Tx, task: UndoTask, now: datetime) -> None:
    """Store the progress."""
    await tx.execute(
        SQL["save_progress"],
        task.request_key,
        task.state.value,
        now,
        now if task.state is UndoState.COMPLETED else None,
        task.next_batch,
        task.revoked,
        task.already_revoked,
    )


async def fail(tx: Tx, request_key: RequestKey, error: str, now: datetime) -> None:
    """Set the undo to failed. It stays so until it is requested again."""
    await tx.execute(SQL["fail"], request_key, now, error)


async def list_stalled(tx: Tx, since: datetime) -> list[RequestKey]:
    """Return unfinished undos without progress since this time that are not in the queue."""
    return [RequestKey(row[0]) for row in await tx.rows(SQL["list_stalled"], since)]


def _task(row: Row | None) -> UndoTask | None:
    if row is None:
        return None
    request_key, org_id, request_id, state, username, batches, next_batch, revoked, already_revoked, error = (
        row
    )
    return UndoTask(
        request_key=RequestKey(request_key),
        org_id=OrgId(org_id),
        request_id=request_id,
        state=UndoState(state),
        username=username,
        batches=batches,
        next_batch=next_batch,
        revoked=revoked,
        already_revoked=already_revoked,
        error=error,
    )
