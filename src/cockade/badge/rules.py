"""Pure decisions about badges (`docs/api/contract.md`, "Badges, claims, activation" and "Decisions")."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

import msgspec

from cockade.badge.model import (
    BadgeDraft,
    BadgeExpiry,
    BadgeStatus,
    Constraint,
    ConstraintType,
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
from cockade.errors import MALFORMED, Fault

NEVER_YEARS = 100


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
