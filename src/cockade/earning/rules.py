"""Pure decisions about earning (docs/reference/api/earning.md, "The eight rules")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from msgspec import Struct

from cockade import ids, times
from cockade.badge import rules as badge_rules
from cockade.badge.model import BadgeLock, Constraint, EarnTerms, EarnType
from cockade.earning.model import (
    ConflictingBadges,
    Decision,
    EarnedRows,
    EligibilityFacts,
    Holders,
    ImportRow,
    Numbers,
)
from cockade.errors import (
    MALFORMED,
    AlreadyHeld,
    EventInFuture,
    ExceededLimit,
    FieldError,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit.model import LimitCheck, LimitUsage
from cockade.request.model import CustomerFailure, EarnedStatus, FailureReason, RowFailure


def earned_status(valid_from: datetime, valid_until: datetime, now: datetime) -> EarnedStatus:
    """The status at `now` of a validity `[valid_from, valid_until)`."""
    if now < valid_from:
        return EarnedStatus.UPCOMING
    return EarnedStatus.LIVE if now < valid_until else EarnedStatus.EXPIRED


class EligibilityRules(Struct, frozen=True, kw_only=True):
    """The checks of rule 8 for each customer of a request."""

    needs_enrolment: bool
    allows_multiple: bool
    """Whether a customer may have several valid earned badges of this badge."""
    customer_checks: Sequence[LimitCheck]
    """Limits per customer."""
    badge_checks: Sequence[LimitCheck]
    """Limits of the badge as a whole."""
    ends_at: datetime | None
    """The instant from which the badge can no longer be earned. None if enrolments define it."""
    zone: ZoneInfo
    now: datetime

    @property
    def needs_more_than_holders(self) -> bool:
        """Whether the decision needs enrolments or counts, and not only who holds the badge."""
        return self.needs_enrolment or bool(self.customer_checks) or bool(self.badge_checks)


def eligibility_rules(
    terms: EarnTerms, event_at: datetime, now: datetime, zone: ZoneInfo
) -> EligibilityRules:
    """Return the checks of rule 8 for an event at this instant."""

    def checks(field: str, constraints: list[Constraint]) -> list[LimitCheck]:
        limits = limit_rules.limits_of(field, constraints, terms.starts_at, zone)
        return limit_rules.checks_of(limits, event_at, zone)

    is_direct = terms.earn_type is EarnType.EARN
    return EligibilityRules(
        needs_enrolment=not is_direct,
        allows_multiple=terms.holds_several,
        customer_checks=checks("customerConstraints", terms.customer_constraints),
        badge_checks=checks("badgeConstraints", terms.badge_constraints),
        ends_at=terms.expires_at if is_direct else None,
        zone=zone,
        now=now,
    )


def decide(audience: Sequence[CustomerId], facts: EligibilityFacts, rule: EligibilityRules) -> Decision:
    """Apply rule 8 to each customer, in the order sent.

    Customers who never had the badge can fail only for a missing enrolment or a limit of the badge as a
    whole. So only holders are checked one by one.
    """
    customers = np.array(audience, dtype=np.int64)
    ascending = np.argsort(customers)
    if facts.enrolled is None and not facts.usages and not len(facts.holders.customers):
        return Decision(EarnedRows(customers[ascending], np.ones_like(customers), ascending), [])
    line_index = _LineIndex(customers, ascending)
    failures = _find_not_enrolled(audience, facts)
    if not rule.allows_multiple:
        failures = _find_conflicts(line_index, facts.holders.conflicting, rule.now) | failures
    if rule.customer_checks:
        failures |= _apply_customer_limits(line_index, facts.holders, rule, failures)
    is_open = np.ones(len(customers), dtype=np.bool_)
    is_open[list(failures)] = False
    failures |= _apply_badge_limits(np.flatnonzero(is_open), facts.usages)
    is_open[list(failures)] = False
    ordinals = np.ones(len(customers), dtype=np.int64)
    ordinals[line_index.of(facts.holders.customers)] = facts.holders.last_ordinals + 1
    earning = ascending[is_open[ascending]]
    return Decision(
        EarnedRows(customers[earning], ordinals[earning], earning),
        [failures[line] for line in sorted(failures)],
    )


def with_pending(facts: EligibilityFacts, count: int) -> EligibilityFacts:
    """Return the facts as if `count` more customers had earned at the same event."""
    usages = [msgspec.structs.replace(usage, used=usage.used + count) for usage in facts.usages]
    return msgspec.structs.replace(facts, usages=usages)


class _LineIndex(Struct, frozen=True):
    """Finds the lines of customers in a request."""

    customers: Numbers
    ascending: Numbers
    """The lines in ascending order of customer id."""

    def of(self, customers: Numbers) -> Numbers:
        """Return the lines of these customers, who must all be in the request."""
        return self.ascending[np.searchsorted(self.customers, customers, sorter=self.ascending)]


def _find_not_enrolled(audience: Sequence[CustomerId], facts: EligibilityFacts) -> dict[int, CustomerFailure]:
    if facts.enrolled is None:
        return {}
    return {
        line: CustomerFailure(line, FailureReason.NOT_ENROLLED)
        for line, customer in enumerate(audience)
        if customer not in facts.enrolled
    }


def _find_conflicts(
    line_index: _LineIndex, conflicting: ConflictingBadges, now: datetime
) -> dict[int, CustomerFailure]:
    lines: list[int] = line_index.of(conflicting.customers).tolist()
    conflicting_ids = ids.earned_badge_ids_at(conflicting.request_keys, conflicting.lines)
    return {
        line: CustomerFailure(line, FailureReason.ALREADY_HELD, conflicting_id, status)
        for line, conflicting_id, status in zip(
            lines, conflicting_ids, _statuses(conflicting, now), strict=True
        )
    }


def _statuses(conflicting: ConflictingBadges, now: datetime) -> list[EarnedStatus]:
    """As `earned_status`, for many: the status follows from how many of the two bounds have passed."""
    at = times.microseconds(now)
    ends_come: Numbers = (conflicting.valid_from <= at).astype(np.int64) + (conflicting.valid_until <= at)
    words = (EarnedStatus.UPCOMING, EarnedStatus.LIVE, EarnedStatus.EXPIRED)
    return [words[count] for count in ends_come.tolist()]


def _apply_customer_limits(
    line_index: _LineIndex, holders: Holders, rule: EligibilityRules, failed: Mapping[int, CustomerFailure]
) -> dict[int, CustomerFailure]:
    """Return the failures by a limit per customer, for holders who have not failed yet. Others cannot exceed
    one.
    """
    failures: dict[int, CustomerFailure] = {}
    lines, totals = line_index.of(holders.customers).tolist(), holders.totals.tolist()
    for line, customer, total in zip(lines, holders.customers.tolist(), totals, strict=True):
        if line in failed:
            continue
        counted = holders.counted.get(customer, ())
        exceeded = limit_rules.first_exceeded(rule.customer_checks, total, counted, rule.zone, rule.ends_at)
        if exceeded is not None:
            failures[line] = CustomerFailure(line, FailureReason.CUSTOMER_LIMIT, exceeded=exceeded)
    return failures


def _apply_badge_limits(lines: Numbers, usages: Sequence[LimitUsage]) -> dict[int, CustomerFailure]:
    """Give what is left of the badge's limits to the first customers; the others fail."""
    if not usages:
        return {}
    left = max(0, min(usage.limit.limit - usage.used for usage in usages))
    full = next(usage for usage in usages if usage.used + left >= usage.limit.limit)
    limit = full.limit
    exceeded = ExceededLimit(limit.reference, limit.limit, full.used + left, full.available_from)
    failed = lines[left:].tolist()
    return {line: CustomerFailure(line, FailureReason.BADGE_LIMIT, exceeded=exceeded) for line in failed}


def import_row_errors(row: ImportRow, locks: Mapping[BadgeId, BadgeLock], now: datetime) -> list[FieldError]:
    """Return all errors of a row to import. Only impossible rows are errors."""
    field_errors: list[FieldError] = []
    if row.badge_id not in locks:
        field_errors.append(FieldError(1054, "Badge not found.", "badgeMetaId"))
    if row.event_at > now + badge_rules.EVENT_AHEAD_MAX:
        field_errors.append(FieldError(EventInFuture.code, EventInFuture.message, "earnEventDate"))
    if row.valid_until <= row.event_at:
        message = "earnExpiresOn must be after earnEventDate."
        field_errors.append(FieldError(MALFORMED, message, "earnExpiresOn"))
    return field_errors


def validate_import(
    rows: Sequence[ImportRow | list[FieldError]], locks: Mapping[BadgeId, BadgeLock], now: datetime
) -> tuple[list[tuple[int, BadgeKey, ImportRow]], list[RowFailure]]:
    """Return the valid rows with their line and badge, and the errors of the others."""
    valid: list[tuple[int, BadgeKey, ImportRow]] = []
    failures: list[RowFailure] = []
    seen: set[tuple[BadgeKey, CustomerId, datetime]] = set()
    for line, row in enumerate(rows):
        field_errors = import_row_errors(row, locks, now) if isinstance(row, ImportRow) else row
        if isinstance(row, ImportRow) and row.badge_id is not None and not field_errors:
            badge_key = locks[row.badge_id].badge_key
            key = (badge_key, row.customer, row.event_at)
            if key not in seen:
                seen.add(key)
                valid.append((line, badge_key, row))
                continue
            field_errors = [FieldError(AlreadyHeld.code, AlreadyHeld.message)]
        failures.append(RowFailure(line, field_errors))
    return valid, failures
