"""What a badge is."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from cockade.ids import BadgeId, BadgeKey, OrgId
from cockade.request.model import OwnerType


class EarnType(StrEnum):
    """How a badge is earned."""

    EARN = "EARN"
    """Directly."""
    ISSUE_EARN = "ISSUE_EARN"
    """By customers who were enrolled first."""


class BadgeStatus(StrEnum):
    """An instant against the badge's window; whether the badge is switched on stands beside it."""

    UPCOMING = "UPCOMING"
    LIVE = "LIVE"
    EXPIRED = "EXPIRED"


class OverlapPolicy(StrEnum):
    """Whether a customer may hold more than one valid earned badge of this kind."""

    ALLOW = "ALLOW"
    REJECT = "REJECT"


class ExpiryUnit(StrEnum):
    """What a relative expiry counts in."""

    DAYS = "DAYS"
    """24 hours each."""
    WEEKS = "WEEKS"
    """7 × 24 hours each."""
    MONTHS = "MONTHS"
    """Calendar months in the org's time zone: same wall time, clamped to the month's end."""


class RelativeExpiry(Struct, frozen=True, tag="relative"):
    """So long after the event."""

    unit: ExpiryUnit
    value: int


class FixedExpiry(Struct, frozen=True, tag="fixed"):
    """At a given instant."""

    at: datetime


class BadgeExpiry(Struct, frozen=True, tag="badge"):
    """Together with the badge."""


class NeverExpiry(Struct, frozen=True, tag="never"):
    """A hundred years on."""


Expiry = RelativeExpiry | FixedExpiry | BadgeExpiry | NeverExpiry


class ConstraintType(StrEnum):
    """The kinds of limits. CUSTOMER_ ones count one customer's earned badges, the others all of the badge's."""

    CUSTOMER_BADGE_NO_LIMIT = "CUSTOMER_BADGE_NO_LIMIT"
    CUSTOMER_BADGE_FIXED_VALUE = "CUSTOMER_BADGE_FIXED_VALUE"
    CUSTOMER_BADGE_ROLLING_WINDOW = "CUSTOMER_BADGE_ROLLING_WINDOW"
    CUSTOMER_BADGE_FIXED_WINDOW = "CUSTOMER_BADGE_FIXED_WINDOW"
    BADGE_NO_LIMIT = "BADGE_NO_LIMIT"
    BADGE_FIXED_VALUE = "BADGE_FIXED_VALUE"
    BADGE_ROLLING_WINDOW = "BADGE_ROLLING_WINDOW"
    BADGE_FIXED_WINDOW = "BADGE_FIXED_WINDOW"


class Constraint(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One limit, in the contract's own spelling; which fields it has follows from its type.

    Numbers are counts of earned badges, but roll… and refreshRate, which count what their names say.
    """

    constraint_type: ConstraintType
    reference_id: str | None = None
    """Of a fixed window: a UUID that stays while the badge changes."""
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
    """DAYS, WEEKS or MONTHS; DAILY, WEEKLY and MONTHLY are read as these."""
    refresh_rate: int | None = None
    """Days per cycle; only for cycles of days."""
    start_day_of_the_week: int | str | None = None
    """MONDAY … SUNDAY or 1 … 7; only for cycles of weeks."""


class Presentation(Struct, frozen=True, kw_only=True):
    """What a badge carries for people and other systems, and no rule of ours reads."""

    description: str | None = None
    images: list[dict[str, Any]] = []
    benefits: list[dict[str, Any]] = []
    tags: list[dict[str, Any]] = []
    badge_group_id: str | None = None
    badge_rank: int | None = None
    custom_fields: dict[str, Any] = {}
    default_till_id: int | None = None


class BadgeDraft(Struct, frozen=True, kw_only=True):
    """A badge as somebody wants to have it."""

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
    """An owner's registration for a badge under its own reference."""

    owner_type: OwnerType
    reference_id: str
    is_active: bool


class Badge(Struct, frozen=True, kw_only=True):
    """A badge as it is stored."""

    badge_key: BadgeKey
    badge_id: BadgeId
    badge_number: int
    org_id: OrgId
    draft: BadgeDraft
    claims: list[Claim]
    group_name: str | None
    """Of the group that the badge names, if there is one."""
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class BadgeLock(Struct, frozen=True):
    """A badge that is held until the end of the transaction."""

    badge_key: BadgeKey
    exclusive: bool
    """Whether nobody else holds it."""


class EarnTerms(Struct, frozen=True, kw_only=True):
    """What earning and enrolling need to know of a badge, read while it is held."""

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
    """Whether the asking owner has an active claim with the given reference."""


class ImportTerms(Struct, frozen=True):
    """What importing needs to know of a badge, read while it is held."""

    has_badge_limit: bool
    """Whether it has a limit as a whole."""
    customer_constraints: list[Constraint]


class BadgeCounts(Struct, frozen=True):
    """How many there are of a badge, revoked ones not counted."""

    issued: int = 0
    """Enrolments."""
    earned: int = 0
    """Earned badges."""


class BadgeFilter(Struct, frozen=True, kw_only=True):
    """Which badges a list shows; None leaves a criterion out."""

    status: BadgeStatus | None = None
    earn_type: EarnType | None = None
    is_active: bool | None = None
    owner: OwnerType | None = None
    """Among the badge's owners."""
    claimed_by: OwnerType | None = None
    """Has an active claim."""
    unclaimed: bool | None = None
    """True: no active claim at all. False: at least one."""
    name: str | None = None
    """Part of the name, upper and lower case alike."""
    starts_from: datetime | None = None
    """startOn is this instant or later."""
    expires_until: datetime | None = None
    """expiresOn is this instant or earlier."""
