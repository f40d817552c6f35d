"""Undoing a request: everything that it gave is revoked, lot by lot, each in a transaction of its own.

It may be broken off between any two lots and sent again: what is revoked is left alone, and the rest follows.
What is more than one call could give is undone in the background: the row of `undoing` says which lot is next, and whoever
takes that back moves it on in the same transaction. So two who work on it wait for each other, and a crash loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec

from cockade.access.model import Caller
from cockade.audit.model import Action
from cockade.audit.store import record
from cockade.badge import store as badge_store
from cockade.badge.model import Counts
from cockade.clock import Clock
from cockade.config import Config
from cockade.earning import store as earning_store
from cockade.enrolment import store as enrolment_store
from cockade.errors import NotEnded, OutcomeUnknown, RequestNotFound, Unavailable, Unfinished
from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId, RequestKey
from cockade.job import rules as job_rules
from cockade.job import store as job_store
from cockade.job.model import Job
from cockade.job.service import job_id
from cockade.limit import store as limit_store
from cockade.request import store as request_store
from cockade.request.model import ImportOutcome, JobRequest, Ledger, Outcome, RequestKind
from cockade.request.service import Crowded, side_by_side
from cockade.storage.database import Database, Tx
from cockade.undoing import rules, store
from cockade.undoing.model import Lines, Undoing, UndoingState, Undone
from cockade.worker import Turns, sweeping

TASK = "undo"
"""What the queue calls it."""
FORGOTTEN_S = 60.0
"""One that has not moved for so long, and is not in the queue, is put there again."""
LINES_MAX = 10_000
"""So many lines of a request are taken back in one transaction."""


class Given(Protocol):
    """What a request gave, in lots, each of which is taken back in a transaction of its own."""

    request_key: RequestKey
    request_id: str
    kind: RequestKind
    badge_id: BadgeId | None
    """None where there are several."""
    size: int
    """So many lines it has, whatever became of them."""
    lots: int

    def badges(self, lot: int) -> list[BadgeId]:
        """The badges of a lot."""
        ...

    async def lines(self, tx: Tx, lot: int) -> Lines:
        """Its lines, with the customers as they are now."""
        ...


class GivenByRequest:
    """What any request gave but a job."""

    def __init__(self, org_id: OrgId, outcome: Outcome) -> None:
        self._org_id = org_id
        self._outcome = outcome
        is_import = isinstance(outcome, ImportOutcome)
        self.request_key = outcome.request_key
        self.request_id = outcome.request_id
        self.kind = RequestKind.IMPORT if is_import else outcome.kind
        self.badge_id = None if is_import else outcome.badge_id
        self.size = len(outcome.customers if is_import else outcome.audience)
        self.lots = -(-self.size // LINES_MAX)

    def badges(self, lot: int) -> list[BadgeId]:
        """See `Given`."""
        if isinstance(self._outcome, ImportOutcome):
            part = _part(lot)
            return list(set(self._outcome.badge_ids[part.start : part.stop]))
        return [self._outcome.badge_id]

    async def lines(self, tx: Tx, lot: int) -> Lines:
        """See `Given`."""
        outcome, part = self._outcome, _part(lot)
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


class GivenByJob:
    """What a job gave, chunk by chunk."""

    kind = RequestKind.JOB

    def __init__(self, job: Job, badge_key: BadgeKey) -> None:
        self._job = job
        self._badge_key = badge_key
        self.request_key = job.job_key
        self.request_id = job.request_id
        self.badge_id: BadgeId | None = job.badge_id
        self.size = job.done
        self.lots = job.next_chunk

    def badges(self, lot: int) -> list[BadgeId]:
        """See `Given`."""
        return [self._job.badge_id]

    async def lines(self, tx: Tx, lot: int) -> Lines:
        """See `Given`."""
        [chunk] = await job_store.list_chunks(tx, self._job.job_key, lot, 1)
        places = job_rules.issued_lines(chunk)
        return Lines(
            request_key=self._job.job_key,
            is_enrolling=False,
            badge_keys=[self._badge_key] * len(places),
            customers=chunk.numbers[places].tolist(),
            lines=(chunk.first_line + places).tolist(),
        )


def _part(lot: int) -> range:
    return range(lot * LINES_MAX, (lot + 1) * LINES_MAX)


class UndoingService:
    """Use cases of `undoing`, in the caller's org."""

    def __init__(self, database: Database, clock: Clock, config: Config, turns: Turns) -> None:
        self._database = database
        self._clock = clock
        self._lines_max = config.customers_max
        self._turns = turns

    async def undo(self, caller: Caller, request_id: str) -> Undone | Undoing:
        """Revoke all that the request gave, what has expired too; again is the same and finds it revoked already.

        Of more lines than one call may name it answers how far that is, from the first call until it is done.
        Raises RequestNotFound, NotEnded, Unavailable (nothing was changed) or Unfinished (some of it is revoked).
        """
        given = await self._find(caller, request_id)
        if given.size > self._lines_max:
            return await self._database.transaction("undoing.ask", lambda tx: self._ask(tx, caller, given))
        undone = Undone()
        for lot in range(given.lots):
            try:
                undone += await side_by_side(
                    self._database,
                    "request.revoke",
                    lambda tx, alone, lot=lot: self._undo_lot(tx, caller, given, lot, alone=alone),
                )
            except Unavailable as error:
                if lot or isinstance(error, OutcomeUnknown):
                    raise Unfinished from error
                raise
        return undone

    async def dry_run(self, caller: Caller, request_id: str) -> Undone:
        """What undo would come to now; nothing is changed. Raises RequestNotFound or NotEnded.

        What one call could give is looked at as of one moment, and more than that lot by lot, each within a call's time:
        so it ends however much there is.
        """
        given = await self._find(caller, request_id)
        together = 1 if given.size > self._lines_max else max(1, given.lots)

        async def body(tx: Tx, first: int) -> Undone:
            undone = Undone()
            for lot in range(first, min(first + together, given.lots)):
                found, unrevoked = await _count(tx, await given.lines(tx, lot))
                undone += Undone(revoked=unrevoked, already_revoked=found - unrevoked)
            return undone

        undone = Undone()
        for first in range(0, given.lots, together):
            with self._database.one_call():
                undone += await self._database.transaction(
                    "request.revoke_dry_run", lambda tx, first=first: body(tx, first), only_reads=True
                )
        return undone

    async def _find(self, caller: Caller, request_id: str) -> Given:
        return await self._database.transaction(
            "request.find", lambda tx: _find_given(tx, caller.org_id, request_id), only_reads=True
        )

    async def _undo_lot(self, tx: Tx, by: Caller | Undoing, given: Given, lot: int, *, alone: bool) -> Undone:
        capped = await hold(tx, by.org_id, given.badges(lot), alone=alone)
        # Whose these lines are is read with the badges held: merging and erasing hold them alone.
        lines = await given.lines(tx, lot)
        now = self._clock()
        undone = await take_back(tx, by.org_id, lines, capped, now)
        if undone.revoked:
            details = {"kind": given.kind, "revokedCount": undone.revoked}
            subject, badge_id = given.request_id, given.badge_id
            await record(tx, by, now, Action.REQUEST_REVOKE, subject, details, badge_id=badge_id)
        return undone

    # In the background

    async def _ask(self, tx: Tx, caller: Caller, given: Given) -> Undone | Undoing:
        """How far it is. It is put into the queue where nobody has asked before, or where it has failed since."""
        key, now = given.request_key, self._clock()
        is_new = await store.ask(tx, caller, key, given.request_id, given.lots, now)
        undoing = await store.find(tx, key)
        assert undoing is not None
        if undoing.state is UndoingState.COMPLETED:
            return Undone(revoked=undoing.revoked, already_revoked=undoing.already_revoked)
        if is_new or await store.queue_again(tx, key, now):
            await tx.put_task(TASK, key)
            undoing = msgspec.structs.replace(undoing, state=UndoingState.QUEUED)
        return undoing

    async def run(self, stop: asyncio.Event) -> None:
        """Undo what was asked for in all orgs until `stop` is set. Raises Unavailable where the database is lost."""
        await sweeping(self.sweep, self._database.work({TASK: self._work_through}, stop))

    async def sweep(self) -> None:
        """Put what was forgotten into the queue."""
        forgotten = self._clock() - timedelta(seconds=FORGOTTEN_S)

        async def requeue(tx: Tx) -> None:
            for key in await store.list_forgotten(tx, forgotten):
                await tx.put_task(TASK, key)

        await self._database.transaction("undoing.requeue", requeue)

    async def _work_through(self, number: int, ending: asyncio.Event) -> None:
        """All lots of one request that are left. Raises Unfinished when `ending` is set."""
        key = RequestKey(number)
        await self._turns.do(
            "undoing.lot", job_id(key), ending, lambda: self._advance(key), lambda: self._fail(key)
        )

    async def _advance(self, key: RequestKey) -> bool:
        """Take the next lot back; False where there is none left."""

        async def body(tx: Tx, alone: bool) -> bool:
            undoing = await store.lock(tx, key)
            if undoing is None or undoing.state not in (UndoingState.QUEUED, UndoingState.RUNNING):
                return False
            given = await _find_given(tx, undoing.org_id, undoing.request_id)
            undone = await self._undo_lot(tx, undoing, given, undoing.next_lot, alone=alone)
            undoing = rules.advanced(undoing, undone)
            await store.advance(tx, undoing, self._clock())
            return undoing.state is not UndoingState.COMPLETED

        return await side_by_side(self._database, "undoing.lot", body)

    async def _fail(self, key: RequestKey) -> None:
        message = (
            "An unexpected error; the log of the worker has it. The same call goes on with what is left."
        )
        await self._database.transaction(
            "undoing.fail", lambda tx: store.fail(tx, key, message, self._clock())
        )


async def hold(tx: Tx, org_id: OrgId, badge_ids: Sequence[BadgeId], *, alone: bool) -> set[BadgeKey]:
    """Hold the badges, and answer those that have a limit as a whole. Raises Crowded where one of them is not held alone."""
    holds = (await badge_store.lock_many(tx, org_id, badge_ids, alone=alone)).values()
    terms = await badge_store.import_terms(tx, [each.badge_key for each in holds])
    capped = {badge_key for badge_key, term in terms.items() if term.is_capped}
    if any(each.badge_key in capped and not each.alone for each in holds):
        raise Crowded
    return capped


async def take_back(tx: Tx, org_id: OrgId, lines: Lines, capped: set[BadgeKey], now: datetime) -> Undone:
    """Revoke what these lines gave, with the badges held, correct what is counted of it, and have it told."""
    found, _ = await _count(tx, lines)
    sent = (lines.request_key, lines.badge_keys, lines.customers, lines.lines, now)
    revoked: dict[BadgeKey, list[tuple[CustomerId, int]]] = {}
    if lines.is_enrolling:
        revoked = await enrolment_store.revoke_lines(tx, *sent)
        less = {badge_key: Counts(issued=-len(places)) for badge_key, places in revoked.items()}
    else:
        by_event = await earning_store.revoke_lines(tx, *sent)
        if tallied := {place: -len(places) for place, places in by_event.items() if place[0] in capped}:
            await limit_store.add(tx, tallied)
        for (badge_key, _), places in sorted(by_event.items()):
            revoked.setdefault(badge_key, []).extend(places)
        less = {badge_key: Counts(earned=-len(places)) for badge_key, places in revoked.items()}
    if less:
        await badge_store.add_counts(tx, less)
    ledger = Ledger.ENROLMENT if lines.is_enrolling else Ledger.EARNED_BADGE
    for badge_key, places in revoked.items():
        named = [(customer, lines.request_key, line) for customer, line in places]
        await request_store.tell_revoked(tx, org_id, ledger, badge_key, named, now)
    count = sum(map(len, revoked.values()))
    return Undone(revoked=count, already_revoked=found - count)


async def _count(tx: Tx, lines: Lines) -> tuple[int, int]:
    """How many of what these lines gave are on record, and how many of those are unrevoked."""
    store = enrolment_store if lines.is_enrolling else earning_store
    return await store.count_lines(tx, lines.request_key, lines.badge_keys, lines.customers, lines.lines)


async def _find_given(tx: Tx, org_id: OrgId, request_id: str) -> Given:
    """Raises RequestNotFound, and NotEnded where it is a job that may still give more."""
    outcome = await request_store.find(tx, org_id, request_id)
    if outcome is None:
        raise RequestNotFound(reference="requestId")
    if not isinstance(outcome, JobRequest):
        return GivenByRequest(org_id, outcome)
    job = await job_store.find(tx, outcome.request_key)
    if job is None:
        raise RequestNotFound(reference="requestId")
    if not job_rules.is_over(job.state):
        raise NotEnded(
            f"The job is {job.state.value}: cancel it, or wait for its end.", reference="requestId"
        )
    _, look = await badge_store.hold(tx, org_id, job.badge_id, alone=False, only_looks=True)
    return GivenByJob(job, look.badge_key)
