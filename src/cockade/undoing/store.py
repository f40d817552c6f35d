"""One typed function per statement on what is undone in the background."""

from __future__ import annotations

from datetime import datetime

from cockade.access.model import Caller
from cockade.ids import OrgId, RequestKey
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load
from cockade.undoing.model import Undoing, UndoingState

SQL = load(__package__)


async def ask(
    tx: Tx, caller: Caller, request_key: RequestKey, request_id: str, lots: int, now: datetime
) -> bool:
    """Note that the request is to be undone; False: it was noted before."""
    asked = (request_key, caller.org_id, request_id, now, caller.username, lots)
    return await tx.value(SQL["ask"], *asked) is not None


async def find(tx: Tx, request_key: RequestKey) -> Undoing | None:
    """The undoing of this request; whoever is at work on it is not waited for."""
    return _undoing(await tx.row(SQL["find_undoing"], request_key))


async def lock(tx: Tx, request_key: RequestKey) -> Undoing | None:
    """As find; nobody else moves it until the transaction ends."""
    return _undoing(await tx.row(SQL["lock_undoing"], request_key))


async def queue_again(tx: Tx, request_key: RequestKey, now: datetime) -> bool:
    """Have it go on if it has failed; False: it has not."""
    return await tx.value(SQL["queue_again"], request_key, now) is not None


async def advance(tx: Tx, undoing: Undoing, now: datetime) -> None:
    """Store how far it is."""
    await tx.execute(
        SQL["advance"],
        undoing.request_key,
        undoing.state.value,
        now,
        now if undoing.state is UndoingState.COMPLETED else None,
        undoing.next_lot,
        undoing.revoked,
        undoing.already_revoked,
    )


async def fail(tx: Tx, request_key: RequestKey, failure: str, now: datetime) -> None:
    """Nobody goes on with it until somebody asks for it again."""
    await tx.execute(SQL["fail"], request_key, now, failure)


async def list_forgotten(tx: Tx, since: datetime) -> list[RequestKey]:
    """Those with something to do that have not moved since then, and that the queue does not know."""
    return [RequestKey(row[0]) for row in await tx.rows(SQL["list_forgotten"], since)]


def _undoing(row: Row | None) -> Undoing | None:
    if row is None:
        return None
    return Undoing(
        request_key=RequestKey(row[0]),
        org_id=OrgId(row[1]),
        request_id=row[2],
        state=UndoingState(row[3]),
        username=row[4],
        lots=row[5],
        next_lot=row[6],
        revoked=row[7],
        already_revoked=row[8],
        failure=row[9],
    )
