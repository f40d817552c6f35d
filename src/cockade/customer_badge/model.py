"""What is read of customers and badges."""

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
    """Which badges a customer's page shows."""

    AVAILABLE = "AVAILABLE"
    """Direct badges that she could earn now."""
    AVAILABLE_TO_ISSUE = "AVAILABLE_TO_ISSUE"
    """Badges that she could be enrolled in now."""
    EARNED = "EARNED"
    """Badges of which she has one that is valid now."""
    EXPIRED = "EXPIRED"
    """Badges of which all that she had has ended."""


class PageSort(StrEnum):
    """The orders of a customer's page: ranks ascending, dates with the latest first."""

    RANK = "RANK"
    LAST_EARNED_ON_DATE = "LAST_EARNED_ON_DATE"
    LAST_EARNED_EVENT_DATE = "LAST_EARNED_EVENT_DATE"


class ListSort(StrEnum):
    """The orders of an operator's list."""

    EXPIRES_ON = "EXPIRES_ON"
    LAST_MODIFIED_DATE = "LAST_MODIFIED_DATE"
    LAST_ISSUED_DATE = "LAST_ISSUED_DATE"
    LAST_EXPIRED_BADGE = "LAST_EXPIRED_BADGE"
    LAST_EARNED_ON_DATE = "LAST_EARNED_ON_DATE"
    LAST_EARNED_EVENT_DATE = "LAST_EARNED_EVENT_DATE"


class Order(StrEnum):
    """Which end comes first."""

    ASC = "ASC"
    DESC = "DESC"


class HeldFilter(StrEnum):
    """What a customer must have of a badge to see it in a list."""

    LIVE = "LIVE"
    ENDED = "ENDED"
    LIVE_OR_ENDED = "LIVE_OR_ENDED"
    NOT_ENROLLED = "NOT_ENROLLED"


class HeldBadgeStatus(StrEnum):
    """An earned badge or enrolment as of an instant; `ACTIVE` is an enrolment's word for `LIVE`."""

    UPCOMING = "UPCOMING"
    LIVE = "LIVE"
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Bounds(Struct, frozen=True):
    """A range of instants, half open; None leaves an end open."""

    opens: datetime | None
    closes: datetime | None


class StateFilter(Struct, frozen=True, kw_only=True):
    """Which badges a list shows; None leaves a criterion out."""

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
    """A badge with what one customer has of it."""

    badge_key: BadgeKey
    earn_type: EarnType
    starts_at: datetime
    expires_at: datetime
    earned_expiry: Expiry
    overlap_policy: OverlapPolicy | None
    customer_constraints: list[Constraint]
    badge_constraints: list[Constraint]
    earned_count: int
    """Her unrevoked earned badges of the kind."""
    live_count: int
    """Those of them that are valid now."""
    next_from: datetime | None
    """The earliest event that is still ahead."""
    last_earned_at: datetime | None
    """When the last of them was recorded, to the second."""
    last_event_at: datetime | None
    """The latest event date among them."""
    issue_status: HeldBadgeStatus | None
    """The best that her enrolments are."""


class BadgeWithState(Struct, frozen=True):
    """A row of a list: the whole badge, and what the customer has of it."""

    badge: Badge
    state: CustomerBadgeState


class HeldBadge(Struct, frozen=True, kw_only=True):
    """One earned badge, or one enrolment, of one customer."""

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
    """What a rule says of one customer's event."""

    PASSED = "PASSED"
    REFUSED = "REFUSED"
    NOT_ASKED = "NOT_ASKED"


class RuleEvaluation(Struct, frozen=True, kw_only=True):
    """One rule with its verdict."""

    rule: str
    """ACTIVE, OWNER_ALLOWED, … of `badge.rules.TermRule`, ENROLLED, NOT_HELD, CUSTOMER_LIMIT or BADGE_LIMIT."""
    verdict: RuleResult
    message: str
    """A sentence that says what was found."""
    code: int | None = None
    """The contract's, where it refuses."""
    limit: ExceededLimit | None = None
    """Of a limit: how much of it is used."""
    earned_badge_id: str | None = None
    """The one that stands in the way."""
    enrolment_id: str | None = None
    """The one that holds the event."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a customer would earn a badge, or why not."""

    event_at: datetime
    valid_until: datetime
    evaluations: list[RuleEvaluation]
    earned: list[HeldBadge]
    """What she ever had of it, the newest first."""
    enrolments: list[HeldBadge]


class WindowCycle(Struct, frozen=True, kw_only=True):
    """A cycle of one of a badge's fixed windows."""

    window: FixedWindow
    cycle: Cycle
    status: CycleStatus
    is_customers: bool
    """Whether the window counts one customer's earned badges, not all of the badge's."""
    earned: int | None
    """Where it was asked for."""
