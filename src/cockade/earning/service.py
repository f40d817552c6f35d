"""Issuing badges to customers, exactly once, and taking them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cockade import ids, metrics, times
from cockade.audit.model import Action
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.badge import rules as badge_rules
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts, BadgeDraft
from cockade.clock import Clock
from cockade.earning import rules, store
from cockade.earning.batching import Asked, Gathering
from cockade.earning.model import EligibilityFacts, ImportRow, JobSlice, LedgerColumns, LedgerRow
from cockade.earning.rules import EligibilityRules
from cockade.enrolment import store as enrolment_store
from cockade.errors import (
    AlreadyHeld,
    BadgeLimitReached,
    CustomerLimitReached,
    FieldError,
    LimitReached,
    NotEarned,
    NotEnrolled,
    RequestRejected,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit import service as limit_service
from cockade.limit import store as limit_store
from cockade.limit.model import FixedValue
from cockade.outbox.model import Ledger
from cockade.outbox.store import enqueue_revocations
from cockade.request.model import FailureReason, ImportOutcome, IssueCommand, RequestKind, RequestOutcome
from cockade.request.service import (
    Attempt,
    NeedsExclusiveLock,
    RequestService,
    record_metrics,
    run_shared_then_exclusive,
)
from cockade.storage.database import Database, Tx

FAILURE_ERRORS: dict[FailureReason, type[RequestRejected]] = {
    FailureReason.NOT_ENROLLED: NotEnrolled,
    FailureReason.ALREADY_HELD: AlreadyHeld,
    FailureReason.CUSTOMER_LIMIT: CustomerLimitReached,
    FailureReason.BADGE_LIMIT: BadgeLimitReached,
}
"""What a refusal is where one customer is the whole request."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ROW = (
    BadgeKey(0),
    ImportRow(badge_id=None, customer=CustomerId(0), event_at=_EPOCH, valid_until=_EPOCH),
)
"""What stands in an import's outcome where a row was refused."""


class EarningService:
    """Use cases of `earning`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._requests = RequestService(database, clock)
        self._gathering = Gathering(database, clock)

    async def earn_bulk(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Issue the badge to everybody whom the rules allow it; all of it is durable when this returns.

        Raises RequestIdUsed, BadgeNotFound, NotLive, OwnerNotAllowed, NotClaimed, EventInFuture, EventOutsideBadge
        (nothing was changed and the request id is still free), Unavailable or OutcomeUnknown.
        """

        if command.is_replay:
            return await self._requests.get_replayed(caller, command.request_id)
        return record_metrics(await self._earn(caller, command, RequestKind.EARN_BULK))

    async def dry_run_earn_bulk(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """What earn_bulk would do now; nothing is changed, and the request id stays free. Raises what it raises."""

        async def work(tx: Tx, turn: Attempt) -> RequestOutcome:
            return await _issue(tx, caller, command, turn, RequestKind.EARN_BULK)

        return await self._requests.dry_run("earning.dry_run", caller, command.request_id, work)

    async def earn(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Issue the badge to the one customer of the command.

        As earn_bulk, but her refusal is the whole request's: raises NotEnrolled, AlreadyHeld, CustomerLimitReached or
        BadgeLimitReached, and the id stays free.
        """
        if command.is_replay:
            return await self._requests.get_replayed(caller, command.request_id)
        try:
            return record_metrics(await self._earn(caller, command, RequestKind.EARN))
        except tuple(FAILURE_ERRORS.values()) as error:
            metrics.count_issuances(RequestKind.EARN, 0, {error.code: 1})
            raise

    async def _earn(self, caller: Caller, command: IssueCommand, kind: RequestKind) -> RequestOutcome:
        """Together with other small requests, where they are many, and otherwise alone."""
        asked = Asked(caller, command, kind)
        if not self._database.in_nested and (outcome := await self._gathering.try_issue(asked)):
            return outcome

        async def work(tx: Tx, turn: Attempt) -> RequestOutcome:
            outcome = await _issue(tx, caller, command, turn, kind)
            if kind is RequestKind.EARN:
                _raise_refusal(outcome)
            return outcome

        return await self._requests.execute(
            f"earning.{kind.value.lower()}", caller, command.request_id, kind, work, asked.keys
        )

    async def import_history(
        self,
        caller: Caller,
        batch: str,
        rows: Sequence[ImportRow | list[FieldError]],
        *,
        is_replay: bool = False,
    ) -> ImportOutcome:
        """Take over what customers earned elsewhere; a row that is a list of faults, or cannot be, hides no other.

        Owners, claims, enrolments, limits, overlaps, windows and activation are not asked: it is history, and counts from
        now on. `is_replay`: see `BulkCommand`. Raises RequestIdUsed, Unavailable (nothing was changed) or OutcomeUnknown.
        """

        if is_replay:
            outcome = await self._requests.get(caller, batch)
            assert isinstance(outcome, ImportOutcome)
            return outcome

        async def work(tx: Tx, turn: Attempt) -> ImportOutcome:
            return await _import(tx, caller, batch, rows, turn)

        return record_metrics(
            await self._requests.execute("earning.import", caller, batch, RequestKind.IMPORT, work)
        )

    async def revoke(
        self, caller: Caller, badge_id: BadgeId | None, customer: CustomerId, earned_badge_id: str
    ) -> None:
        """Take one earned badge back, if it is valid now or will be. Raises BadgeNotFound and NotEarned."""
        place = ids.earned_badge_place(earned_badge_id)

        async def body(tx: Tx, exclusive: bool) -> None:
            found_id, hold = await badge_store.lock_for_issuing(
                tx, caller.org_id, badge_id, exclusive=exclusive
            )
            has_badge_limit = await badge_store.has_badge_limit(tx, hold.badge_key)
            if has_badge_limit and not hold.exclusive:
                raise NeedsExclusiveLock
            event_at, now = None, self._clock()
            if place is not None and place[1] <= ids.LINE_MAX:
                event_at = await store.revoke(tx, hold.badge_key, customer, place, now)
            if place is None or event_at is None:
                raise NotEarned(reference="earnedBadgeId")
            if has_badge_limit:
                await limit_store.add_counts(tx, {(hold.badge_key, event_at): -1})
            await badge_store.add_count(tx, hold.badge_key, earned=-1)
            revoked = [(customer, *place)]
            await enqueue_revocations(tx, caller.org_id, Ledger.EARNED_BADGE, hold.badge_key, revoked, now)
            subject = ids.earned_badge_id(*place)
            details = {"customerId": customer}
            await record(tx, caller, now, Action.EARNING_REVOKE, subject, details, badge_id=found_id)

        await run_shared_then_exclusive(self._database, "earning.revoke", body)


def _raise_refusal(outcome: RequestOutcome) -> None:
    for refusal in outcome.failures:
        kind = FAILURE_ERRORS[refusal.reason]
        if issubclass(kind, LimitReached):
            assert refusal.exceeded is not None
            raise kind(refusal.exceeded)
        raise kind


async def issue_chunk(
    tx: Tx, caller: Caller, command: IssueCommand, turn: Attempt, part: JobSlice
) -> RequestOutcome:
    """Issue to some of the customers of a job, whose key the turn has; lines of the outcome are places in the command.

    Raises what `earn_bulk` refuses with, Crowded, or DuplicateRow: the transaction is lost, and to be run again alone.
    """
    return await _issue(tx, caller, command, turn, RequestKind.JOB, part)


async def _issue(
    tx: Tx,
    caller: Caller,
    command: IssueCommand,
    turn: Attempt,
    kind: RequestKind,
    part: JobSlice | None = None,
) -> RequestOutcome:
    """Rules 3 to 8, in a fixed number of statements."""
    badge_id, hold = await badge_store.lock_for_issuing(
        tx, caller.org_id, command.badge_id, exclusive=turn.exclusive, read_only=turn.is_dry_run
    )
    terms = await badge_store.earn_terms(tx, hold.badge_key, command.owner_type, command.reference_id)
    if badge_rules.has_badge_limit(terms.badge_constraints) and not hold.exclusive:
        raise NeedsExclusiveLock
    zone = ZoneInfo(caller.time_zone)
    valid_from, valid_until = rules.validity(terms, command.owner_type, command.event_at, turn.now, zone)
    rule = rules.eligibility_rules(terms, valid_from, turn.now, zone)
    found = await find_facts(tx, hold.badge_key, command.customers, rule, valid_from, valid_until)
    if part is not None and part.pending:
        found = rules.with_pending(found, part.pending)
    decision = rules.decide(command.customers, found, rule)
    if (earned := len(decision.earned)) and not turn.is_dry_run:
        has_windows = limit_rules.has_windows(terms.customer_constraints)
        rows = LedgerColumns(
            customers=decision.earned.customers,
            request_keys=turn.request_key,
            valid_from=times.microseconds(valid_from),
            valid_until=times.microseconds(valid_until),
            counted_at=times.microseconds(valid_from) if has_windows else None,
            badge_keys=hold.badge_key,
            ordinals=decision.earned.ordinals,
            lines=decision.earned.lines if part is None else part.lines[decision.earned.lines],
        )
        await store.insert(tx, rows)
        at = (hold.badge_key, valid_from)
        await _count(tx, {hold.badge_key: earned}, {at: earned} if rule.badge_checks else {})
    is_one = kind is RequestKind.EARN
    through = found.enrolled.get(command.customers[0]) if found.enrolled and is_one else None
    return RequestOutcome(
        request_id=command.request_id,
        request_key=turn.request_key,
        kind=kind,
        badge_key=hold.badge_key,
        badge_id=badge_id,
        owner_type=command.owner_type,
        reference_id=command.reference_id,
        event_at=valid_from,
        valid_until=valid_until,
        completed_at=turn.now,
        customer_ids=command.customers,
        failures=decision.failures,
        is_dry_run=turn.is_dry_run,
        enrolment_id=through and ids.earned_badge_id(through.request_key, through.line),
    )


async def find_facts(
    tx: Tx,
    badge_key: BadgeKey,
    customers: list[CustomerId],
    rule: EligibilityRules,
    valid_from: datetime,
    valid_until: datetime,
) -> EligibilityFacts:
    """What rule 8 has to know."""
    enrolled = (
        await enrolment_store.find_holding(tx, badge_key, customers, valid_from)
        if rule.needs_enrolment
        else None
    )
    reach = limit_rules.lookback(rule.customer_checks, rule.zone)
    if rule.allows_multiple and not any(
        isinstance(check.limit, FixedValue) for check in rule.customer_checks
    ):
        holders = await store.find_last_ordinals(tx, badge_key, customers, reach)
    else:
        holders = await store.find_holders(tx, badge_key, customers, valid_from, valid_until, reach)
    usages = await limit_service.badge_usage(
        tx, badge_key, rule.badge_checks, rule.zone, asked=len(customers), ends_at=rule.ends_at
    )
    return EligibilityFacts(enrolled=enrolled, holders=holders, usages=usages)


async def _count(
    tx: Tx, earned: Mapping[BadgeKey, int], capped: Mapping[tuple[BadgeKey, datetime], int]
) -> None:
    """What is counted of the ledger; `capped` is by instant, of badges with a limit as a whole."""
    if capped:
        await limit_store.add_counts(tx, capped)
    await badge_store.add_counts(tx, {key: BadgeCounts(earned=count) for key, count in earned.items()})


async def _import(
    tx: Tx, caller: Caller, batch: str, rows: Sequence[ImportRow | list[FieldError]], turn: Attempt
) -> ImportOutcome:
    """The whole batch, in a fixed number of statements."""
    wanted = {row.badge_id for row in rows if isinstance(row, ImportRow) and row.badge_id}
    holds = await badge_store.lock_many(tx, caller.org_id, wanted, exclusive=turn.exclusive)
    terms = await badge_store.import_terms(tx, [hold.badge_key for hold in holds.values()])
    if any(terms[hold.badge_key].has_badge_limit and not hold.exclusive for hold in holds.values()):
        raise NeedsExclusiveLock
    taken, refusals = rules.validate_import(rows, holds, turn.now)
    windowed = {key for key, term in terms.items() if limit_rules.has_windows(term.customer_constraints)}
    ordinals = Counter(
        await store.find_last_ordinals_of_many(tx, {(key, row.customer) for _, key, row in taken})
    )
    ledger_rows: list[LedgerRow] = []
    for line, badge_key, row in taken:
        ordinals[badge_key, row.customer] += 1
        ledger_rows.append(
            LedgerRow(
                customer_id=row.customer,
                request_key=turn.request_key,
                valid_from=row.event_at,
                valid_until=row.valid_until,
                counted_at=row.event_at if badge_key in windowed else None,
                badge_key=badge_key,
                ordinal=ordinals[badge_key, row.customer],
                line=line,
            )
        )
    ledger_rows.sort(key=lambda row: (row.badge_key, row.customer_id, row.ordinal))
    if ledger_rows:
        await store.insert_rows(tx, ledger_rows)
        await _count(
            tx,
            Counter(row.badge_key for row in ledger_rows),
            Counter(
                (row.badge_key, row.valid_from) for row in ledger_rows if terms[row.badge_key].has_badge_limit
            ),
        )
    by_line = {line: (badge_key, row) for line, badge_key, row in taken}
    ids_of = {hold.badge_key: badge_id for badge_id, hold in holds.items()}
    lines = [by_line.get(line, _NO_ROW) for line in range(len(rows))]
    return ImportOutcome(
        request_id=batch,
        request_key=turn.request_key,
        completed_at=turn.now,
        badge_keys=[badge_key for badge_key, _ in lines],
        badge_ids=[ids_of.get(badge_key, BadgeId("")) for badge_key, _ in lines],
        customer_ids=[row.customer for _, row in lines],
        valid_untils=[row.valid_until for _, row in lines],
        failures=refusals,
    )


async def rebuild_counters(tx: Tx, badge_key: BadgeKey, old: BadgeDraft, new: BadgeDraft) -> None:
    """Count what was earned before a badge got its first limit as a whole, or its first window per customer.

    In the transaction that changes the badge, with the badge held exclusively.
    """
    was_capped, has_badge_limit = map(
        badge_rules.has_badge_limit, (old.badge_constraints, new.badge_constraints)
    )
    if has_badge_limit and not was_capped:
        await limit_store.rebuild(tx, badge_key)
    elif was_capped and not has_badge_limit:
        await limit_store.clear(tx, badge_key)
    if limit_rules.has_windows(new.customer_constraints):
        await store.mark_counted(tx, badge_key)
