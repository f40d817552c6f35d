"""Undoing a request: everything that it gave is revoked, lot by lot, each in a transaction of its own.

It may be broken off between any two lots and sent again: what is revoked is left alone, and the rest follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from cockade.access.model import Caller
from cockade.audit.model import Action
from cockade.audit.store import record
from cockade.badge import store as badge_store
from cockade.badge.model import Counts
from cockade.clock import Clock
from cockade.earning import store as earning_store
from cockade.enrolment import store as enrolment_store
from cockade.errors import OutcomeUnknown, RequestNotFound, Unavailable, Unfinished
from cockade.ids import BadgeId, BadgeKey, OrgId
from cockade.limit import store as limit_store
from cockade.request import store as request_store
from cockade.request.model import ImportOutcome, Outcome, RequestKind
from cockade.request.service import Crowded
from cockade.storage.database import Database, Tx
from cockade.undoing.model import Lines, Undone

LINES_MAX = 10_000
"""So many lines of a request are taken back in one transaction."""


class UndoingService:
    """Use cases of `undoing`, in the caller's org."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def undo(self, caller: Caller, request_id: str) -> Undone:
        """Revoke all that the request gave, what has expired too; again is the same and finds it revoked already.

        Raises RequestNotFound, Unavailable (nothing was changed) or Unfinished (some of it is revoked).
        """
        outcome = await self._find(caller, request_id)
        undone = Undone()
        for first in range(0, _size(outcome), LINES_MAX):
            try:
                undone += await self._undo_lot(caller, outcome, range(first, first + LINES_MAX))
            except Unavailable as error:
                if first or isinstance(error, OutcomeUnknown):
                    raise Unfinished from error
                raise
        return undone

    async def dry_run(self, caller: Caller, request_id: str) -> Undone:
        """What undo would come to now; nothing is changed. Raises RequestNotFound."""

        async def body(tx: Tx) -> Undone:
            outcome = await _found(tx, caller, request_id)
            found, unrevoked = await _count(
                tx, await _lines(tx, caller.org_id, outcome, range(_size(outcome)))
            )
            return Undone(revoked=unrevoked, already_revoked=found - unrevoked)

        return await self._database.transaction("request.revoke_dry_run", body, only_reads=True)

    async def _find(self, caller: Caller, request_id: str) -> Outcome:
        return await self._database.transaction(
            "request.find", lambda tx: _found(tx, caller, request_id), only_reads=True
        )

    async def _undo_lot(self, caller: Caller, outcome: Outcome, lot: range) -> Undone:
        async def body(tx: Tx, alone: bool) -> Undone:
            capped = await hold(tx, caller.org_id, _badges(outcome, lot), alone=alone)
            # Whose these lines are is read with the badges held: merging and erasing hold them alone.
            lines = await _lines(tx, caller.org_id, outcome, lot)
            now = self._clock()
            undone = await take_back(tx, lines, capped, now)
            if undone.revoked:
                details = {"kind": _kind(outcome), "revokedCount": undone.revoked}
                badge_id = None if isinstance(outcome, ImportOutcome) else outcome.badge_id
                subject = outcome.request_id
                await record(tx, caller, now, Action.REQUEST_REVOKE, subject, details, badge_id=badge_id)
            return undone

        try:
            return await self._database.transaction("request.revoke", partial(body, alone=False))
        except Crowded:
            return await self._database.transaction("request.revoke", partial(body, alone=True))


async def hold(tx: Tx, org_id: OrgId, badge_ids: Sequence[BadgeId], *, alone: bool) -> set[BadgeKey]:
    """Hold the badges, and answer those that have a limit as a whole. Raises Crowded where one of them is not held alone."""
    holds = (await badge_store.lock_many(tx, org_id, badge_ids, alone=alone)).values()
    terms = await badge_store.import_terms(tx, [each.badge_key for each in holds])
    capped = {badge_key for badge_key, term in terms.items() if term.is_capped}
    if any(each.badge_key in capped and not each.alone for each in holds):
        raise Crowded
    return capped


async def take_back(tx: Tx, lines: Lines, capped: set[BadgeKey], now: datetime) -> Undone:
    """Revoke what these lines gave, with the badges held, and correct what is counted of it."""
    found, _ = await _count(tx, lines)
    sent = (lines.request_key, lines.badge_keys, lines.customers, lines.lines, now)
    if lines.is_enrolling:
        issued = await enrolment_store.revoke_lines(tx, *sent)
        less = {badge_key: Counts(issued=-count) for badge_key, count in issued.items()}
        revoked = sum(issued.values())
    else:
        earned = await earning_store.revoke_lines(tx, *sent)
        if tallied := {place: -count for place, count in earned.items() if place[0] in capped}:
            await limit_store.add(tx, tallied)
        less: dict[BadgeKey, Counts] = {}
        for (badge_key, _), count in sorted(earned.items()):
            less[badge_key] = Counts(earned=less.get(badge_key, Counts()).earned - count)
        revoked = sum(earned.values())
    if less:
        await badge_store.add_counts(tx, less)
    return Undone(revoked=revoked, already_revoked=found - revoked)


async def _count(tx: Tx, lines: Lines) -> tuple[int, int]:
    """How many of what these lines gave are on record, and how many of those are unrevoked."""
    store = enrolment_store if lines.is_enrolling else earning_store
    return await store.count_lines(tx, lines.request_key, lines.badge_keys, lines.customers, lines.lines)


async def _found(tx: Tx, caller: Caller, request_id: str) -> Outcome:
    outcome = await request_store.find(tx, caller.org_id, request_id)
    if outcome is None:
        raise RequestNotFound(reference="requestId")
    return outcome


async def _lines(tx: Tx, org_id: OrgId, outcome: Outcome, lot: range) -> Lines:
    customers = await request_store.list_customers(tx, org_id, outcome.request_id, lot)
    return Lines(
        request_key=outcome.request_key,
        is_enrolling=_kind(outcome) is RequestKind.ISSUE_BULK,
        badge_keys=outcome.badge_keys[lot.start : lot.stop]
        if isinstance(outcome, ImportOutcome)
        else [outcome.badge_key] * len(customers),
        customers=customers,
        lines=lot[: len(customers)],
    )


def _kind(outcome: Outcome) -> RequestKind:
    return RequestKind.IMPORT if isinstance(outcome, ImportOutcome) else outcome.kind


def _size(outcome: Outcome) -> int:
    return len(outcome.customers if isinstance(outcome, ImportOutcome) else outcome.audience)


def _badges(outcome: Outcome, lot: range) -> list[BadgeId]:
    if isinstance(outcome, ImportOutcome):
        return list(set(outcome.badge_ids[lot.start : lot.stop]))
    return [outcome.badge_id]
