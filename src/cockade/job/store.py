"""One typed function per statement on jobs."""

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
_form = msgspec.json.Decoder(AudienceLayout).decode
_counts = msgspec.json.Decoder(LineCounts).decode
_line_errors = msgspec.json.Decoder(list[LineError]).decode
_refusals = msgspec.json.Decoder(list[CustomerFailure]).decode


async def new_key(tx: Tx, now: datetime) -> RequestKey:
    """A key for a job that has no request."""
    return await tx.value(SQL["new_key"], int(now.timestamp()))


async def insert(
    tx: Tx, org_id: OrgId, key: RequestKey, command: JobCommand, event_at: datetime, now: datetime, by: str
) -> None:
    """A new job, whose audience is about to come."""
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
    """The job whose audience somebody has begun to send under this request id; it is locked."""
    return await tx.value(SQL["find_staging"], org_id, request_id)


async def restart_upload(
    tx: Tx, key: RequestKey, command: JobCommand, event_at: datetime, now: datetime
) -> int:
    """Make the job what the command says, and forget what was staged; answers the number of the upload."""
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
    """Add chunks to what is staged; answers how many lines and chunks there now are.

    `job.form` and `job.counts` are stored with them. None: this upload has been ended.
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
    for place, chunk in enumerate(chunks):
        await tx.execute(
            SQL["insert_chunk"],
            job.job_key,
            number + place,
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
    """Whose each of these identifiers is."""
    rows = await tx.rows(SQL["resolve"], org_id, kind.value, [identifier.value for identifier in identifiers])
    return [row[0] for row in rows]


async def queue(tx: Tx, job: Job, now: datetime) -> bool:
    """All of the audience is there; False: this upload has been ended."""
    return await tx.value(SQL["queue"], job.job_key, job.upload_attempt, now) is not None


async def delete_staging(tx: Tx, key: RequestKey, upload: int) -> tuple[OrgId, str, bool] | None:
    """Delete a job whose audience has not come; answers its org, request id, and whether it was a dry run."""
    row = await tx.row(SQL["delete_staging"], key, upload)
    if row is None:
        return None
    await tx.execute(SQL["delete_chunks"], key)
    return OrgId(row[0]), row[1], row[2]


async def list_stale(tx: Tx, since: datetime) -> list[tuple[RequestKey, int]]:
    """Jobs, with their uploads, whose audience nobody has been sending since then."""
    return [(RequestKey(row[0]), row[1]) for row in await tx.rows(SQL["list_abandoned_uploads"], since)]


async def list_stalled(tx: Tx, since: datetime) -> list[RequestKey]:
    """Jobs with something to do that have not moved since then, and that the queue does not know."""
    return [RequestKey(row[0]) for row in await tx.rows(SQL["list_stalled"], since)]


async def find(tx: Tx, key: RequestKey) -> Job | None:
    """The job, of whichever org."""
    row = await tx.row(SQL["find_job"], key)
    return None if row is None else _job(row)


async def lock(tx: Tx, key: RequestKey) -> Job | None:
    """As find; nobody else changes it until the transaction ends."""
    row = await tx.row(SQL["lock_job"], key)
    return None if row is None else _job(row)


async def list_page(
    tx: Tx, org_id: OrgId, request_id: str | None, page: int, size: int
) -> tuple[list[Job], int]:
    """A page of the org's jobs, newest first, and how many there are in all."""
    rows = await tx.rows(SQL["list_jobs"], org_id, request_id, page * size, size)
    return [_job(row) for row in rows], await tx.value(SQL["count_jobs"], org_id, request_id)


async def set_state(
    tx: Tx,
    key: RequestKey,
    state: JobState,
    now: datetime,
    *,
    finished_at: datetime | None = None,
    failure: str | None = None,
) -> None:
    """Stop or restart it."""
    await tx.execute(SQL["set_state"], key, state.value, now, finished_at, failure)


async def start(tx: Tx, key: RequestKey, now: datetime) -> None:
    """Somebody works on it."""
    await tx.execute(SQL["start"], key, now)


async def read_audience(tx: Tx, key: RequestKey, first: int, end: int) -> list[tuple[int, int, Numbers]]:
    """Number, first line and customers of these chunks."""
    rows = await tx.rows(SQL["read_audience"], key, first, end)
    return [(row[0], row[1], unpack_array_numbers(row[2])) for row in rows]


async def add_duplicates(tx: Tx, key: RequestKey, number: int, lines: Sequence[int]) -> None:
    """These lines of the chunk name customers of earlier lines."""
    await tx.execute(SQL["add_duplicates"], key, number, lines)


async def mark_deduplicated(tx: Tx, key: RequestKey, now: datetime) -> None:
    """All repeats are known."""
    await tx.execute(SQL["mark_deduplicated"], key, now)


async def lock_chunk(tx: Tx, key: RequestKey, number: int) -> StagedChunk:
    """The chunk, which nobody else changes until the transaction ends."""
    row = await tx.row(SQL["lock_chunk"], key, number)
    assert row is not None
    return _chunk(row)


async def list_chunks(tx: Tx, key: RequestKey, first: int, count: int) -> list[StagedChunk]:
    """So many chunks, from this one on."""
    return [_chunk(row) for row in await tx.rows(SQL["list_chunks"], key, first, count)]


async def decide_chunk(tx: Tx, key: RequestKey, number: int, outcome: JobOutcome, now: datetime) -> None:
    """Store what became of a chunk."""
    await tx.execute(SQL["decide_chunk"], key, number, now, outcome.code, _encode(outcome.failures))


async def save_progress(tx: Tx, job: Job) -> None:
    """Store how far the job is."""
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
    """Delete what was sent, of jobs that ended before then."""
    await tx.execute(SQL["delete_expired_files"], before)


async def replace_customer(tx: Tx, org_id: OrgId, customer: CustomerId, into: CustomerId) -> int:
    """Put another customer in her place in the audiences of all jobs; answers how many had her. Lines stay."""
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
        layout=_form(row[16]),
        lines=row[17],
        chunks=row[18],
        is_deduplicated=row[19],
        next_chunk=row[20],
        processed=row[21],
        counts=_counts(row[22]),
        rate=row[23],
        error=row[24],
        files_retained=row[25],
    )


def _chunk(row: Row) -> StagedChunk:
    return StagedChunk(
        number=row[0],
        first_line=row[1],
        numbers=unpack_array_numbers(row[2]),
        line_errors=_line_errors(row[3]),
        raw_lines=row[4],
        duplicates=row[5],
        is_decided=row[6],
        code=row[7],
        refusals=_refusals(row[8]) if row[8] is not None else [],
    )
