"""Badges and their parts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cockade.ids import BadgeId, BadgeKey, OrgId
from cockade.request.model import OwnerType


class EarnType(StrEnum):
    """The ways to earn a badge."""

    EARN = "EARN"
    """Directly."""
    ISSUE_EARN = "ISSUE_EARN"
    """Only by customers who were enrolled first."""


class BadgeStatus(StrEnum):
    """The status of a badge's window at an instant. Activation is separate."""

    UPCOMING = "UPCOMING"
    LIVE = "LIVE"
    EXPIRED = "EXPIRED"


class OverlapPolicy(StrEnum):
    """Whether a customer may hold more than one valid earned badge of this kind."""

    ALLOW = "ALLOW"
    REJECT = "REJECT"


class ExpiryUnit(StrEnum):
    """The unit of a relative expiry."""

    DAYS = "DAYS"
    """24 hours each."""
    WEEKS = "WEEKS"
    """7 × 24 hours each."""
    MONTHS = "MONTHS"
    """Calendar months in the org's time zone: same wall time, clamped to the month's end."""


class RelativeExpiry(Struct, frozen=True, tag="relative"):
    """Expires this long after the event."""

    unit: ExpiryUnit
    value: int


class FixedExpiry(Struct, frozen=True, tag="fixed"):
    """Expires at a given instant."""

    at: datetime


class BadgeExpiry(Struct, frozen=True, tag="badge"):
    """Expires with the badge."""


class NeverExpiry(Struct, frozen=True, tag="never"):
    """Expires after a hundred years."""


Expiry = RelativeExpiry | FixedExpiry | BadgeExpiry | NeverExpiry


class ConstraintType(StrEnum):
    """The types of constraints. CUSTOMER_ constraints count the earned badges of one customer, the others
    those of all customers.
    """

    CUSTOMER_BADGE_NO_LIMIT = "CUSTOMER_BADGE_NO_LIMIT"
    CUSTOMER_BADGE_FIXED_VALUE = "CUSTOMER_BADGE_FIXED_VALUE"
    CUSTOMER_BADGE_ROLLING_WINDOW = "CUSTOMER_BADGE_ROLLING_WINDOW"
    CUSTOMER_BADGE_FIXED_WINDOW = "CUSTOMER_BADGE_FIXED_WINDOW"
    BADGE_NO_LIMIT = "BADGE_NO_LIMIT"
    BADGE_FIXED_VALUE = "BADGE_FIXED_VALUE"
    BADGE_ROLLING_WINDOW = "BADGE_ROLLING_WINDOW"
    BADGE_FIXED_WINDOW = "BADGE_FIXED_WINDOW"


class Constraint(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One constraint, in the spelling of the contract. Its type decides which fields it has.

    Numbers are counts of earned badges, except roll… and refreshRate, whose names say what they count.
    """

    constraint_type: ConstraintType
    reference_id: str | None = None
    """Only for fixed windows: a UUID that stays the same when the badge changes."""
    max_earn_limit: int | None = None
    max_earn_for_days: int | None = None
    roll_for_days: int | None = None
    max_earn_for_weeks: int | None = None
    roll_for_weeks: int | None = None
    max_earn_for_months: int | None = None
    roll_for_months: int | None = None
    roll_type: str | None = None
    """DAYS, WEEKS or MONTHS."""
    roll_value: int | None = None
    duration_type: str | None = None
    """DAYS, WEEKS or MONTHS. DAILY, WEEKLY and MONTHLY are accepted as synonyms."""
    refresh_rate: int | None = None
    """Days per cycle; only for cycles of days."""
    start_day_of_the_week: int | str | None = None
    """MONDAY … SUNDAY or 1 … 7; only for cycles of weeks."""


class Presentation(Struct, frozen=True, kw_only=True):
    """Descriptive fields of a badge, which no rule reads."""

    description: str | None = None
    images: list[dict[str, Any]] = []
    benefits: list[dict[str, Any]] = []
    tags: list[dict[str, Any]] = []
    badge_group_id: str | None = None
    badge_rank: int | None = None
    custom_fields: dict[str, Any] = {}
    default_till_id: int | None = None


class BadgeDraft(Struct, frozen=True, kw_only=True):
    """The desired state of a badge."""

    name: str
    starts_at: datetime
    expires_at: datetime
    earn_type: EarnType
    earned_expiry: Expiry
    issued_expiry: Expiry | None
    owners: list[OwnerType]
    overlap_policy: OverlapPolicy | None
    customer_constraints: list[Constraint]
    badge_constraints: list[Constraint]
    presentation: Presentation
    is_active: bool


class Claim(Struct, frozen=True, rename="camel"):
    """A claim: the registration of an owner for a badge under its own reference id."""

    owner_type: OwnerType
    reference_id: str
    is_active: bool


class Badge(Struct, frozen=True, kw_only=True):
    """A stored badge."""

    badge_key: BadgeKey
    badge_id: BadgeId
    badge_number: int
    org_id: OrgId
    draft: BadgeDraft
    claims: list[Claim]
    group_name: str | None
    """Name of the badge's group, if it has one."""
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class BadgeLock(Struct, frozen=True):
    """A lock on a badge until the transaction ends."""

    badge_key: BadgeKey
    exclusive: bool
    """Whether the lock is exclusive."""


class EarnTerms(Struct, frozen=True, kw_only=True):
    """The data of a badge that earning and enrolment need, read under its lock."""

    is_active: bool
    starts_at: datetime
    expires_at: datetime
    earn_type: EarnType
    earned_expiry: Expiry
    issued_expiry: Expiry | None
    owners: list[OwnerType]
    holds_several: bool
    """Whether a customer may hold more than one valid earned badge of this kind."""
    customer_constraints: list[Constraint]
    badge_constraints: list[Constraint]
    is_claimed: bool
    """Whether the requesting owner has an active claim with this reference id."""


class ImportTerms(Struct, frozen=True):
    """The data of a badge that an import needs, read under its lock."""

    has_badge_limit: bool
    """Whether it has a badge constraint."""
    customer_constraints: list[Constraint]


class BadgeCounts(Struct, frozen=True):
    """The number of issuances of a badge, without revoked ones."""

    issued: int = 0
    """Enrolments."""
    earned: int = 0
    """Earned badges."""


class BadgeFilter(Struct, frozen=True, kw_only=True):
    """Filters of a badge list. None disables a filter."""

    status: BadgeStatus | None = None
    earn_type: EarnType | None = None
    is_active: bool | None = None
    owner: OwnerType | None = None
    """One of the badge's owners."""
    claimed_by: OwnerType | None = None
    """An owner with an active claim."""
    unclaimed: bool | None = None
    """True: without active claims. False: with at least one."""
    name: str | None = None
    """Part of the name, case-insensitive."""
    starts_from: datetime | None = None
    """startOn is this instant or later."""
    expires_until: datetime | None = None
    """expiresOn is this instant or earlier."""
