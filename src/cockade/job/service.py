"""Jobs: upload an audience, process it chunk by chunk, and report progress.

The state of a job is only in its tables: the transaction of a chunk issues to its customers and records that
the chunk is decided. So a process can be killed at any point, and two workers on one job are harmless: they
wait for each other at the job's row and each continues with the next chunk.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import structlog

from cockade import metrics
from cockade.auth.model import AccessGroup, Caller
from cockade.badge import rules as badge_rules
from cockade.badge import store as badge_store
from cockade.clock import Clock
from cockade.config import Config
from cockade.customer import rules as customer_rules
from cockade.earning.issuing import issue
from cockade.earning.model import JobSlice
from cockade.errors import (
    FieldError,
    InvalidInput,
    JobEnded,
    JobNotFound,
    OutcomeUnknown,
    RequestIdUsed,
    RequestRejected,
    Unavailable,
    UploadSuperseded,
)
from cockade.ids import LINE_MAX, CredentialId, RequestKey
from cockade.job import rules, store
from cockade.job.model import (
    Chunk,
    Job,
    JobCommand,
    JobOutcome,
    JobState,
    LineError,
    LineErrorKind,
    StagedChunk,
)
from cockade.job.parser import VALUE_CHARS_MAX, AudienceParser, ChunkDraft
from cockade.outbox import store as outbox_store
from cockade.outbox.model import WHOLE_JOB
from cockade.request import store as request_store
from cockade.request.model import IssueCommand, RequestKind, RequestOutcome
from cockade.request.service import Attempt, NeedsExclusiveLock
from cockade.storage.database import Body, Database, DuplicateRow, Tx
from cockade.worker import FairScheduler, with_periodic_cleanup

T = TypeVar("T")
log = structlog.get_logger()

TASK = "job"
"""Name of the task in the queue."""
STAGED_TOGETHER = 2
"""Chunks written per transaction."""
READ_TOGETHER = 10
"""Chunks read per statement."""
UPLOAD_ABANDONED_S = 3600.0
"""An upload without progress for this time is given up, and its request id becomes available."""
FORGOTTEN_S = 60.0
"""A job without progress for this time that is not in the queue is added again."""


class JobService:
    """Use cases of `job`."""

    def __init__(self, database: Database, clock: Clock, config: Config) -> None:
        self._database = database
        self._clock = clock
        self._config = config
        self.scheduler = FairScheduler(config.worker_pool_size // 2, config.job_chunk_delay_ms)
        """However many jobs there are, each gets as many; they share them with other long work."""

    # Uploading an audience

    async def start(self, caller: Caller, command: JobCommand, pieces: AsyncIterator[bytes]) -> Job:
        """Upload an audience. The job is queued when this returns.

        Raises the errors of earnBulk for a whole request, RequestIdUsed, InvalidInput if the audience cannot
        be read, AudienceStopped, and the exceptions of `pieces`. In all these cases there is no job, and the
        request id stays available.
        """
        job = await self._database.transaction("job.begin", lambda tx: self._begin(tx, caller, command))
        try:
            job = await self._stage(job, pieces)
            queued = await self._database.transaction("job.queue", lambda tx: self._queue(tx, job))
        except OutcomeUnknown:
            raise
        except BaseException:
            await asyncio.shield(self._abandon(job))
            raise
        return queued

    async def _begin(self, tx: Tx, caller: Caller, command: JobCommand) -> Job:
        """Check rules 2 to 7. Replaces an unfinished upload with the same request id."""
        now, upload = self._clock(), 1
        again = None
        if command.is_dry_run:
            # Like earnBulk: a request id whose upload never completed is still available.
            is_used = await request_store.is_used(tx, caller.org_id, command.request_id) and not (
                await store.find_staging(tx, caller.org_id, command.request_id)
            )
            key: RequestKey | None = None if is_used else await store.new_key(tx, now)
        else:
            key = await request_store.begin(tx, caller.org_id, command.request_id, RequestKind.JOB, now)
            if key is None:
                key = again = await store.find_staging(tx, caller.org_id, command.request_id)
        if key is None:
            raise RequestIdUsed(reference="requestId")
        badge_id, hold = await badge_store.lock_for_issuing(
            tx, caller.org_id, command.badge_id, exclusive=False
        )
        terms = await badge_store.earn_terms(tx, hold.badge_key, command.owner_type, command.reference_id)
        event_at, until = badge_rules.validity(
            terms,
            command.owner_type,
            command.event_at,
            now,
            ZoneInfo(caller.time_zone),
            badge_rules.earning_validity(terms),
        )
        if not command.is_dry_run:
            outcome = RequestOutcome(
                request_id=command.request_id,
                request_key=key,
                kind=RequestKind.JOB,
                badge_key=hold.badge_key,
                badge_id=badge_id,
                owner_type=command.owner_type,
                reference_id=command.reference_id,
                event_at=event_at,
                valid_until=until,
                completed_at=now,
                customer_ids=[],
                failures=[],
            )
            await request_store.complete(tx, caller.org_id, outcome)
        if again is None:
            await store.insert(tx, caller.org_id, key, command, event_at, now, caller.username)
        else:
            upload = await store.restart_upload(tx, key, command, event_at, now)
        job = await store.find(tx, key)
        assert job is not None
        return msgspec.structs.replace(job, upload_attempt=upload)

    async def _stage(self, job: Job, pieces: AsyncIterator[bytes]) -> Job:
        reader = AudienceParser(job.layout, self._config.job_chunk_size)
        drafts: list[ChunkDraft] = []
        async for piece in pieces:
            drafts += reader.feed(piece)
            if len(drafts) >= STAGED_TOGETHER:
                job, drafts = await self._write(job, reader, drafts), []
        drafts += reader.finish()
        job = await self._write(job, reader, drafts)
        if not job.lines:
            raise InvalidInput([FieldError(812, "CustomerId information is missing.", "audience")])
        return job

    async def _write(self, job: Job, reader: AudienceParser, drafts: Sequence[ChunkDraft]) -> Job:
        async def body(tx: Tx) -> Job:
            chunks = [await _resolved(tx, job, draft) for draft in drafts]
            kinds = [flaw.kind for chunk in chunks for flaw in chunk.line_errors]
            counts = msgspec.structs.replace(
                job.counts,
                malformed=job.counts.malformed + kinds.count(LineErrorKind.MALFORMED),
                unknown=job.counts.unknown + kinds.count(LineErrorKind.UNKNOWN),
            )
            written = msgspec.structs.replace(job, counts=counts, layout=reader.form)
            staged = await store.stage(tx, written, chunks, self._clock())
            if staged is None:
                raise UploadSuperseded
            return msgspec.structs.replace(written, lines=staged[0], chunks=staged[1])

        staged = await self._restart("job.stage", body)
        if staged.lines > LINE_MAX:
            raise InvalidInput(
                [FieldError(400, f"An audience can have at most {LINE_MAX} lines. Split it.", "audience")]
            )
        return staged

    async def _queue(self, tx: Tx, job: Job) -> Job:
        now = self._clock()
        if not await store.queue(tx, job, now):
            raise UploadSuperseded
        await tx.enqueue(TASK, job.job_key)
        return msgspec.structs.replace(job, state=JobState.QUEUED, updated_at=now)

    async def _abandon(self, job: Job) -> None:
        """Delete an unfinished upload. If the database is unreachable, the cleanup deletes it later."""

        async def body(tx: Tx) -> None:
            deleted = await store.delete_staging(tx, job.job_key, job.upload_attempt)
            if deleted is not None and not deleted[2]:
                await request_store.release_many(tx, [deleted[:2]])

        with suppress(Unavailable):
            await self._restart("job.abandon", body)

    # Reading, pausing, resuming, cancelling

    async def get(self, caller: Caller, key: RequestKey | None) -> Job:
        """Return the job in the caller's org. Raises JobNotFound."""
        job = (
            None
            if key is None
            else await self._database.transaction("job.get", lambda tx: store.find(tx, key))
        )
        return _own(caller, job)

    async def list_page(
        self, caller: Caller, request_id: str | None, page: int, size: int
    ) -> tuple[list[Job], int]:
        """Return a page of the org's jobs, newest first, and their total number."""
        return await self._database.transaction(
            "job.list", lambda tx: store.list_page(tx, caller.org_id, request_id, page, size)
        )

    async def pause(self, caller: Caller, key: RequestKey | None) -> Job:
        """Pause the job. Raises JobNotFound, and JobEnded if it cannot be paused."""
        return await self._change("job.pause", caller, key, rules.after_pause)

    async def resume(self, caller: Caller, key: RequestKey | None) -> Job:
        """Resume the job. Raises JobNotFound, and JobEnded if it has ended or its upload is incomplete."""
        return await self._change("job.resume", caller, key, rules.after_resume)

    async def cancel(self, caller: Caller, key: RequestKey | None) -> Job:
        """Cancel the job; issued badges stay. Raises JobNotFound, and JobEnded if it is completed."""
        return await self._change("job.cancel", caller, key, rules.after_cancel)

    async def _change(
        self,
        name: str,
        caller: Caller,
        key: RequestKey | None,
        after: Callable[[JobState], JobState | None],
    ) -> Job:
        async def body(tx: Tx) -> Job:
            job = _own(caller, None if key is None else await store.lock(tx, key))
            state, now = after(job.state), self._clock()
            if state is None:
                raise JobEnded(f"The job is {job.state.value}.")
            if state is job.state:
                return job
            finished_at = now if rules.is_over(state) else None
            await store.set_state(tx, job.job_key, state, now, finished_at=finished_at)
            if state is JobState.QUEUED:
                await tx.enqueue(TASK, job.job_key)
            if finished_at is not None and not job.is_dry_run:
                await outbox_store.enqueue_job_chunk(tx, job.org_id, job.job_key, WHOLE_JOB, now)
            return msgspec.structs.replace(
                job, state=state, finished_at=finished_at, rate=None, error=None, updated_at=now
            )

        return await self._database.transaction(name, body)

    async def chunks(self, job: Job) -> AsyncGenerator[StagedChunk]:
        """Yield all chunks of the job in order, reading a few at a time."""
        number = 0
        while number < job.chunks:
            found = await self._restart(
                "job.read",
                lambda tx, first=number: store.list_chunks(tx, job.job_key, first, STAGED_TOGETHER),
            )
            for chunk in found:
                yield chunk
            if not found:
                return
            number = found[-1].number + 1

    async def _restart(self, name: str, body: Body[T]) -> T:
        """Run a transaction with a fresh time budget, because a download takes longer than one request may."""
        with self._database.request_time_budget():
            return await self._database.transaction(name, body)

    # Processing

    async def run(self, stop: asyncio.Event) -> None:
        """Process the jobs of all orgs until `stop` is set. Raises Unavailable if the database connection is
        lost.
        """
        await with_periodic_cleanup(self.cleanup, self._database.run_tasks({TASK: self._work_through}, stop))

    async def _work_through(self, number: int, ending: asyncio.Event) -> None:
        """Process one job from its current state to its end. Raises Unfinished if `ending` is set."""
        key = RequestKey(number)
        await self.scheduler.run(
            "job.chunk", job_id(key), ending, lambda: self._advance(key), lambda: self._fail(key)
        )

    async def _advance(self, key: RequestKey) -> bool:
        """Do one step of a job. Return False if nothing is left or the job was stopped."""
        try:
            job = await self._decide(key, exclusive=False)
        except (NeedsExclusiveLock, DuplicateRow):
            job = await self._decide(key, exclusive=True)
        if job is not None and not job.is_deduplicated:
            await self._deduplicate(job)
        return job is not None

    async def _deduplicate(self, job: Job) -> None:
        """Mark customers that occur in several lines. Works in parts, so that memory is bounded for any
        audience.
        """
        parts = rules.passes(job.lines)
        for part in range(parts):
            customers, lines = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
            places: list[tuple[int, int]] = []
            for first in range(0, job.chunks, READ_TOGETHER):
                for number, first_line, numbers in await self._read(job.job_key, first):
                    here = np.flatnonzero((numbers > 0) & (numbers % parts == part))
                    customers.append(numbers[here])
                    lines.append(here + first_line)
                    places.append((number, first_line))
            found = rules.repeated(np.concatenate(customers), np.concatenate(lines))
            await self._mark_duplicates(job, found.tolist(), places)
        await self._database.transaction(
            "job.deduplicated", lambda tx: store.mark_deduplicated(tx, job.job_key, self._clock())
        )

    async def _read(self, key: RequestKey, first: int) -> list[tuple[int, int, rules.Numbers]]:
        return await self._database.transaction(
            "job.deduplicate", lambda tx: store.read_audience(tx, key, first, first + READ_TOGETHER)
        )

    async def _mark_duplicates(
        self, job: Job, lines: Sequence[int], places: Sequence[tuple[int, int]]
    ) -> None:
        """Lines are numbered through the whole audience. `places` are the numbers and first lines of its
        chunks.

        Decided chunks do not change.
        """
        starts = [first_line for _, first_line in places]
        of_chunk: dict[int, list[int]] = {}
        for line in lines:
            number, first_line = places[bisect_right(starts, line) - 1]
            if number >= job.next_chunk:
                of_chunk.setdefault(number, []).append(line - first_line)
        for number, repeats in of_chunk.items():
            await self._database.transaction(
                "job.mark_duplicates",
                lambda tx, number=number, repeats=repeats: store.add_duplicates(
                    tx, job.job_key, number, repeats
                ),
            )

    async def _decide(self, key: RequestKey, *, exclusive: bool) -> Job | None:
        """Decide the next chunk and store its outcome in one transaction. Returns None if there is none to
        decide.

        If the job is not deduplicated yet, it is only started.
        """

        async def body(tx: Tx) -> tuple[Job | None, JobOutcome | None]:
            job, now = await store.lock(tx, key), self._clock()
            if job is None or job.state not in (JobState.QUEUED, JobState.RUNNING):
                return None, None
            if job.state is JobState.QUEUED:
                await store.start(tx, key, now)
                job = msgspec.structs.replace(job, state=JobState.RUNNING, updated_at=now)
            if not job.is_deduplicated:
                return job, None
            if job.next_chunk == job.chunks:
                await store.save_progress(tx, rules.with_completion(job, now))
                if not job.is_dry_run:
                    await outbox_store.enqueue_job_chunk(tx, job.org_id, key, WHOLE_JOB, now)
                log.info("job completed", action="job.chunk", job=job_id(key), org=job.org_id)
                return None, None
            chunk = await store.lock_chunk(tx, key, job.next_chunk)
            turn = Attempt(request_key=key, now=now, exclusive=exclusive, is_dry_run=job.is_dry_run)
            outcome = await _issue(tx, job, chunk, turn)
            await store.decide_chunk(tx, key, chunk.number, outcome, now)
            job = rules.advanced(job, chunk, outcome, self._clock())
            await store.save_progress(tx, job)
            if outcome.issued and not job.is_dry_run:
                await outbox_store.enqueue_job_chunk(
                    tx, job.org_id, key, chunk.number, now, outcome.valid_until
                )
            return job, outcome

        job, outcome = await self._database.transaction("job.chunk", body)
        if job is not None and outcome is not None and not job.is_dry_run:
            metrics.count_issuances(RequestKind.JOB, outcome.issued, outcome.failed_code)
        return job

    async def _fail(self, key: RequestKey) -> None:
        message = "An unexpected error occurred; see the log of the worker. You can resume the job."

        async def body(tx: Tx) -> None:
            job = await store.lock(tx, key)
            if job is not None and job.state in (JobState.QUEUED, JobState.RUNNING):
                await store.set_state(tx, key, JobState.FAILED, self._clock(), failure=message)

        await self._database.transaction("job.fail", body)

    # Cleanup

    async def cleanup(self) -> None:
        """Delete abandoned uploads, re-queue stalled jobs, and delete old files."""
        now = self._clock()
        stale = now - timedelta(seconds=UPLOAD_ABANDONED_S)
        for key, upload in await self._database.transaction(
            "job.list_abandoned", lambda tx: store.list_stale(tx, stale)
        ):
            job = await self._database.transaction("job.find", lambda tx, key=key: store.find(tx, key))
            if job is not None and job.upload_attempt == upload:
                await self._abandon(job)
        forgotten = now - timedelta(seconds=FORGOTTEN_S)

        async def requeue(tx: Tx) -> None:
            for key in await store.list_stalled(tx, forgotten):
                await tx.enqueue(TASK, key)

        await self._database.transaction("job.requeue", requeue)
        old = now - timedelta(days=self._config.job_file_retention_days)
        await self._database.transaction("job.delete_files", lambda tx: store.delete_expired_files(tx, old))


def job_id(key: RequestKey) -> str:
    """Return the job id for the API: 16 hex digits."""
    return f"{key % 2**64:016x}"


def _own(caller: Caller, job: Job | None) -> Job:
    """Return the job if it belongs to the caller's org. Raises JobNotFound."""
    if job is None or job.org_id != caller.org_id:
        raise JobNotFound(reference="jobId")
    return job


async def _resolved(tx: Tx, job: Job, draft: ChunkDraft) -> Chunk:
    """Resolve the identifiers of a chunk."""
    kind, chunk = job.layout.identifier, draft.chunk
    if kind is None or not draft.names:
        return chunk
    asked = [customer_rules.identifier(kind, name) for _, _, name in draft.names]
    numbers, line_errors = chunk.numbers.copy(), list(chunk.line_errors)
    for (line, row, name), customer in zip(
        draft.names, await store.resolve(tx, job.org_id, kind, asked), strict=True
    ):
        if customer is None:
            message = f"No customer has this {kind.value}."
            line_errors.append(LineError(line, row, LineErrorKind.UNKNOWN, name[:VALUE_CHARS_MAX], message))
        else:
            numbers[line] = customer
    return Chunk(
        numbers=numbers,
        line_errors=sorted(line_errors, key=lambda flaw: flaw.line),
        raw_lines=chunk.raw_lines,
    )


async def _issue(tx: Tx, job: Job, chunk: StagedChunk, turn: Attempt) -> JobOutcome:
    """Issue to the customers of the chunk. If the whole chunk is rejected, every customer fails with that
    code.
    """
    places = rules.open_lines(chunk)
    if not len(places):
        return JobOutcome(issued=0)
    caller = Caller(
        credential_id=CredentialId(0),
        username=job.created_by,
        org_id=job.org_id,
        time_zone=job.time_zone,
        access_group=AccessGroup.DEFAULT,
    )
    command = IssueCommand(
        request_id=job.request_id,
        badge_id=job.badge_id,
        customers=chunk.numbers[places].tolist(),
        event_at=job.event_at,
        owner_type=job.owner_type,
        reference_id=job.reference_id,
    )
    part = JobSlice(lines=places + chunk.first_line, pending=job.counts.issued if job.is_dry_run else 0)
    try:
        outcome = await issue(tx, caller, command, RequestKind.JOB, turn, part)
    except RequestRejected as error:
        return JobOutcome(issued=0, failed_code={error.code: len(places)}, code=error.code)
    refusals = [
        msgspec.structs.replace(refusal, line=int(places[refusal.line])) for refusal in outcome.failures
    ]
    return JobOutcome(
        issued=len(places) - len(refusals),
        failed_code=Counter(refusal.reason.value for refusal in refusals),
        failures=refusals,
        valid_until=outcome.valid_until,
    )
