"""Statements on undo tasks, one function each."""

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
    """Insert the task. Return False if it exists."""
    asked = (request_key, caller.org_id, request_id, now, caller.username, batches)
    return await tx.value(SQL["insert_undo"], *asked) is not None


async def find(tx: Tx, request_key: RequestKey) -> UndoTask | None:
    """Return the undo task of this request, without waiting for its worker."""
    return _undoing(await tx.row(SQL["find_undo"], request_key))


async def lock(tx: Tx, request_key: RequestKey) -> UndoTask | None:
    """Like `find`, locked until the transaction ends."""
    return _undoing(await tx.row(SQL["lock_undo"], request_key))


async def requeue(tx: Tx, request_key: RequestKey, now: datetime) -> bool:
    """Queue the task again if it has failed. Return False if it has not."""
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


async def fail(tx: Tx, request_key: RequestKey, failure: str, now: datetime) -> None:
    """Stop the task until it is requested again."""
    await tx.execute(SQL["fail"], request_key, now, failure)


async def list_stalled(tx: Tx, since: datetime) -> list[RequestKey]:
    """Return unfinished tasks without progress since then that are not in the queue."""
    return [RequestKey(row[0]) for row in await tx.rows(SQL["list_stalled"], since)]


def _undoing(row: Row | None) -> UndoTask | None:
    if row is None:
        return None
    return UndoTask(
        request_key=RequestKey(row[0]),
        org_id=OrgId(row[1]),
        request_id=row[2],
        state=UndoState(row[3]),
        username=row[4],
        batches=row[5],
        next_batch=row[6],
        revoked=row[7],
        already_revoked=row[8],
        error=row[9],
    )
