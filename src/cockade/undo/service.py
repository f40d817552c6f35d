"""Undo a request: revoke everything that it issued in batches, each in its own transaction.

An undo can be interrupted between two batches and repeated: revoked issuances are skipped, and the rest
follows. What one request could not have issued in one call is undone in the background. The row in `undo` has
the number of the next batch, which advances in the transaction that revokes the batch. So two workers wait
for each other, and a crash loses nothing.
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
FORGOTTEN_S = 60.0
"""A task without progress for this time that is not in the queue is added again."""
LINES_MAX = 10_000
"""Maximum number of lines revoked per transaction."""


class RevocationSource(Protocol):
    """What a request issued, in batches of one transaction each."""

    request_key: RequestKey
    request_id: str
    kind: RequestKind
    badge_id: BadgeId | None
    """None if there are several badges."""
    size: int
    """Number of lines, whatever their outcome."""
    batches: int

    def badges(self, batch: int) -> list[BadgeId]:
        """Return the badges of a batch."""
        ...

    async def lines(self, tx: Tx, batch: int) -> Lines:
        """Return the lines of a batch with their current customers."""
        ...


class RequestSource:
    """What a request other than a job issued."""

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
        """See `RevocationSource`."""
        if isinstance(self._outcome, ImportOutcome):
            part = _slice(batch)
            return list(set(self._outcome.badge_ids[part.start : part.stop]))
        return [self._outcome.badge_id]

    async def lines(self, tx: Tx, batch: int) -> Lines:
        """See `RevocationSource`."""
        outcome, part = self._outcome, _slice(batch)
        customers = await request_store.list_customers(tx, self._org_id, outcome.request_id, part)
        return Lines(
            request_key=outcome.request_key,
            is_enrolling=self.kind is RequestKind.ISSUE_BULK,
            badge_keys=outcome.badge_keys[part.start : part.stop]
            if isinstance(outcome, ImportOutcome)
            else [outcome.badge_key] * len(customers),
            customers=customers,
            lines=part[: len(customers)],
        )


class JobSource:
    """What a job issued, chunk by chunk."""

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
        """See `RevocationSource`."""
        return [self._job.badge_id]

    async def lines(self, tx: Tx, batch: int) -> Lines:
        """See `RevocationSource`."""
        [chunk] = await job_store.list_chunks(tx, self._job.job_key, batch, 1)
        places = job_rules.issued_lines(chunk)
        return Lines(
            request_key=self._job.job_key,
            is_enrolling=False,
            badge_keys=[self._badge_key] * len(places),
            customers=chunk.numbers[places].tolist(),
            lines=(chunk.first_line + places).tolist(),
        )


def _slice(batch: int) -> range:
    return range(batch * LINES_MAX, (batch + 1) * LINES_MAX)


class UndoService:
    """Use cases of `undo`, in the caller's org."""

    def __init__(self, database: Database, clock: Clock, config: Config, scheduler: FairScheduler) -> None:
        self._database = database
        self._clock = clock
        self._lines_max = config.max_customers_per_request
        self._scheduler = scheduler

    async def undo(self, caller: Caller, request_id: str) -> UndoResult | UndoTask:
        """Revoke everything that the request issued, including what has expired. Repeating it has no effect.

        A request with more lines than one call may have is undone in the background: from the first call
        until it is done, the task with its progress is returned. Raises RequestNotFound, NotEnded,
        Unavailable (nothing was changed) or Unfinished (some of it is revoked).
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
        """Return what an undo would revoke now. Nothing is changed. Raises RequestNotFound or NotEnded.

        Requests of a normal size are read in one snapshot, larger ones batch by batch, each with its own time
        budget, so that it works for any size.
        """
        source = await self._find(caller, request_id)
        together = 1 if source.size > self._lines_max else max(1, source.batches)

        async def body(tx: Tx, first: int) -> UndoResult:
            result = UndoResult()
            for batch in range(first, min(first + together, source.batches)):
                found, unrevoked = await _count(tx, await source.lines(tx, batch))
                result += UndoResult(revoked=unrevoked, already_revoked=found - unrevoked)
            return result

        result = UndoResult()
        for first in range(0, source.batches, together):
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
        capped = await lock_badges(tx, by.org_id, source.badges(batch), exclusive=exclusive)
        # The lines' customers are read under the badge locks, which merging and erasing take exclusively.
        lines = await source.lines(tx, batch)
        now = self._clock()
        result = await revoke_rows(tx, by.org_id, lines, capped, now)
        if result.revoked:
            details = {"kind": source.kind, "revokedCount": result.revoked}
            subject, badge_id = source.request_id, source.badge_id
            await record(tx, by, now, Action.REQUEST_REVOKE, subject, details, badge_id=badge_id)
        return result

    # In the background

    async def _enqueue(self, tx: Tx, caller: Caller, source: RevocationSource) -> UndoResult | UndoTask:
        """Return the task. It is queued if it is new or has failed."""
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
        """Run the undo tasks of all orgs until `stop` is set. Raises Unavailable if the database connection
        is lost.
        """
        await with_periodic_cleanup(self.cleanup, self._database.run_tasks({TASK: self._work_through}, stop))

    async def cleanup(self) -> None:
        """Re-queue stalled tasks."""
        forgotten = self._clock() - timedelta(seconds=FORGOTTEN_S)

        async def requeue(tx: Tx) -> None:
            for key in await store.list_stalled(tx, forgotten):
                await tx.enqueue(TASK, key)

        await self._database.transaction("undo.requeue", requeue)

    async def _work_through(self, number: int, ending: asyncio.Event) -> None:
        """Revoke all remaining batches of one request. Raises Unfinished if `ending` is set."""
        key = RequestKey(number)
        await self._scheduler.run(
            "undo.batch", job_id(key), ending, lambda: self._advance(key), lambda: self._fail(key)
        )

    async def _advance(self, key: RequestKey) -> bool:
        """Revoke the next batch. Return False if none is left."""

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
    """Lock the badges and return those with a badge limit. Raises NeedsExclusiveLock if one of those is not
    locked exclusively.
    """
    holds = (await badge_store.lock_many(tx, org_id, badge_ids, exclusive=exclusive)).values()
    terms = await badge_store.import_terms(tx, [each.badge_key for each in holds])
    capped = {badge_key for badge_key, term in terms.items() if term.has_badge_limit}
    if any(each.badge_key in capped and not each.exclusive for each in holds):
        raise NeedsExclusiveLock
    return capped


async def revoke_rows(
    tx: Tx, org_id: OrgId, lines: Lines, capped: set[BadgeKey], now: datetime
) -> UndoResult:
    """Revoke what these lines issued, under the badge locks, and update counts, counters and the outbox."""
    found, _ = await _count(tx, lines)
    sent = (lines.request_key, lines.badge_keys, lines.customers, lines.lines, now)
    revoked: dict[BadgeKey, list[tuple[CustomerId, int]]] = {}
    if lines.is_enrolling:
        revoked = await enrolment_store.revoke_lines(tx, *sent)
        less = {badge_key: BadgeCounts(issued=-len(places)) for badge_key, places in revoked.items()}
    else:
        by_event = await earning_store.revoke_lines(tx, *sent)
        if tallied := {place: -len(places) for place, places in by_event.items() if place[0] in capped}:
            await limit_store.add_counts(tx, tallied)
        for (badge_key, _), places in sorted(by_event.items()):
            revoked.setdefault(badge_key, []).extend(places)
        less = {badge_key: BadgeCounts(earned=-len(places)) for badge_key, places in revoked.items()}
    if less:
        await badge_store.add_counts(tx, less)
    ledger = Ledger.ENROLMENT if lines.is_enrolling else Ledger.EARNED_BADGE
    for badge_key, places in revoked.items():
        named = [(customer, lines.request_key, line) for customer, line in places]
        await outbox_store.enqueue_revocations(tx, org_id, ledger, badge_key, named, now)
    count = sum(map(len, revoked.values()))
    return UndoResult(revoked=count, already_revoked=found - count)


async def _count(tx: Tx, lines: Lines) -> tuple[int, int]:
    """Return the number of issuances of these lines, and of those that are unrevoked."""
    store = enrolment_store if lines.is_enrolling else earning_store
    return await store.count_lines(tx, lines.request_key, lines.badge_keys, lines.customers, lines.lines)


async def _find_source(tx: Tx, org_id: OrgId, request_id: str) -> RevocationSource:
    """Raises RequestNotFound, and NotEnded for a job that may still issue."""
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
    _, look = await badge_store.lock_for_issuing(tx, org_id, job.badge_id, exclusive=False, read_only=True)
    return JobSource(job, look.badge_key)
