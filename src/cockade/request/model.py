"""Requests and their outcomes."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum

from msgspec import Struct

from cockade.errors import ExceededLimit, FieldError
from cockade.ids import BadgeId, BadgeKey, CustomerId, RequestKey


class OwnerType(StrEnum):
    """The modules on whose behalf badges are issued. A badge lists those that may use it."""

    LOYALTY = "Loyalty"
    LOYALTY_PROMOTION = "Loyalty_Promotion"
    REFERRAL_CAMPAIGNS = "Referral_Campaigns"
    JOURNEYS = "Journeys"
    AUDIENCE_CAMPAIGNS = "Audience_Campaigns"
    REWARDS_CATALOG = "Rewards_Catalog"
    GOODWILL_MODULE = "Goodwill_Module"
    MILESTONES = "Milestones"
    HISTORICAL_IMPORT = "Historical_Import"


class RequestKind(StrEnum):
    """The kinds of requests that have a request id."""

    EARN_BULK = "EARN_BULK"
    EARN = "EARN"
    ISSUE_BULK = "ISSUE_BULK"
    """Enrols customers."""
    IMPORT = "IMPORT"
    JOB = "JOB"
    """A job with an uploaded audience."""


class EarnedStatus(StrEnum):
    """The status of an earned badge with the validity `[valid_from, valid_until)`."""

    UPCOMING = "UPCOMING"
    """The earn event is in the future."""
    LIVE = "LIVE"
    """Valid now."""
    EXPIRED = "EXPIRED"
    """The validity has ended."""


class FailureReason(IntEnum):
    """Why a customer failed, by the contract's code. In order of precedence: the first that applies is
    reported.
    """

    NOT_ENROLLED = 811
    """The badge has earn type ISSUE_EARN, and no enrolment of the customer contains the event."""
    ALREADY_HELD = 1040
    """The customer has a valid earned badge and the badge allows only one; for enrolments: an active
    enrolment.
    """
    CUSTOMER_LIMIT = 817
    """A limit per customer is reached."""
    BADGE_LIMIT = 818
    """A limit of the badge as a whole is reached."""


class IssueCommand(Struct, frozen=True, kw_only=True):
    """A request to issue a badge to customers, or to enrol them."""

    request_id: str
    badge_id: BadgeId | None
    """None if the value sent is not a valid badge id."""
    customers: list[CustomerId]
    """Distinct, in the order sent."""
    event_at: datetime | None
    """The date of the earn event. None: now."""
    owner_type: OwnerType
    reference_id: str


class CustomerFailure(Struct, frozen=True, array_like=True, gc=False):
    """A customer who did not earn."""

    line: int
    """Index in the request, from 0."""
    reason: FailureReason
    conflicting_id: str | None = None
    """On ALREADY_HELD the conflicting earned badge or enrolment that ends last."""
    conflicting_status: EarnedStatus | None = None
    """Its status when the request was decided."""
    exceeded: ExceededLimit | None = None
    """The limit, on CUSTOMER_LIMIT and BADGE_LIMIT."""


class RequestOutcome(Struct, frozen=True, kw_only=True):
    """The outcome of a request, from which its response can be built at any time."""

    request_id: str
    request_key: RequestKey
    kind: RequestKind
    badge_key: BadgeKey
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    event_at: datetime
    valid_until: datetime
    completed_at: datetime
    """The instant that statuses refer to."""
    customer_ids: list[CustomerId]
    """Distinct, in the order sent."""
    failures: list[CustomerFailure]
    """By line. All other customers earned."""
    enrolment_id: str | None = None
    """For kind EARN: the enrolment it was earned through."""
    is_dry_run: bool = False
    """Whether nothing was written. The request key is not valid then."""


class RowFailure(Struct, frozen=True, array_like=True):
    """A row of an import that failed."""

    line: int
    """Index in the import, from 0."""
    field_errors: list[FieldError]


class ImportOutcome(Struct, frozen=True, kw_only=True):
    """The outcome of an import. The lists are parallel, by line; values of failed rows have no meaning."""

    request_id: str
    request_key: RequestKey
    completed_at: datetime
    badge_keys: list[BadgeKey]
    badge_ids: list[BadgeId]
    customer_ids: list[CustomerId]
    valid_untils: list[datetime]
    failures: list[RowFailure]
    """By line."""


class JobReference(Struct, frozen=True, kw_only=True):
    """A request that is a job; the job with the same key has the outcome."""

    request_key: RequestKey


Outcome = RequestOutcome | ImportOutcome
