"""Pure decisions about badges (`docs/api/contract.md`, "Badges, claims, activation" and "Decisions")."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from cockade.badge.model import (
    BadgeDraft,
    BadgeExpiry,
    BadgeStatus,
    Constraint,
    ConstraintType,
    EarnTerms,
    EarnType,
    Expiry,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    OverlapPolicy,
    RelativeExpiry,
)
from cockade.catalogue import rules as catalogue_rules
from cockade.catalogue.model import CustomField
from cockade.errors import (
    MALFORMED,
    EventInFuture,
    EventOutsideBadge,
    Fault,
    NotClaimed,
    NotLive,
    OwnerNotAllowed,
    Refused,
)
from cockade.request.model import OwnerType

NEVER_YEARS = 100
AHEAD_MAX = timedelta(hours=24)
"""How far ahead an event may lie."""


class Validity(Struct, frozen=True):
    """How rule 7 judges an event."""

    expiry: Expiry
    """When what is issued ends."""
    needs_window: bool
    """Whether the event has to lie in the badge's window."""


def status_at(starts_at: datetime, expires_at: datetime, now: datetime) -> BadgeStatus:
    """The half-open window `[starts_at, expires_at)` seen from `now`."""
    if now < starts_at:
        return BadgeStatus.UPCOMING
    return BadgeStatus.LIVE if now < expires_at else BadgeStatus.EXPIRED


def add_months(instant: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The same wall time in `zone` so many calendar months on (or back), clamped to the month's end. UTC."""
    local = instant.astimezone(zone)
    years, month0 = divmod(local.month - 1 + months, 12)
    year, month = local.year + years, month0 + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(UTC)


def valid_until(expiry: Expiry, event_at: datetime, badge_expires_at: datetime, zone: ZoneInfo) -> datetime:
    """When the validity of what is earned at `event_at` ends (half-open)."""
    match expiry:
        case RelativeExpiry(unit=ExpiryUnit.DAYS, value=value):
            return event_at + timedelta(days=value)
        case RelativeExpiry(unit=ExpiryUnit.WEEKS, value=value):
            return event_at + timedelta(weeks=value)
        case RelativeExpiry(value=value):
            return add_months(event_at, value, zone)
        case FixedExpiry(at=at):
            return at
        case BadgeExpiry():
            return badge_expires_at
        case NeverExpiry():
            return add_months(event_at, 12 * NEVER_YEARS, zone)
        case _:
            assert_never(expiry)


def holds_several(policy: OverlapPolicy | None, customer_constraints: list[Constraint]) -> bool:
    """Whether a customer may hold more than one valid earned badge of the kind.

    The badge's policy decides; without one, any customer constraint but a fixed value of 1 means yes.
    """
    if policy is not None:
        return policy is OverlapPolicy.ALLOW
    return any(
        constraint.constraint_type is not ConstraintType.CUSTOMER_BADGE_FIXED_VALUE
        or constraint.max_earn_limit != 1
        for constraint in customer_constraints
    )


class TermRule(StrEnum):
    """Rules 4 to 7 of issuing, in the order in which they are asked."""

    ACTIVE = "ACTIVE"
    OWNER_ALLOWED = "OWNER_ALLOWED"
    CLAIMED = "CLAIMED"
    NOT_IN_FUTURE = "NOT_IN_FUTURE"
    IN_WINDOW = "IN_WINDOW"
    EXPIRES_AFTER_EVENT = "EXPIRES_AFTER_EVENT"


def judge_terms(
    terms: EarnTerms,
    owner: OwnerType,
    event_at: datetime | None,
    now: datetime,
    zone: ZoneInfo,
    kind: Validity,
) -> tuple[datetime, datetime, dict[TermRule, Refused | None]]:
    """From when until when (half open) what is issued would be valid, and what each of rules 4 to 7 says of it.

    An event that is not given is now.
    """
    at = now if event_at is None else event_at
    until = valid_until(kind.expiry, at, terms.expires_at, zone)
    outside: Refused = NotLive() if event_at is None else EventOutsideBadge(reference="earnEventDate")
    is_inside = not kind.needs_window or status_at(terms.starts_at, terms.expires_at, at) is BadgeStatus.LIVE
    too_short = "The badge's expiry is not after the event date."
    return (
        at,
        until,
        {
            TermRule.ACTIVE: None if terms.is_active else NotLive(),
            TermRule.OWNER_ALLOWED: None
            if owner in terms.owners
            else OwnerNotAllowed(reference="triggeredBy.ownerType"),
            TermRule.CLAIMED: None if terms.is_claimed else NotClaimed(),
            TermRule.NOT_IN_FUTURE: None
            if at <= now + AHEAD_MAX
            else EventInFuture(reference="earnEventDate"),
            TermRule.IN_WINDOW: None if is_inside else outside,
            TermRule.EXPIRES_AFTER_EVENT: None
            if at < until
            else EventOutsideBadge(too_short, reference="earnEventDate"),
        },
    )


def validity(
    terms: EarnTerms,
    owner: OwnerType,
    event_at: datetime | None,
    now: datetime,
    zone: ZoneInfo,
    kind: Validity,
) -> tuple[datetime, datetime]:
    """Rules 4 to 7: from when until when (half open) what is issued would be valid.

    Raises NotLive, OwnerNotAllowed, NotClaimed, EventInFuture or EventOutsideBadge: the first that applies.
    """
    valid_from, until, verdicts = judge_terms(terms, owner, event_at, now, zone, kind)
    for refusal in verdicts.values():
        if refusal is not None:
            raise refusal
    return valid_from, until


def earning_validity(terms: EarnTerms) -> Validity:
    """What rule 7 asks of an earned badge; of one that needs an enrolment, that decides about the window."""
    return Validity(terms.earned_expiry, needs_window=terms.earn_type is EarnType.EARN)


def is_capped(badge_constraints: list[Constraint]) -> bool:
    """Whether the badge as a whole has a limit."""
    return any(
        constraint.constraint_type is not ConstraintType.BADGE_NO_LIMIT for constraint in badge_constraints
    )


def creation_faults(draft: BadgeDraft, now: datetime, zone: ZoneInfo, *, is_migration: bool) -> list[Fault]:
    """All that stands against creating this badge now; a migrated badge may lie in the past."""
    faults: list[Fault] = []
    if draft.starts_at >= draft.expires_at:
        faults.append(Fault(720, "Start date should be before end date.", "startOn"))
    if not is_migration:
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        if draft.starts_at < midnight:
            faults.append(Fault(722, "Start date cannot be past date.", "startOn"))
        if draft.expires_at < midnight:
            faults.append(Fault(724, "Expiry date cannot be past date.", "expiresOn"))
    if draft.earn_type is EarnType.ISSUE_EARN and draft.issued_expiry is None:
        message = "issuedBadgeExpiry is mandatory for ISSUE_EARN badges."
        faults.append(Fault(MALFORMED, message, "issuedBadgeExpiry"))
    return faults


def completed(draft: BadgeDraft, fields: list[CustomField]) -> BadgeDraft:
    """The badge with the defaults of its org's mandatory custom fields where it has no values."""
    values = catalogue_rules.complete(draft.presentation.custom_fields, fields)
    presentation = msgspec.structs.replace(draft.presentation, custom_fields=values)
    return msgspec.structs.replace(draft, presentation=presentation)
