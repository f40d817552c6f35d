"""Undo a request: revoke everything that it issued, in batches, one transaction each.

An undo that was interrupted between two batches can be sent again. It skips what is already revoked and
continues.

Larger requests are undone in the background. The row in table `undo` has the next batch; the transaction that
revokes a batch also advances the row. Concurrent workers therefore wait for each other, and a crash loses
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from cockade.audit.model import Action
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts
from cockade.clock import Clock
from cockade.config import Config
from cockade.earning import store as earning_store
from cockade.enrolment import store as enrolment_store
from cockade.errors import JobNotEnded, OutcomeUnknown, PartiallyCompleted, RequestNotFound, Unavailable
from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId, RequestKey
from cockade.job import rules as job_rules
from cockade.job import store as job_store
from cockade.job.model import Job
from cockade.job.service import job_id
from cockade.limit import store as limit_store
from cockade.outbox import store as outbox_store
from cockade.outbox.model import Ledger
from cockade.request import store as request_store
from cockade.request.model import ImportOutcome, JobReference, Outcome, RequestKind
from cockade.request.service import NeedsExclusiveLock, run_shared_then_exclusive
from cockade.storage.database import Database, Tx
from cockade.undo import rules, store
from cockade.undo.model import Lines, UndoResult, UndoState, UndoTask
from cockade.worker import FairScheduler, with_periodic_cleanup

TASK = "undo"
"""Name of the task in the queue."""
STALLED_S = 60.0
"""Seconds without progress after which a task that is not in the queue is queued again."""
LINES_MAX = 10_000
"""Maximum number of lines that are revoked in one transaction."""


class RevocationSource(Protocol):
    """Earned badges or enrolments of a request, in batches that are revoked in one transaction each."""

    request_key: RequestKey
    request_id: str
    kind: RequestKind
    badge_id: BadgeId | None
    """None if the request has several badges."""
    size: int
    """Number of lines, issued or not."""
    batches: int

    def badges(self, batch: int) -> list[BadgeId]:
        """Return the badges of a batch."""
        ...

    async def lines(self, tx: Tx, batch: int) -> Lines:
        """Return the lines of a batch, with the current customers."""
        ...


class RequestSource:
    """Revocation source of any request except jobs."""

    def __init__(self, org_id: OrgId, outcome: Outcome) -> None:
        self._org_id = org_id
        self._outcome = outcome
        is_import = isinstance(outcome, ImportOutcome)
        self.request_key = outcome.request_key
        self.request_id = outcome.request_id
        self.kind = RequestKind.IMPORT if is_import else outcome.kind
        self.badge_id = None if is_import else outcome.badge_id
        self.size = len(outcome.customer_ids)
        self.batches = -(-self.size // LINES_MAX)

    def badges(self, batch: int) -> list[BadgeId]:
        """Implements `RevocationSource`."""
        if isinstance(self._outcome, ImportOutcome):
            indexes = _slice(batch)
            return list(set(self._outcome.badge_ids[indexes.start : indexes.stop]))
        return [self._outcome.badge_id]

    async def lines(self, tx: Tx, batch: int) -> Lines:
        """Implements `RevocationSource`."""
        outcome, indexes = self._outcome, _slice(batch)
        customers = await request_store.list_customers(tx, self._org_id, outcome.request_id, indexes)
        return Lines(
            request_key=outcome.request_key,
            is_enrolling=self.kind is RequestKind.ISSUE_BULK,
            badge_keys=outcome.badge_keys[indexes.start : indexes.stop]
            if isinstance(outcome, ImportOutcome)
            else [outcome.badge_key] * len(customers),
            customers=customers,
            lines=indexes[: len(customers)],
        )


class JobSource:
    """Revocation source of a job. A batch is a chunk."""

    kind = RequestKind.JOB

    def __init__(self, job: Job, badge_key: BadgeKey) -> None:
        self._job = job
        self._badge_key = badge_key
        self.request_key = job.job_key
        self.request_id = job.request_id
        self.badge_id: BadgeId | None = job.badge_id
        self.size = job.processed
        self.batches = job.next_chunk

    def badges(self, batch: int) -> list[BadgeId]:
        """Implements `RevocationSource`."""
        return [self._job.badge_id]

    async def lines(self, tx: Tx, batch: int) -> Lines:
        """Implements `RevocationSource`."""
        [chunk] = await job_store.list_chunks(tx, self._job.job_key, batch, 1)
        indexes = job_rules.issued_lines(chunk)
        return Lines(
            request_key=self._job.job_key,
            is_enrolling=False,
            badge_keys=[self._badge_key] * len(indexes),
            customers=chunk.numbers[indexes].tolist(),
            lines=(chunk.first_line + indexes).tolist(),
        )


def _slice(batch: int) -> range:
    return range(batch * LINES_MAX, (batch + 1) * LINES_MAX)


class UndoService:
    """Undo requests and jobs of the caller's org."""

    def __init__(self, database: Database, clock: Clock, config: Config, scheduler: FairScheduler) -> None:
        self._database = database
        self._clock = clock
        self._lines_max = config.max_customers_per_request
        self._scheduler = scheduler

    async def undo(self, caller: Caller, request_id: str) -> UndoResult | UndoTask:
        """Revoke everything that the request issued, including expired earned badges. Idempotent.

        If the request has more lines than one API request may have, start or continue an undo in the
        background and return its progress. Raises RequestNotFound, JobNotEnded, Unavailable (nothing was
        changed) or PartiallyCompleted (some batches are revoked).
        """
        source = await self._find(caller, request_id)
        if source.size > self._lines_max:
            return await self._database.transaction(
                "undo.create", lambda tx: self._enqueue(tx, caller, source)
            )
        result = UndoResult()
        for batch in range(source.batches):
            try:
                result += await run_shared_then_exclusive(
                    self._database,
                    "request.revoke",
                    lambda tx, exclusive, batch=batch: self._undo_batch(
                        tx, caller, source, batch, exclusive=exclusive
                    ),
                )
            except Unavailable as error:
                if batch or isinstance(error, OutcomeUnknown):
                    raise PartiallyCompleted from error
                raise
        return result

    async def dry_run(self, caller: Caller, request_id: str) -> UndoResult:
        """Return what `undo` would revoke now, without changes. Raises RequestNotFound or JobNotEnded.

        Requests of at most the size of one API request are counted in one snapshot. Larger ones are counted
        batch by batch, and each batch has its own request timeout, so that any size can be counted.
        """
        source = await self._find(caller, request_id)
        batches_at_once = 1 if source.size > self._lines_max else max(1, source.batches)

        async def body(tx: Tx, first: int) -> UndoResult:
            result = UndoResult()
            for batch in range(first, min(first + batches_at_once, source.batches)):
                total, unrevoked = await _count(tx, await source.lines(tx, batch))
                result += UndoResult(revoked=unrevoked, already_revoked=total - unrevoked)
            return result

        result = UndoResult()
        for first in range(0, source.batches, batches_at_once):
            with self._database.request_time_budget():
                result += await self._database.transaction(
                    "request.revoke_dry_run", lambda tx, first=first: body(tx, first), read_only=True
                )
        return result

    async def _find(self, caller: Caller, request_id: str) -> RevocationSource:
        return await self._database.transaction(
            "request.find", lambda tx: _find_source(tx, caller.org_id, request_id), read_only=True
        )

    async def _undo_batch(
        self, tx: Tx, by: Caller | UndoTask, source: RevocationSource, batch: int, *, exclusive: bool
    ) -> UndoResult:
        with_limit = await lock_badges(tx, by.org_id, source.badges(batch), exclusive=exclusive)
        # Read the customers after locking the badges: merging and erasing lock them exclusively.
        lines = await source.lines(tx, batch)
        now = self._clock()
        result = await revoke_rows(tx, by.org_id, lines, with_limit, now)
        if result.revoked:
            details = {"kind": source.kind, "revokedCount": result.revoked}
            subject, badge_id = source.request_id, source.badge_id
            await record(tx, by, now, Action.REQUEST_REVOKE, subject, details, badge_id=badge_id)
        return result

    # Background

    async def _enqueue(self, tx: Tx, caller: Caller, source: RevocationSource) -> UndoResult | UndoTask:
        """Queue the undo if it is new or has failed, and return its progress."""
        key, now = source.request_key, self._clock()
        is_new = await store.insert(tx, caller, key, source.request_id, source.batches, now)
        task = await store.find(tx, key)
        assert task is not None
        if task.state is UndoState.COMPLETED:
            return UndoResult(revoked=task.revoked, already_revoked=task.already_revoked)
        if is_new or await store.requeue(tx, key, now):
            await tx.enqueue(TASK, key)
            task = msgspec.structs.replace(task, state=UndoState.QUEUED)
        return task

    async def run(self, stop: asyncio.Event) -> None:
        """Run background undos of all orgs until `stop` is set. Raises Unavailable if the database is lost."""
        await with_periodic_cleanup(self.cleanup, self._database.run_tasks({TASK: self._work_through}, stop))

    async def cleanup(self) -> None:
        """Queue stalled tasks again."""
        stalled_since = self._clock() - timedelta(seconds=STALLED_S)

        async def requeue(tx: Tx) -> None:
            for key in await store.list_stalled(tx, stalled_since):
                await tx.enqueue(TASK, key)

        await self._database.transaction("undo.requeue", requeue)

    async def _work_through(self, number: int, stop: asyncio.Event) -> None:
        """Revoke all remaining batches of one request. Raises TaskInterrupted if `stop` is set."""
        key = RequestKey(number)
        await self._scheduler.run(
            "undo.batch", job_id(key), stop, lambda: self._advance(key), lambda: self._fail(key)
        )

    async def _advance(self, key: RequestKey) -> bool:
        """Revoke the next batch. Returns False if none is left."""

        async def body(tx: Tx, exclusive: bool) -> bool:
            task = await store.lock(tx, key)
            if task is None or task.state not in (UndoState.QUEUED, UndoState.RUNNING):
                return False
            source = await _find_source(tx, task.org_id, task.request_id)
            result = await self._undo_batch(tx, task, source, task.next_batch, exclusive=exclusive)
            task = rules.advanced(task, result)
            await store.save_progress(tx, task, self._clock())
            return task.state is not UndoState.COMPLETED

        return await run_shared_then_exclusive(self._database, "undo.batch", body)

    async def _fail(self, key: RequestKey) -> None:
        message = "An unexpected error occurred; see the log of the worker. Send the same request again to continue."
        await self._database.transaction("undo.fail", lambda tx: store.fail(tx, key, message, self._clock()))


async def lock_badges(
    tx: Tx, org_id: OrgId, badge_ids: Sequence[BadgeId], *, exclusive: bool
) -> set[BadgeKey]:
    """Lock the badges and return those with a badge limit.

    Raises NeedsExclusiveLock if one of these is not locked exclusively.
    """
    locks = (await badge_store.lock_many(tx, org_id, badge_ids, exclusive=exclusive)).values()
    terms = await badge_store.import_terms(tx, [each.badge_key for each in locks])
    with_limit = {badge_key for badge_key, term in terms.items() if term.has_badge_limit}
    if any(each.badge_key in with_limit and not each.exclusive for each in locks):
        raise NeedsExclusiveLock
    return with_limit


async def revoke_rows(
    tx: Tx, org_id: OrgId, lines: Lines, with_limit: set[BadgeKey], now: datetime
) -> UndoResult:
    """Revoke what these lines issued, update the counters, and add the revocations to the outbox.

    The badges must be locked; `with_limit` are those with a badge limit.
    """
    total, _ = await _count(tx, lines)
    line_args = (lines.request_key, lines.badge_keys, lines.customers, lines.lines, now)
    revoked: dict[BadgeKey, list[tuple[CustomerId, int]]] = {}
    if lines.is_enrolling:
        revoked = await enrolment_store.revoke_lines(tx, *line_args)
        changes = {badge_key: BadgeCounts(issued=-len(rows)) for badge_key, rows in revoked.items()}
    else:
        by_event = await earning_store.revoke_lines(tx, *line_args)
        if limit_changes := {event: -len(rows) for event, rows in by_event.items() if event[0] in with_limit}:
            await limit_store.add_counts(tx, limit_changes)
        for (badge_key, _), rows in sorted(by_event.items()):
            revoked.setdefault(badge_key, []).extend(rows)
        changes = {badge_key: BadgeCounts(earned=-len(rows)) for badge_key, rows in revoked.items()}
    if changes:
        await badge_store.add_counts(tx, changes)
    ledger = Ledger.ENROLMENT if lines.is_enrolling else Ledger.EARNED_BADGE
    for badge_key, rows in revoked.items():
        earned_badges = [(customer, lines.request_key, line) for customer, line in rows]
        await outbox_store.enqueue_revocations(tx, org_id, ledger, badge_key, earned_badges, now)
    count = sum(map(len, revoked.values()))
    return UndoResult(revoked=count, already_revoked=total - count)


async def _count(tx: Tx, lines: Lines) -> tuple[int, int]:
    """Return the number of earned badges or enrolments of these lines, and how many of them are unrevoked."""
    store = enrolment_store if lines.is_enrolling else earning_store
    return await store.count_lines(tx, lines.request_key, lines.badge_keys, lines.customers, lines.lines)


async def _find_source(tx: Tx, org_id: OrgId, request_id: str) -> RevocationSource:
    """Return what the request issued. Raises RequestNotFound, or JobNotEnded if a job can still issue badges."""
    outcome = await request_store.find(tx, org_id, request_id)
    if outcome is None:
        raise RequestNotFound(reference="requestId")
    if not isinstance(outcome, JobReference):
        return RequestSource(org_id, outcome)
    job = await job_store.find(tx, outcome.request_key)
    if job is None:
        raise RequestNotFound(reference="requestId")
    if not job_rules.is_over(job.state):
        raise JobNotEnded(
            f"The job is {job.state.value}: cancel it, or wait until it ends.", reference="requestId"
        )
    _, lock = await badge_store.lock_for_issuing(tx, org_id, job.badge_id, exclusive=False, read_only=True)
    return JobSource(job, lock.badge_key)
