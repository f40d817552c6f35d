"""Pure rules for badges (`docs/reference/api/contract.md`, "Badges, claims, activation" and "Decisions")."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from cockade.badge.model import (
    Badge,
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
from cockade.errors import (
    MALFORMED,
    EventInFuture,
    EventOutsideBadge,
    FieldError,
    NotClaimed,
    NotLive,
    OwnerNotAllowed,
    RequestRejected,
)
from cockade.metadata import rules as catalogue_rules
from cockade.metadata.model import CustomField
from cockade.request.model import OwnerType

NEVER_YEARS = 100
EVENT_AHEAD_MAX = timedelta(hours=24)
"""Maximum time that an event date may be in the future."""


class Validity(Struct, frozen=True):
    """The parameters of rule 7, which checks the event date."""

    expiry: Expiry
    """The expiry rule of the issuance."""
    needs_window: bool
    """Whether the event date must be inside the badge's window."""


def status_at(starts_at: datetime, expires_at: datetime, now: datetime) -> BadgeStatus:
    """Return the status at `now` of the half-open window `[starts_at, expires_at)`."""
    if now < starts_at:
        return BadgeStatus.UPCOMING
    return BadgeStatus.LIVE if now < expires_at else BadgeStatus.EXPIRED


def add_months(instant: datetime, months: int, zone: ZoneInfo) -> datetime:
    """Add (or subtract) calendar months and keep the wall time in `zone`, clamped to the end of the month.
    Returns UTC.
    """
    local = instant.astimezone(zone)
    years, month0 = divmod(local.month - 1 + months, 12)
    year, month = local.year + years, month0 + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(UTC)


def valid_until(expiry: Expiry, event_at: datetime, badge_expires_at: datetime, zone: ZoneInfo) -> datetime:
    """Return the exclusive end of the validity of a badge that is earned at `event_at`."""
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

    The badge's policy decides. Without a policy, it is true for any customer constraint except a fixed value
    of 1.
    """
    if policy is not None:
        return policy is OverlapPolicy.ALLOW
    return any(
        constraint.constraint_type is not ConstraintType.CUSTOMER_BADGE_FIXED_VALUE
        or constraint.max_earn_limit != 1
        for constraint in customer_constraints
    )


class TermRule(StrEnum):
    """Rules 4 to 7 of issuing, in the order of evaluation."""

    ACTIVE = "ACTIVE"
    OWNER_ALLOWED = "OWNER_ALLOWED"
    CLAIMED = "CLAIMED"
    NOT_IN_FUTURE = "NOT_IN_FUTURE"
    IN_WINDOW = "IN_WINDOW"
    EXPIRES_AFTER_EVENT = "EXPIRES_AFTER_EVENT"


def evaluate_terms(
    terms: EarnTerms,
    owner: OwnerType,
    event_at: datetime | None,
    now: datetime,
    zone: ZoneInfo,
    kind: Validity,
) -> tuple[datetime, datetime, dict[TermRule, RequestRejected | None]]:
    """Return the start and exclusive end of the validity, and the result of each of rules 4 to 7.

    A missing event date means now.
    """
    at = now if event_at is None else event_at
    until = valid_until(kind.expiry, at, terms.expires_at, zone)
    outside: RequestRejected = NotLive() if event_at is None else EventOutsideBadge(reference="earnEventDate")
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
            if at <= now + EVENT_AHEAD_MAX
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
    """Check rules 4 to 7 and return the start and exclusive end of the validity.

    Raises NotLive, OwnerNotAllowed, NotClaimed, EventInFuture or EventOutsideBadge: the first that applies.
    """
    valid_from, until, verdicts = evaluate_terms(terms, owner, event_at, now, zone, kind)
    for refusal in verdicts.values():
        if refusal is not None:
            raise refusal
    return valid_from, until


def earning_validity(terms: EarnTerms) -> Validity:
    """Return the rule-7 check of an earned badge. If the badge requires an enrolment, the enrolment decides
    about the window.
    """
    return Validity(terms.earned_expiry, needs_window=terms.earn_type is EarnType.EARN)


def has_badge_limit(badge_constraints: list[Constraint]) -> bool:
    """Whether there is a badge constraint."""
    return any(
        constraint.constraint_type is not ConstraintType.BADGE_NO_LIMIT for constraint in badge_constraints
    )


def creation_errors(
    draft: BadgeDraft, now: datetime, zone: ZoneInfo, *, is_migration: bool
) -> list[FieldError]:
    """Return all errors of creating this badge now. A migrated badge may start or end in the past."""
    field_errors: list[FieldError] = []
    if draft.starts_at >= draft.expires_at:
        field_errors.append(FieldError(720, "Start date should be before end date.", "startOn"))
    if not is_migration:
        midnight = _midnight(now, zone)
        if draft.starts_at < midnight:
            field_errors.append(FieldError(722, "Start date cannot be past date.", "startOn"))
        if draft.expires_at < midnight:
            field_errors.append(FieldError(724, "Expiry date cannot be past date.", "expiresOn"))
    if draft.earn_type is EarnType.ISSUE_EARN and draft.issued_expiry is None:
        message = "issuedBadgeExpiry is mandatory for ISSUE_EARN badges."
        field_errors.append(FieldError(MALFORMED, message, "issuedBadgeExpiry"))
    return field_errors


def with_defaults(draft: BadgeDraft, fields: list[CustomField]) -> BadgeDraft:
    """Return the draft with defaults for missing mandatory custom fields of the org."""
    values = catalogue_rules.complete(draft.presentation.custom_fields, fields)
    presentation = msgspec.structs.replace(draft.presentation, custom_fields=values)
    return msgspec.structs.replace(draft, presentation=presentation)


def _midnight(now: datetime, zone: ZoneInfo) -> datetime:
    """Return today's midnight in the zone."""
    return now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)


WINDOWS = {ConstraintType.CUSTOMER_BADGE_FIXED_WINDOW, ConstraintType.BADGE_FIXED_WINDOW}
NO_LIMITS = {ConstraintType.CUSTOMER_BADGE_NO_LIMIT, ConstraintType.BADGE_NO_LIMIT}


def change_errors(badge: Badge, draft: BadgeDraft, now: datetime, zone: ZoneInfo) -> list[FieldError]:
    """Return all errors of changing the stored badge into this draft now. Only fields that differ are
    checked.
    """
    old = badge.draft
    is_new_start, is_new_end = draft.starts_at != old.starts_at, draft.expires_at != old.expires_at
    has_begun = status_at(old.starts_at, old.expires_at, now) is not BadgeStatus.UPCOMING
    field_errors = creation_errors(draft, now, zone, is_migration=True)
    midnight = _midnight(now, zone)
    if is_new_start and has_begun:
        field_errors.append(FieldError(723, "Start date cannot change once the badge is live.", "startOn"))
    elif is_new_start and draft.starts_at < midnight:
        field_errors.append(FieldError(722, "Start date cannot be past date.", "startOn"))
    if is_new_end and draft.expires_at < midnight:
        field_errors.append(FieldError(724, "Expiry date cannot be past date.", "expiresOn"))
    if draft.earn_type is not old.earn_type:
        field_errors.append(FieldError(1020, "Badge earn type cannot be updated.", "earnType"))
    claiming = {claim.owner_type for claim in badge.claims if claim.is_active}
    if claiming - set(draft.owners):
        message = "There is an existing claim of owner. Removal of owner not allowed."
        field_errors.append(FieldError(738, message, "ownership.restrictedToOwners"))
    return field_errors + [
        FieldError(
            826,
            "Change from rolling window or fixed constraint to fixed window or vice versa is not allowed.",
            name,
        )
        for name, before, after in (
            ("customerConstraints", old.customer_constraints, draft.customer_constraints),
            ("badgeConstraints", old.badge_constraints, draft.badge_constraints),
        )
        if _changes_limit_kind(before, after)
    ]


def _changes_limit_kind(before: list[Constraint], after: list[Constraint]) -> bool:
    """Whether a fixed window replaces another kind of limit, or the reverse."""
    kinds_before = {constraint.constraint_type for constraint in before} - NO_LIMITS
    kinds_after = {constraint.constraint_type for constraint in after} - NO_LIMITS
    removed, added = kinds_before - kinds_after, kinds_after - kinds_before
    return bool((removed & WINDOWS and added - WINDOWS) or (removed - WINDOWS and added & WINDOWS))


def with_reference_ids(
    constraints: list[Constraint], before: list[Constraint], fresh: Iterator[str]
) -> list[Constraint]:
    """Return the constraints with a reference id for each fixed window: its own if the badge already has it,
    otherwise that of the fixed window at the same position, otherwise a new one.
    """
    known = {constraint.reference_id for constraint in before if constraint.constraint_type in WINDOWS}
    sent = {constraint.reference_id for constraint in constraints} & known
    identified: list[Constraint] = []
    used: set[str | None] = set()
    for place, constraint in enumerate(constraints):
        reference_id = None
        if constraint.constraint_type in WINDOWS:
            same = before[place] if place < len(before) else None
            if constraint.reference_id in known - used:
                reference_id = constraint.reference_id
            elif (
                same and same.constraint_type is constraint.constraint_type and same.reference_id not in sent
            ):
                reference_id = same.reference_id
            reference_id = reference_id or next(fresh)
            used.add(reference_id)
        identified.append(msgspec.structs.replace(constraint, reference_id=reference_id))
    return identified


def limits_differ(old: BadgeDraft, new: BadgeDraft) -> bool:
    """Whether the constraints differ."""
    return (old.customer_constraints, old.badge_constraints) != (
        new.customer_constraints,
        new.badge_constraints,
    )


def audit_details(draft: BadgeDraft) -> dict[str, object]:
    """Return the badge's fields by their API names."""
    shown = draft.presentation
    return {
        "name": draft.name,
        "description": shown.description,
        "startOn": draft.starts_at,
        "expiresOn": draft.expires_at,
        "earnType": draft.earn_type,
        "earnedBadgeExpiry": draft.earned_expiry,
        "issuedBadgeExpiry": draft.issued_expiry,
        "ownership.restrictedToOwners": draft.owners,
        "overlapPolicy": draft.overlap_policy,
        "customerConstraints": draft.customer_constraints,
        "badgeConstraints": draft.badge_constraints,
        "images": shown.images,
        "benefits": shown.benefits,
        "tags": shown.tags,
        "badgeGroupId": shown.badge_group_id,
        "badgeRank": shown.badge_rank,
        "customFields": shown.custom_fields,
        "defaultTillId": shown.default_till_id,
        "isActive": draft.is_active,
    }
