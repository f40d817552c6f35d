"""Statements of the event feed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cockade.event.model import (
    LAST_LINE,
    START,
    Cursor,
    ExpiryRange,
    FinishedJob,
    IssuedChunk,
    OutboxRow,
    Revocation,
)
from cockade.event.rules import LedgerKey, Validity
from cockade.ids import OrgId, RequestKey
from cockade.job.model import LineCounts
from cockade.job.rules import failures
from cockade.outbox.model import Ledger
from cockade.request.model import CustomerFailure, OwnerType, RequestKind
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)

_decode_failures = msgspec.json.Decoder(list[CustomerFailure]).decode
_decode_counts = msgspec.json.Decoder(LineCounts).decode


async def list_outbox_rows(tx: Tx, org_id: OrgId, position: int, size: int) -> list[OutboxRow]:
    """Return rows from this position on, in the order of the feed."""
    rows = await tx.rows(SQL["list_outbox_rows"], org_id, position, size)
    return [
        OutboxRow(
            position=row[0],
            request_key=RequestKey(row[1]),
            kind=None if row[2] is None else RequestKind(row[2]),
            chunk=row[3],
            badge_id=row[4],
            max_lines=row[5] or 0,
            expiry_range=ExpiryRange(event_key=RequestKey(row[7]), since=row[8], until=row[9])
            if row[6]
            else None,
        )
        for row in rows
    ]


async def find_revocations(tx: Tx, org_id: OrgId, positions: Sequence[int]) -> dict[int, Revocation]:
    """Return the revocations at these positions."""
    return {
        row[0]: Revocation(
            request_key=RequestKey(row[1]),
            at=row[2],
            badge_id=row[3],
            ledger=Ledger(row[4]),
            customers=row[5],
            request_keys=row[6],
            lines=row[7],
        )
        for row in await tx.rows(SQL["find_revocations"], org_id, positions)
    }


async def find_issued_chunks(tx: Tx, org_id: OrgId, positions: Sequence[int]) -> dict[int, IssuedChunk]:
    """Return the chunks of jobs that were completed or expired at these positions."""
    return {
        row[0]: IssuedChunk(
            request_key=RequestKey(row[1]),
            at=row[2],
            request_id=row[3],
            badge_key=row[4],
            badge_id=row[5],
            owner_type=OwnerType(row[6]),
            reference_id=row[7],
            first_line=row[8],
            customers=row[9],
            failed_lines=frozenset([*row[10], *(failure.line for failure in _decode_failures(row[11]))]),
        )
        for row in await tx.rows(SQL["find_issued_chunks"], org_id, positions)
    }


async def find_finished_jobs(tx: Tx, org_id: OrgId, positions: Sequence[int]) -> dict[int, FinishedJob]:
    """Return the jobs that were completed or cancelled at these positions."""
    return {
        row[0]: FinishedJob(
            request_key=RequestKey(row[1]),
            at=row[2],
            request_id=row[3],
            badge_id=row[4],
            owner_type=OwnerType(row[5]),
            reference_id=row[6],
            is_cancelled=row[7],
            lines=row[8],
            issued=(counts := _decode_counts(row[9])).issued,
            failures=failures(counts),
        )
        for row in await tx.rows(SQL["find_finished_jobs"], org_id, positions)
    }


async def list_validities(tx: Tx, request_key: RequestKey, keys: Sequence[LedgerKey]) -> dict[int, Validity]:
    """Return the validities of these ledger rows of the request, by line."""
    columns = ([key[index] for key in keys] for index in range(3))
    return {row[0]: (row[1], row[2]) for row in await tx.rows(SQL["list_validities"], request_key, *columns)}


async def list_expired(
    tx: Tx, request_key: RequestKey, keys: Sequence[LedgerKey], since: datetime, until: datetime
) -> dict[int, Validity]:
    """Return the validities that ended within the range (inclusive) and were not revoked before, by line."""
    columns = ([key[index] for key in keys] for index in range(3))
    rows = await tx.rows(SQL["list_expired"], request_key, *columns, since, until)
    return {row[0]: (row[1], row[2]) for row in rows}


async def find_end(tx: Tx, org_id: OrgId) -> Cursor:
    """Return the current end of the org's feed."""
    position = await tx.value(SQL["find_last_position"], org_id)
    return START if position is None else Cursor(position, LAST_LINE)
