"""Pure decisions about earning (`docs/api/contract.md`, the eight rules of earnBulk)."""

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
    """The half-open validity `[valid_from, valid_until)` seen from `now`."""
    if now < valid_from:
        return EarnedStatus.UPCOMING
    return EarnedStatus.LIVE if now < valid_until else EarnedStatus.EXPIRED


class EligibilityRules(Struct, frozen=True, kw_only=True):
    """What rule 8 asks of each customer, the same for a whole audience."""

    needs_enrolment: bool
    allows_multiple: bool
    """Whether she may hold more than one valid earned badge of the kind."""
    customer_checks: Sequence[LimitCheck]
    """The limits per customer."""
    badge_checks: Sequence[LimitCheck]
    """The limits of the badge as a whole."""
    ends_at: datetime | None
    """The instant from which on the badge can no longer be earned; None where enrolments decide that."""
    zone: ZoneInfo
    now: datetime

    @property
    def needs_more_than_holders(self) -> bool:
        """Whether the decision needs enrolments or counts, and not only who holds the badge."""
        return self.needs_enrolment or bool(self.customer_checks) or bool(self.badge_checks)


def eligibility_rules(
    terms: EarnTerms, event_at: datetime, now: datetime, zone: ZoneInfo
) -> EligibilityRules:
    """What rule 8 asks about an event at this instant."""

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


def decide(audience: Sequence[CustomerId], found: EligibilityFacts, rule: EligibilityRules) -> Decision:
    """Rule 8, customer by customer in the order sent: who earns, and why who does not.

    Whoever never had the badge is refused only for want of an enrolment, or of room in the badge's own limits: so only
    holders are looked at one by one.
    """
    customers = np.array(audience, dtype=np.int64)
    ascending = np.argsort(customers)
    if found.enrolled is None and not found.usages and not len(found.holders.customers):
        return Decision(EarnedRows(customers[ascending], np.ones_like(customers), ascending), [])
    places = _LineIndex(customers, ascending)
    refusals = _find_not_enrolled(audience, found)
    if not rule.allows_multiple:
        refusals = _find_conflicts(places, found.holders.conflicting, rule.now) | refusals
    if rule.customer_checks:
        refusals |= _apply_customer_limits(places, found.holders, rule, refusals)
    is_open = np.ones(len(customers), dtype=np.bool_)
    is_open[list(refusals)] = False
    refusals |= _apply_badge_limits(np.flatnonzero(is_open), found.usages)
    is_open[list(refusals)] = False
    ordinals = np.ones(len(customers), dtype=np.int64)
    ordinals[places.of(found.holders.customers)] = found.holders.last_ordinals + 1
    earning = ascending[is_open[ascending]]
    return Decision(
        EarnedRows(customers[earning], ordinals[earning], earning),
        [refusals[line] for line in sorted(refusals)],
    )


def with_pending(found: EligibilityFacts, count: int) -> EligibilityFacts:
    """What would be found had so many more earned at the same event."""
    usages = [msgspec.structs.replace(usage, used=usage.used + count) for usage in found.usages]
    return msgspec.structs.replace(found, usages=usages)


class _LineIndex(Struct, frozen=True):
    """Where in the audience a customer stands."""

    customers: Numbers
    ascending: Numbers
    """The lines in ascending order of customer."""

    def of(self, customers: Numbers) -> Numbers:
        """The lines of these customers of the audience."""
        return self.ascending[np.searchsorted(self.customers, customers, sorter=self.ascending)]


def _find_not_enrolled(audience: Sequence[CustomerId], found: EligibilityFacts) -> dict[int, CustomerFailure]:
    if found.enrolled is None:
        return {}
    return {
        line: CustomerFailure(line, FailureReason.NOT_ENROLLED)
        for line, customer in enumerate(audience)
        if customer not in found.enrolled
    }


def _find_conflicts(
    places: _LineIndex, standing: ConflictingBadges, now: datetime
) -> dict[int, CustomerFailure]:
    lines: list[int] = places.of(standing.customers).tolist()
    standing_ids = ids.earned_badge_ids_at(standing.request_keys, standing.lines)
    return {
        line: CustomerFailure(line, FailureReason.ALREADY_HELD, standing_id, status)
        for line, standing_id, status in zip(lines, standing_ids, _statuses(standing, now), strict=True)
    }


def _statuses(standing: ConflictingBadges, now: datetime) -> list[EarnedStatus]:
    """As `earned_status`, of many: by how many of the two ends of a validity have come."""
    at = times.microseconds(now)
    ends_come: Numbers = (standing.valid_from <= at).astype(np.int64) + (standing.valid_until <= at)
    words = (EarnedStatus.UPCOMING, EarnedStatus.LIVE, EarnedStatus.EXPIRED)
    return [words[count] for count in ends_come.tolist()]


def _apply_customer_limits(
    places: _LineIndex, holders: Holders, rule: EligibilityRules, refused: Mapping[int, CustomerFailure]
) -> dict[int, CustomerFailure]:
    """Whom a limit per customer refuses, of those who are not refused yet. All have room for whoever has none yet."""
    refusals: dict[int, CustomerFailure] = {}
    lines, totals = places.of(holders.customers).tolist(), holders.totals.tolist()
    for line, customer, total in zip(lines, holders.customers.tolist(), totals, strict=True):
        if line in refused:
            continue
        counted = holders.counted.get(customer, ())
        exceeded = limit_rules.first_exceeded(rule.customer_checks, total, counted, rule.zone, rule.ends_at)
        if exceeded is not None:
            refusals[line] = CustomerFailure(line, FailureReason.CUSTOMER_LIMIT, exceeded=exceeded)
    return refusals


def _apply_badge_limits(lines: Numbers, usages: Sequence[LimitUsage]) -> dict[int, CustomerFailure]:
    """The first get what is left of the limits of the badge as a whole; why the others get nothing."""
    if not usages:
        return {}
    left = max(0, min(usage.limit.limit - usage.used for usage in usages))
    full = next(usage for usage in usages if usage.used + left >= usage.limit.limit)
    limit = full.limit
    exceeded = ExceededLimit(limit.reference, limit.limit, full.used + left, full.available_from)
    refused = lines[left:].tolist()
    return {line: CustomerFailure(line, FailureReason.BADGE_LIMIT, exceeded=exceeded) for line in refused}


def import_row_errors(row: ImportRow, holds: Mapping[BadgeId, BadgeLock], now: datetime) -> list[FieldError]:
    """All that stands against taking this row of history: nothing but what cannot be."""
    field_errors: list[FieldError] = []
    if row.badge_id not in holds:
        field_errors.append(FieldError(1054, "Badge not found.", "badgeMetaId"))
    if row.event_at > now + badge_rules.EVENT_AHEAD_MAX:
        field_errors.append(FieldError(EventInFuture.code, EventInFuture.message, "earnEventDate"))
    if row.valid_until <= row.event_at:
        message = "earnExpiresOn must be after earnEventDate."
        field_errors.append(FieldError(MALFORMED, message, "earnExpiresOn"))
    return field_errors


def validate_import(
    rows: Sequence[ImportRow | list[FieldError]], holds: Mapping[BadgeId, BadgeLock], now: datetime
) -> tuple[list[tuple[int, BadgeKey, ImportRow]], list[RowFailure]]:
    """Which rows are taken, with their line and badge, and why the others are not."""
    taken: list[tuple[int, BadgeKey, ImportRow]] = []
    refusals: list[RowFailure] = []
    seen: set[tuple[BadgeKey, CustomerId, datetime]] = set()
    for line, row in enumerate(rows):
        field_errors = import_row_errors(row, holds, now) if isinstance(row, ImportRow) else row
        if isinstance(row, ImportRow) and row.badge_id is not None and not field_errors:
            badge_key = holds[row.badge_id].badge_key
            key = (badge_key, row.customer, row.event_at)
            if key not in seen:
                seen.add(key)
                taken.append((line, badge_key, row))
                continue
            field_errors = [FieldError(AlreadyHeld.code, AlreadyHeld.message)]
        refusals.append(RowFailure(line, field_errors))
    return taken, refusals
