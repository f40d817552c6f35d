"""Types of the read-only queries on customers and badges."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from cockade.badge.model import Badge, BadgeStatus, Constraint, EarnType, Expiry, OverlapPolicy
from cockade.errors import ExceededLimit
from cockade.ids import BadgeKey, CustomerId, OrgId
from cockade.limit.model import Cycle, CycleStatus, FixedWindow
from cockade.request.model import OwnerType


class BadgeType(StrEnum):
    """Kinds of badges on a customer's page."""

    AVAILABLE = "AVAILABLE"
    """Badges of earn type EARN that the customer could earn now."""
    AVAILABLE_TO_ISSUE = "AVAILABLE_TO_ISSUE"
    """Badges of earn type ISSUE_EARN that the customer could be enrolled in now."""
    EARNED = "EARNED"
    """Badges of which the customer has a valid earned badge."""
    EXPIRED = "EXPIRED"
    """Badges of which all earned badges of the customer have expired."""


class PageSort(StrEnum):
    """Sort orders of a customer's page: ranks ascending, dates descending."""

    RANK = "RANK"
    LAST_EARNED_ON_DATE = "LAST_EARNED_ON_DATE"
    LAST_EARNED_EVENT_DATE = "LAST_EARNED_EVENT_DATE"


class ListSort(StrEnum):
    """Sort orders of the management list."""

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
    """Filter of a list of badges by the earned badges and enrolments of a customer."""

    LIVE = "LIVE"
    ENDED = "ENDED"
    LIVE_OR_ENDED = "LIVE_OR_ENDED"
    NOT_ENROLLED = "NOT_ENROLLED"


class HeldBadgeStatus(StrEnum):
    """Status of an earned badge or enrolment at a point in time. Enrolments use ACTIVE instead of LIVE."""

    UPCOMING = "UPCOMING"
    LIVE = "LIVE"
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Bounds(Struct, frozen=True):
    """Half-open range of time. None means unbounded."""

    opens: datetime | None
    closes: datetime | None


class StateFilter(Struct, frozen=True, kw_only=True):
    """Filter of a list of badges. Criteria that are None do not filter."""

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
    """A badge and the state of one customer's earned badges and enrolments in it."""

    badge_key: BadgeKey
    earn_type: EarnType
    starts_at: datetime
    expires_at: datetime
    earned_expiry: Expiry
    overlap_policy: OverlapPolicy | None
    customer_constraints: list[Constraint]
    badge_constraints: list[Constraint]
    earned_count: int
    """The customer's unrevoked earned badges, including expired ones."""
    live_count: int
    """Unrevoked earned badges that are valid now."""
    next_from: datetime | None
    """The earliest event in the future."""
    last_earned_at: datetime | None
    """When the latest earned badge was recorded, with a precision of one second."""
    last_event_at: datetime | None
    """The latest event date."""
    issue_status: HeldBadgeStatus | None
    """The best status of the customer's enrolments."""


class BadgeWithState(Struct, frozen=True):
    """A list entry: the whole badge and the state of the customer in it."""

    badge: Badge
    state: CustomerBadgeState


class HeldBadge(Struct, frozen=True, kw_only=True):
    """One earned badge or enrolment of one customer."""

    customer: CustomerId
    ordinal: int
    held_badge_id: str
    recorded_at: datetime
    """With a precision of one second."""
    event_at: datetime
    valid_until: datetime
    revoked_at: datetime | None
    request_id: str | None
    owner_type: OwnerType | None
    reference_id: str | None


class RuleResult(StrEnum):
    """Result of a rule for an event of one customer."""

    PASSED = "PASSED"
    REFUSED = "REFUSED"
    NOT_EVALUATED = "NOT_ASKED"


class RuleEvaluation(Struct, frozen=True, kw_only=True):
    """One rule and its result."""

    rule: str
    """A value of `badge.rules.TermRule`, or ENROLLED, NOT_HELD, CUSTOMER_LIMIT or BADGE_LIMIT."""
    verdict: RuleResult
    message: str
    """The reason, as a sentence."""
    code: int | None = None
    """The error code, if the result is REFUSED."""
    limit: ExceededLimit | None = None
    """The usage of the limit, for the two limit rules."""
    earned_badge_id: str | None = None
    """The earned badge that conflicts, for NOT_HELD."""
    enrolment_id: str | None = None
    """The enrolment that contains the event, for ENROLLED."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a customer would or would not earn a badge."""

    event_at: datetime
    valid_until: datetime
    evaluations: list[RuleEvaluation]
    earned: list[HeldBadge]
    """Earned badges of the customer, including revoked and expired ones, newest first."""
    enrolments: list[HeldBadge]


class StateQuery(Struct, frozen=True, kw_only=True):
    """A query of an org's badges with the state of one customer at a point in time."""

    org_id: OrgId
    customer: CustomerId
    now: datetime
    filters: StateFilter
    sort: PageSort | ListSort | None = None
    """None sorts by creation date of the badge."""
    order: Order = Order.DESC
    """With RANK, DESC lists the lowest rank first."""


class WindowCycle(Struct, frozen=True, kw_only=True):
    """One cycle of a fixed window of a badge."""

    window: FixedWindow
    cycle: Cycle
    status: CycleStatus
    is_customers: bool
    """Whether the window limits the earned badges of one customer, instead of those of all customers."""
    earned: int | None
    """None if counts were not requested."""
