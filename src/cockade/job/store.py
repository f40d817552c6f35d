"""Statements on jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cockade.customer.model import Identifier, IdentifierKind
from cockade.ids import BadgeId, CustomerId, OrgId, RequestKey
from cockade.job.model import (
    AudienceLayout,
    Chunk,
    Job,
    JobCommand,
    JobOutcome,
    JobState,
    LineCounts,
    LineError,
    Numbers,
    StagedChunk,
)
from cockade.request.model import CustomerFailure, OwnerType
from cockade.storage.copy_format import unpack_array_numbers
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_decode_layout = msgspec.json.Decoder(AudienceLayout).decode
_decode_counts = msgspec.json.Decoder(LineCounts).decode
_decode_line_errors = msgspec.json.Decoder(list[LineError]).decode
_decode_failures = msgspec.json.Decoder(list[CustomerFailure]).decode


async def new_key(tx: Tx, now: datetime) -> RequestKey:
    """Return a key for a dry run, which has no request."""
    return await tx.value(SQL["new_key"], int(now.timestamp()))


async def insert(
    tx: Tx, org_id: OrgId, key: RequestKey, command: JobCommand, event_at: datetime, now: datetime, by: str
) -> None:
    """Insert a new job. Its audience has not been uploaded yet."""
    await tx.execute(
        SQL["insert_job"],
        key,
        org_id,
        command.request_id,
        command.badge_id,
        command.owner_type.value,
        command.reference_id,
        event_at,
        command.is_dry_run,
        now,
        by,
        _encode(command.layout),
    )


async def find_staging(tx: Tx, org_id: OrgId, request_id: str) -> RequestKey | None:
    """Return and lock the job of this request id if its audience is being uploaded."""
    return await tx.value(SQL["find_staging"], org_id, request_id)


async def restart_upload(
    tx: Tx, key: RequestKey, command: JobCommand, event_at: datetime, now: datetime
) -> int:
    """Replace the command of the job, and delete the staged chunks. Return the number of the new upload
    attempt.
    """
    await tx.execute(SQL["delete_chunks"], key)
    return await tx.value(
        SQL["restart_upload"],
        key,
        now,
        event_at,
        command.badge_id,
        command.owner_type.value,
        command.reference_id,
        _encode(command.layout),
    )


async def stage(tx: Tx, job: Job, chunks: Sequence[Chunk], now: datetime) -> tuple[int, int] | None:
    """Append chunks to the job, and save its layout and counts. Return the new number of lines and of chunks.

    None: this upload attempt was superseded, or the job is no longer staging.
    """
    lines = sum(len(chunk.numbers) for chunk in chunks)
    row = await tx.row(
        SQL["stage"],
        job.job_key,
        job.upload_attempt,
        lines,
        len(chunks),
        _encode(job.counts),
        now,
        _encode(job.layout),
    )
    if row is None:
        return None
    line, number = row[0] - lines, row[1] - len(chunks)
    for index, chunk in enumerate(chunks):
        await tx.execute(
            SQL["insert_chunk"],
            job.job_key,
            number + index,
            line,
            chunk.numbers,
            chunk.raw_lines,
            _encode(chunk.line_errors),
        )
        line += len(chunk.numbers)
    return row[0], row[1]


async def resolve(
    tx: Tx, org_id: OrgId, kind: IdentifierKind, identifiers: Sequence[Identifier]
) -> list[CustomerId | None]:
    """Return the customer of each identifier, or None."""
    rows = await tx.rows(SQL["resolve"], org_id, kind.value, [identifier.value for identifier in identifiers])
    return [row[0] for row in rows]


async def queue(tx: Tx, job: Job, now: datetime) -> bool:
    """Queue the job after its upload. Return False if this upload attempt was superseded."""
    return await tx.value(SQL["queue"], job.job_key, job.upload_attempt, now) is not None


async def delete_staging(tx: Tx, key: RequestKey, upload_attempt: int) -> tuple[OrgId, str, bool] | None:
    """Delete a job that is still staging. Return its org, its request id, and whether it is a dry run."""
    row = await tx.row(SQL["delete_staging"], key, upload_attempt)
    if row is None:
        return None
    await tx.execute(SQL["delete_chunks"], key)
    return OrgId(row[0]), row[1], row[2]


async def list_abandoned_uploads(tx: Tx, since: datetime) -> list[tuple[RequestKey, int]]:
    """Return jobs whose uploads have had no data since then, with their upload attempts."""
    return [(RequestKey(row[0]), row[1]) for row in await tx.rows(SQL["list_abandoned_uploads"], since)]


async def list_stalled(tx: Tx, since: datetime) -> list[RequestKey]:
    """Return unfinished jobs that have made no progress since then and are not in the queue."""
    return [RequestKey(row[0]) for row in await tx.rows(SQL["list_stalled"], since)]


async def find(tx: Tx, key: RequestKey) -> Job | None:
    """Return the job, of any org."""
    row = await tx.row(SQL["find_job"], key)
    return None if row is None else _job(row)


async def lock(tx: Tx, key: RequestKey) -> Job | None:
    """Return the job, and lock it until the end of the transaction."""
    row = await tx.row(SQL["lock_job"], key)
    return None if row is None else _job(row)


async def list_page(
    tx: Tx, org_id: OrgId, request_id: str | None, page: int, size: int
) -> tuple[list[Job], int]:
    """Return a page of the org's jobs, newest first, and their total number."""
    rows = await tx.rows(SQL["list_jobs"], org_id, request_id, page * size, size)
    return [_job(row) for row in rows], await tx.value(SQL["count_jobs"], org_id, request_id)


async def set_state(
    tx: Tx,
    key: RequestKey,
    state: JobState,
    now: datetime,
    *,
    finished_at: datetime | None = None,
    error: str | None = None,
) -> None:
    """Change the state, and reset the rate."""
    await tx.execute(SQL["set_state"], key, state.value, now, finished_at, error)


async def start(tx: Tx, key: RequestKey, now: datetime) -> None:
    """Mark the job as running."""
    await tx.execute(SQL["start"], key, now)


async def read_audience(tx: Tx, key: RequestKey, first: int, end: int) -> list[tuple[int, int, Numbers]]:
    """Return number, first line and customers of the chunks from `first` to `end` (exclusive)."""
    rows = await tx.rows(SQL["read_audience"], key, first, end)
    return [(row[0], row[1], unpack_array_numbers(row[2])) for row in rows]


async def add_duplicates(tx: Tx, key: RequestKey, number: int, lines: Sequence[int]) -> None:
    """Record lines of the chunk whose customers have an earlier line."""
    await tx.execute(SQL["add_duplicates"], key, number, lines)


async def mark_deduplicated(tx: Tx, key: RequestKey, now: datetime) -> None:
    """Record that all duplicates are known."""
    await tx.execute(SQL["mark_deduplicated"], key, now)


async def lock_chunk(tx: Tx, key: RequestKey, number: int) -> StagedChunk:
    """Return the chunk, and lock it until the end of the transaction."""
    row = await tx.row(SQL["lock_chunk"], key, number)
    assert row is not None
    return _chunk(row)


async def list_chunks(tx: Tx, key: RequestKey, first: int, count: int) -> list[StagedChunk]:
    """Return at most `count` chunks, starting with number `first`."""
    return [_chunk(row) for row in await tx.rows(SQL["list_chunks"], key, first, count)]


async def decide_chunk(tx: Tx, key: RequestKey, number: int, outcome: JobOutcome, now: datetime) -> None:
    """Save the outcome of a chunk."""
    await tx.execute(SQL["decide_chunk"], key, number, now, outcome.code, _encode(outcome.failures))


async def save_progress(tx: Tx, job: Job) -> None:
    """Save state, progress and counts of the job."""
    await tx.execute(
        SQL["save_progress"],
        job.job_key,
        job.next_chunk,
        job.processed,
        _encode(job.counts),
        job.rate,
        job.updated_at,
        job.state.value,
        job.finished_at,
    )


async def delete_expired_files(tx: Tx, before: datetime) -> None:
    """Delete the uploaded lines of jobs that ended before then."""
    await tx.execute(SQL["delete_expired_files"], before)


async def replace_customer(tx: Tx, org_id: OrgId, customer: CustomerId, into: CustomerId) -> int:
    """Replace the customer in all jobs of the org. Return the number of affected jobs."""
    return await tx.value(SQL["replace_customer"], org_id, customer, into)


def _job(row: Row) -> Job:
    return Job(
        job_key=RequestKey(row[0]),
        org_id=OrgId(row[1]),
        time_zone=row[2],
        request_id=row[3],
        badge_id=BadgeId(row[4]),
        owner_type=OwnerType(row[5]),
        reference_id=row[6],
        event_at=row[7],
        is_dry_run=row[8],
        state=JobState(row[9]),
        created_at=row[10],
        created_by=row[11],
        started_at=row[12],
        finished_at=row[13],
        updated_at=row[14],
        upload_attempt=row[15],
        layout=_decode_layout(row[16]),
        lines=row[17],
        chunks=row[18],
        is_deduplicated=row[19],
        next_chunk=row[20],
        processed=row[21],
        counts=_decode_counts(row[22]),
        rate=row[23],
        error=row[24],
        files_retained=row[25],
    )


def _chunk(row: Row) -> StagedChunk:
    return StagedChunk(
        number=row[0],
        first_line=row[1],
        numbers=unpack_array_numbers(row[2]),
        line_errors=_decode_line_errors(row[3]),
        raw_lines=row[4],
        duplicates=row[5],
        is_decided=row[6],
        code=row[7],
        refusals=_decode_failures(row[8]) if row[8] is not None else [],
    )
