"""Views of customers and their badges."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from cockade.badge.model import Badge, BadgeStatus, Constraint, EarnType, Expiry, OverlapPolicy
from cockade.errors import ExceededLimit
from cockade.ids import BadgeKey, CustomerId
from cockade.limit.model import Cycle, CycleStatus, FixedWindow
from cockade.request.model import OwnerType


class BadgeType(StrEnum):
    """Selects which badges a customer's page shows."""

    AVAILABLE = "AVAILABLE"
    """Direct badges that the customer can earn now."""
    AVAILABLE_TO_ISSUE = "AVAILABLE_TO_ISSUE"
    """Badges in which the customer can be enrolled now."""
    EARNED = "EARNED"
    """Badges of which the customer has a valid one now."""
    EXPIRED = "EXPIRED"
    """Badges of which the customer had some, all expired."""


class PageSort(StrEnum):
    """Sort orders of a customer's page: ranks ascending, dates latest first."""

    RANK = "RANK"
    LAST_EARNED_ON_DATE = "LAST_EARNED_ON_DATE"
    LAST_EARNED_EVENT_DATE = "LAST_EARNED_EVENT_DATE"


class ListSort(StrEnum):
    """Sort orders of the managed list."""

    EXPIRES_ON = "EXPIRES_ON"
    LAST_MODIFIED_DATE = "LAST_MODIFIED_DATE"
    LAST_ISSUED_DATE = "LAST_ISSUED_DATE"
    LAST_EXPIRED_BADGE = "LAST_EXPIRED_BADGE"
    LAST_EARNED_ON_DATE = "LAST_EARNED_ON_DATE"
    LAST_EARNED_EVENT_DATE = "LAST_EARNED_EVENT_DATE"


class Order(StrEnum):
    """Sort direction."""

    ASC = "ASC"
    DESC = "DESC"


class HeldFilter(StrEnum):
    """Filters a list by what the customer has of a badge."""

    LIVE = "LIVE"
    ENDED = "ENDED"
    LIVE_OR_ENDED = "LIVE_OR_ENDED"
    NOT_ENROLLED = "NOT_ENROLLED"


class HeldBadgeStatus(StrEnum):
    """The status of an earned badge or enrolment at an instant. For enrolments, `ACTIVE` means `LIVE`."""

    UPCOMING = "UPCOMING"
    LIVE = "LIVE"
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Bounds(Struct, frozen=True):
    """A half-open range of instants. None leaves an end open."""

    opens: datetime | None
    closes: datetime | None


class StateFilter(Struct, frozen=True, kw_only=True):
    """Filters of a list. None disables a filter."""

    earn_type: EarnType | None = None
    is_active: bool | None = None
    statuses: list[BadgeStatus] | None = None
    owner: OwnerType | None = None
    claimed_by: OwnerType | None = None
    name: str | None = None
    group_id: str | None = None
    starts: Bounds | None = None
    expires: Bounds | None = None
    held: HeldFilter | None = None


class CustomerBadgeState(Struct, frozen=True, kw_only=True):
    """A badge with a customer's issuances of it."""

    badge_key: BadgeKey
    earn_type: EarnType
    starts_at: datetime
    expires_at: datetime
    earned_expiry: Expiry
    overlap_policy: OverlapPolicy | None
    customer_constraints: list[Constraint]
    badge_constraints: list[Constraint]
    earned_count: int
    """The customer's unrevoked earned badges of this badge."""
    live_count: int
    """Those that are valid now."""
    next_from: datetime | None
    """The earliest event date in the future."""
    last_earned_at: datetime | None
    """When the last one was recorded, to the second."""
    last_event_at: datetime | None
    """The latest event date."""
    issue_status: HeldBadgeStatus | None
    """The best status of the customer's enrolments."""


class BadgeWithState(Struct, frozen=True):
    """A row of a list: a badge, and the customer's issuances of it."""

    badge: Badge
    state: CustomerBadgeState


class HeldBadge(Struct, frozen=True, kw_only=True):
    """One earned badge or enrolment of one customer."""

    customer: CustomerId
    ordinal: int
    held_badge_id: str
    recorded_at: datetime
    """To the second."""
    event_at: datetime
    valid_until: datetime
    revoked_at: datetime | None
    request_id: str | None
    owner_type: OwnerType | None
    reference_id: str | None


class RuleResult(StrEnum):
    """The result of a rule for one customer's event."""

    PASSED = "PASSED"
    REFUSED = "REFUSED"
    NOT_ASKED = "NOT_ASKED"


class RuleEvaluation(Struct, frozen=True, kw_only=True):
    """A rule and its result."""

    rule: str
    """ACTIVE, OWNER_ALLOWED, … of `badge.rules.TermRule`, ENROLLED, NOT_HELD, CUSTOMER_LIMIT or BADGE_LIMIT.
    """
    verdict: RuleResult
    message: str
    """An explanation of the result."""
    code: int | None = None
    """The error code if the rule fails."""
    limit: ExceededLimit | None = None
    """The usage of a limit."""
    earned_badge_id: str | None = None
    """The earned badge that prevents another one."""
    enrolment_id: str | None = None
    """The enrolment whose window contains the event."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a customer can or cannot earn a badge."""

    event_at: datetime
    valid_until: datetime
    evaluations: list[RuleEvaluation]
    earned: list[HeldBadge]
    """All earned badges that the customer ever had of it, newest first."""
    enrolments: list[HeldBadge]


class WindowCycle(Struct, frozen=True, kw_only=True):
    """A cycle of one of a badge's fixed windows."""

    window: FixedWindow
    cycle: Cycle
    status: CycleStatus
    is_customers: bool
    """Whether the window counts the earned badges of one customer."""
    earned: int | None
    """None unless requested."""
