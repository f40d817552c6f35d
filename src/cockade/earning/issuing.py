"""Issue badges within a transaction: lock the badge, load the facts, decide, write.

`issue` handles one request. `decide_batch` and `write_batch` handle many small requests in the same number of
statements. Both use the same decision, `earning.rules.decide`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

from cockade import ids, times
from cockade.auth.model import Caller
from cockade.badge import rules as badge_rules
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts, EarnTerms
from cockade.earning import rules, store
from cockade.earning.model import EarnedRows, EligibilityFacts, JobSlice, LedgerColumns, Numbers
from cockade.earning.rules import EligibilityRules
from cockade.enrolment import store as enrolment_store
from cockade.errors import (
    AlreadyHeld,
    BadgeLimitReached,
    CockadeError,
    CustomerLimitReached,
    LimitReached,
    NotEnrolled,
    RequestRejected,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId, RequestKey
from cockade.limit import rules as limit_rules
from cockade.limit import service as limit_service
from cockade.limit import store as limit_store
from cockade.limit.model import FixedValue
from cockade.request.model import CustomerFailure, FailureReason, IssueCommand, RequestKind, RequestOutcome
from cockade.request.service import Attempt, NeedsExclusiveLock
from cockade.storage.database import Tx

FAILURE_ERRORS: dict[FailureReason, type[RequestRejected]] = {
    FailureReason.NOT_ENROLLED: NotEnrolled,
    FailureReason.ALREADY_HELD: AlreadyHeld,
    FailureReason.CUSTOMER_LIMIT: CustomerLimitReached,
    FailureReason.BADGE_LIMIT: BadgeLimitReached,
}
"""The error of a request for one customer, by the reason for which the customer failed."""


class Issuance(Struct, frozen=True, kw_only=True):
    """A request that passed rules 1 to 7."""

    caller: Caller
    command: IssueCommand
    kind: RequestKind
    request_key: RequestKey
    badge_id: BadgeId
    badge_key: BadgeKey
    valid_from: datetime
    valid_until: datetime
    rules: EligibilityRules
    has_windows: bool
    """Whether the badge has windows per customer, so that event dates are indexed."""

    def outcome(
        self, failures: list[CustomerFailure], *, enrolment_id: str | None = None, is_dry_run: bool = False
    ) -> RequestOutcome:
        """Return the outcome, in which all customers without a failure earned."""
        return RequestOutcome(
            request_id=self.command.request_id,
            request_key=self.request_key,
            kind=self.kind,
            badge_key=self.badge_key,
            badge_id=self.badge_id,
            owner_type=self.command.owner_type,
            reference_id=self.command.reference_id,
            event_at=self.valid_from,
            valid_until=self.valid_until,
            completed_at=self.rules.now,
            customer_ids=self.command.customers,
            failures=failures,
            is_dry_run=is_dry_run,
            enrolment_id=enrolment_id,
        )


def prepare(
    caller: Caller,
    command: IssueCommand,
    kind: RequestKind,
    request_key: RequestKey,
    badge: tuple[BadgeId, BadgeKey],
    terms: EarnTerms,
    now: datetime,
) -> Issuance:
    """Apply rules 4 to 7. Raises NotLive, OwnerNotAllowed, NotClaimed, EventInFuture or EventOutsideBadge."""
    zone = ZoneInfo(caller.time_zone)
    valid_from, valid_until = badge_rules.validity(
        terms, command.owner_type, command.event_at, now, zone, badge_rules.earning_validity(terms)
    )
    return Issuance(
        caller=caller,
        command=command,
        kind=kind,
        request_key=request_key,
        badge_id=badge[0],
        badge_key=badge[1],
        valid_from=valid_from,
        valid_until=valid_until,
        rules=rules.eligibility_rules(terms, valid_from, now, zone),
        has_windows=limit_rules.has_windows(terms.customer_constraints),
    )


# One request


async def issue(
    tx: Tx,
    caller: Caller,
    command: IssueCommand,
    kind: RequestKind,
    attempt: Attempt,
    job_slice: JobSlice | None = None,
) -> RequestOutcome:
    """Apply rules 3 to 8 and write what was earned, in a fixed number of statements.

    With `job_slice` the customers are part of a job: lines of the outcome are indexes in the command, lines in the ledger
    count through the job. Raises the errors of `EarningService.earn_bulk`, and of `earn` if that is the kind,
    NeedsExclusiveLock, or DuplicateRow: then the transaction has to run again with the exclusive lock.
    """
    badge_id, lock = await badge_store.lock_for_issuing(
        tx, caller.org_id, command.badge_id, exclusive=attempt.exclusive, read_only=attempt.is_dry_run
    )
    terms = await badge_store.earn_terms(tx, lock.badge_key, command.owner_type, command.reference_id)
    if badge_rules.has_badge_limit(terms.badge_constraints) and not lock.exclusive:
        raise NeedsExclusiveLock
    badge = badge_id, lock.badge_key
    issuance = prepare(caller, command, kind, attempt.request_key, badge, terms, attempt.now)
    facts = await find_facts(
        tx,
        lock.badge_key,
        command.customers,
        issuance.rules,
        issuance.valid_from,
        issuance.valid_until,
    )
    if job_slice is not None and job_slice.pending:
        facts = rules.with_pending(facts, job_slice.pending)
    decision = rules.decide(command.customers, facts, issuance.rules)
    if kind is RequestKind.EARN and decision.failures:
        raise _error_of(decision.failures[0])
    if len(decision.earned) and not attempt.is_dry_run:
        await _write(tx, issuance, decision.earned, job_slice)
    return issuance.outcome(
        decision.failures, enrolment_id=_enrolment_id(issuance, facts), is_dry_run=attempt.is_dry_run
    )


async def find_facts(
    tx: Tx,
    badge_key: BadgeKey,
    customers: list[CustomerId],
    rule: EligibilityRules,
    valid_from: datetime,
    valid_until: datetime,
) -> EligibilityFacts:
    """Load what rule 8 needs to know about these customers."""
    enrolled = (
        await enrolment_store.find_holding(tx, badge_key, customers, valid_from)
        if rule.needs_enrolment
        else None
    )
    lookback = limit_rules.lookback(rule.customer_checks, rule.zone)
    if rule.allows_multiple and not any(
        isinstance(check.limit, FixedValue) for check in rule.customer_checks
    ):
        holders = await store.find_last_ordinals(tx, badge_key, customers, lookback)
    else:
        holders = await store.find_holders(tx, badge_key, customers, valid_from, valid_until, lookback)
    usages = await limit_service.badge_usage(
        tx, badge_key, rule.badge_checks, rule.zone, asked=len(customers), ends_at=rule.ends_at
    )
    return EligibilityFacts(enrolled=enrolled, holders=holders, usages=usages)


def _error_of(failure: CustomerFailure) -> RequestRejected:
    kind = FAILURE_ERRORS[failure.reason]
    if issubclass(kind, LimitReached):
        assert failure.exceeded is not None
        return kind(failure.exceeded)
    return kind()


def _enrolment_id(issuance: Issuance, facts: EligibilityFacts) -> str | None:
    if issuance.kind is not RequestKind.EARN or not facts.enrolled:
        return None
    enrolment = facts.enrolled.get(issuance.command.customers[0])
    return enrolment and ids.earned_badge_id(enrolment.request_key, enrolment.line)


async def _write(tx: Tx, issuance: Issuance, earned: EarnedRows, job_slice: JobSlice | None) -> None:
    valid_from = times.microseconds(issuance.valid_from)
    columns = LedgerColumns(
        customers=earned.customers,
        request_keys=issuance.request_key,
        valid_from=valid_from,
        valid_until=times.microseconds(issuance.valid_until),
        counted_at=valid_from if issuance.has_windows else None,
        badge_keys=issuance.badge_key,
        ordinals=earned.ordinals,
        lines=earned.lines if job_slice is None else job_slice.lines[earned.lines],
    )
    await store.insert(tx, columns)
    if issuance.rules.badge_checks:
        await limit_store.add_counts(tx, {(issuance.badge_key, issuance.valid_from): len(earned)})
    await badge_store.add_count(tx, issuance.badge_key, earned=len(earned))


# Many small requests


class BatchItem(Struct, frozen=True):
    """A small request whose id has been inserted in this transaction."""

    caller: Caller
    command: IssueCommand
    kind: RequestKind
    badge_id: BadgeId
    request_key: RequestKey

    @property
    def badge(self) -> tuple[OrgId, BadgeId]:
        """The badge, unique over all orgs."""
        return self.caller.org_id, self.badge_id


class Decided(Struct, frozen=True):
    """A request of a batch that can be written."""

    issuance: Issuance
    outcome: RequestOutcome
    earned: EarnedRows


async def decide_batch(
    tx: Tx, items: Sequence[BatchItem], now: datetime
) -> dict[RequestKey, Decided | CockadeError]:
    """Apply rules 3 to 8 to many small requests, in a fixed number of statements.

    A request that is rejected has its error. A request is missing if it has to run alone: the badge has limits or needs
    enrolments, or another transaction holds its exclusive lock.
    """
    decided: dict[RequestKey, Decided | CockadeError] = {}
    issuances: list[Issuance] = []
    for item, badge_key, terms in await _lock_badges(tx, items):
        badge = item.badge_id, badge_key
        try:
            issuance = prepare(item.caller, item.command, item.kind, item.request_key, badge, terms, now)
        except CockadeError as error:
            decided[item.request_key] = error
            continue
        if not issuance.rules.needs_more_than_holders:
            issuances.append(issuance)
    holders = await store.find_holders_of_many(
        tx,
        [
            (issuance.badge_key, issuance.command.customers, issuance.valid_from, issuance.valid_until)
            for issuance in issuances
        ],
    )
    for issuance, its_holders in zip(issuances, holders, strict=True):
        facts = EligibilityFacts(holders=its_holders)
        decision = rules.decide(issuance.command.customers, facts, issuance.rules)
        decided[issuance.request_key] = (
            _error_of(decision.failures[0])
            if issuance.kind is RequestKind.EARN and decision.failures
            else Decided(issuance, issuance.outcome(decision.failures), decision.earned)
        )
    return decided


async def _lock_badges(tx: Tx, items: Sequence[BatchItem]) -> list[tuple[BatchItem, BadgeKey, EarnTerms]]:
    """Return the items whose badges could be locked without waiting, with the terms of each."""
    badge_keys = await badge_store.try_lock_without_badge_limit(tx, {item.badge for item in items})
    locked = [(item, badge_keys[item.badge]) for item in items if item.badge in badge_keys]
    terms = await badge_store.earn_terms_of_many(
        tx, [(key, item.command.owner_type, item.command.reference_id) for item, key in locked]
    )
    return [(item, key, its_terms) for (item, key), its_terms in zip(locked, terms, strict=True)]


async def write_batch(tx: Tx, batch: Sequence[Decided]) -> None:
    """Write what these requests earned, in one COPY."""
    lengths = [len(decided.earned) for decided in batch]
    if not any(lengths):
        return

    def spread(values: list[int]) -> Numbers:
        return np.repeat(np.array(values, dtype=np.int64), lengths)

    badge_keys = spread([decided.issuance.badge_key for decided in batch])
    customers = np.concatenate([decided.earned.customers for decided in batch])
    ordinals = np.concatenate([decided.earned.ordinals for decided in batch])
    order = np.lexsort((ordinals, customers, badge_keys))
    columns = LedgerColumns(
        customers=customers[order],
        request_keys=spread([decided.issuance.request_key for decided in batch])[order],
        valid_from=spread([times.microseconds(decided.issuance.valid_from) for decided in batch])[order],
        valid_until=spread([times.microseconds(decided.issuance.valid_until) for decided in batch])[order],
        counted_at=None,
        badge_keys=badge_keys[order],
        ordinals=ordinals[order],
        lines=np.concatenate([decided.earned.lines for decided in batch])[order],
    )
    await store.insert(tx, columns)
    counts = Counter[BadgeKey]()
    for decided, length in zip(batch, lengths, strict=True):
        counts[decided.issuance.badge_key] += length
    await badge_store.add_counts(
        tx, {key: BadgeCounts(earned=count) for key, count in counts.items() if count}
    )
