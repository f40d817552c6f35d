"""Enrol customers, exactly once, and revoke enrolments."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from cockade import ids
from cockade.audit.model import Action
from cockade.audit.rules import named
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.badge import rules as badge_rules
from cockade.badge import store as badge_store
from cockade.badge.model import EarnType
from cockade.clock import Clock
from cockade.enrolment import rules, store
from cockade.enrolment.model import RevokedIssue, RevokeIssue
from cockade.errors import EnrolmentNotSupported
from cockade.ids import BadgeId, CustomerId
from cockade.outbox.model import Ledger
from cockade.outbox.store import enqueue_revocations
from cockade.request.model import IssueCommand, RequestKind, RequestOutcome
from cockade.request.service import Attempt, RequestService, record_metrics
from cockade.storage.database import Database, Tx


class EnrolmentService:
    """Use cases of `enrolment`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._requests = RequestService(database, clock)

    async def issue_bulk(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Enrol all customers who have no active enrolment. The outcome is durable when this returns.

        Raises RequestIdUsed, BadgeNotFound, EnrolmentNotSupported, NotLive, OwnerNotAllowed, NotClaimed,
        EventInFuture, EventOutsideBadge (nothing was changed and the request id is still free), Unavailable
        or OutcomeUnknown.
        """

        async def work(tx: Tx, attempt: Attempt) -> RequestOutcome:
            return await _enrol(tx, caller, command, attempt)

        return record_metrics(
            await self._requests.execute(
                "enrolment.issue_bulk", caller, command.request_id, RequestKind.ISSUE_BULK, work
            )
        )

    async def dry_run_issue_bulk(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Return what issue_bulk would do now. Changes nothing; the request id stays free. Raises what
        issue_bulk raises.
        """

        async def work(tx: Tx, attempt: Attempt) -> RequestOutcome:
            return await _enrol(tx, caller, command, attempt)

        return await self._requests.dry_run("enrolment.dry_run", caller, command.request_id, work)

    async def revoke(self, caller: Caller, command: RevokeIssue) -> tuple[BadgeId, list[RevokedIssue]]:
        """Revoke active enrolments; badges earned through them stay. Raises BadgeNotFound.

        Returns the results in the order sent, one per enrolment.
        """

        async def body(tx: Tx) -> tuple[BadgeId, list[RevokedIssue]]:
            badge_id, hold = await badge_store.lock_for_issuing(
                tx, caller.org_id, command.badge_id, exclusive=False
            )
            now = self._clock()
            # Single enrolments first: one that is named in both ways has an entry in both.
            some = [place for customer, issue_id in command.issuals if (place := _place(customer, issue_id))]
            ended = (
                set(await store.revoke_some(tx, hold.badge_key, some, now)) if some else set[store.Place]()
            )
            all_ended = await store.revoke_all(tx, hold.badge_key, command.customers, now)
            if ended or all_ended:
                await badge_store.add_count(tx, hold.badge_key, issued=-len(ended) - len(all_ended))
                revoked = [*ended, *all_ended]
                await enqueue_revocations(tx, caller.org_id, Ledger.ENROLMENT, hold.badge_key, revoked, now)
                details = {"revokedCount": len(ended) + len(all_ended)}
                details |= named(place[0] for place in (*ended, *all_ended))
                await record(tx, caller, now, Action.ENROLMENT_REVOKE, badge_id, details, badge_id=badge_id)
            return badge_id, _told_of_all(command, all_ended) + _told_of_some(command, ended)

        return await self._database.transaction("enrolment.revoke", body)


async def _enrol(tx: Tx, caller: Caller, command: IssueCommand, attempt: Attempt) -> RequestOutcome:
    """Decide and write all enrolments, in a fixed number of statements."""
    badge_id, hold = await badge_store.lock_for_issuing(
        tx, caller.org_id, command.badge_id, exclusive=attempt.exclusive, read_only=attempt.is_dry_run
    )
    terms = await badge_store.earn_terms(tx, hold.badge_key, command.owner_type, command.reference_id)
    if terms.earn_type is not EarnType.ISSUE_EARN or terms.issued_expiry is None:
        raise EnrolmentNotSupported(reference="badgeMetaId")
    valid_from, valid_until = badge_rules.validity(
        terms,
        command.owner_type,
        command.event_at,
        attempt.now,
        ZoneInfo(caller.time_zone),
        badge_rules.Validity(terms.issued_expiry, needs_window=True),
    )
    enrollees = await store.find_enrollees(tx, hold.badge_key, command.customers, valid_from, valid_until)
    entries, refusals = rules.decide(command.customers, enrollees)
    if entries and not attempt.is_dry_run:
        await store.insert(tx, hold.badge_key, attempt.request_key, valid_from, valid_until, entries)
        await badge_store.add_count(tx, hold.badge_key, issued=len(entries))
    return RequestOutcome(
        request_id=command.request_id,
        request_key=attempt.request_key,
        kind=RequestKind.ISSUE_BULK,
        badge_key=hold.badge_key,
        badge_id=badge_id,
        owner_type=command.owner_type,
        reference_id=command.reference_id,
        event_at=valid_from,
        valid_until=valid_until,
        completed_at=attempt.now,
        customer_ids=command.customers,
        failures=refusals,
        is_dry_run=attempt.is_dry_run,
    )


def _place(customer: CustomerId, issue_id: str) -> store.Place | None:
    place = ids.earned_badge_place(issue_id)
    return None if place is None or place[1] > ids.LINE_MAX else (customer, *place)


def _told_of_all(command: RevokeIssue, ended: list[store.Place]) -> list[RevokedIssue]:
    """Return the revoked enrolments of each customer, or one entry without an id if there are none."""
    by_customer: dict[CustomerId, list[str]] = {}
    for customer, request_key, line in sorted(ended):
        by_customer.setdefault(customer, []).append(ids.earned_badge_id(request_key, line))
    return [
        RevokedIssue(customer, issue_id, issue_id is not None)
        for customer in command.customers
        for issue_id in by_customer.get(customer, [None])
    ]


def _told_of_some(command: RevokeIssue, ended: set[store.Place]) -> list[RevokedIssue]:
    return [
        RevokedIssue(customer, issue_id, _place(customer, issue_id) in ended)
        for customer, issue_id in command.issuals
    ]
