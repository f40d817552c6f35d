"""What a request was and what became of it."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum

from msgspec import Struct

from cockade.errors import ExceededLimit, FieldError
from cockade.ids import BadgeId, BadgeKey, CustomerId, RequestKey


class OwnerType(StrEnum):
    """The modules that issue badges, each on its own behalf; a badge names those that may use it."""

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
    """The calls that a request id can be used for."""

    EARN_BULK = "EARN_BULK"
    EARN = "EARN"
    ISSUE_BULK = "ISSUE_BULK"
    """Enrolling."""
    IMPORT = "IMPORT"
    JOB = "JOB"
    """A job, whose audience came as a file."""


class EarnedStatus(StrEnum):
    """An instant against the validity `[valid_from, valid_until)` of an earned badge."""

    UPCOMING = "UPCOMING"
    """Its earn event is still ahead."""
    LIVE = "LIVE"
    """Valid now."""
    EXPIRED = "EXPIRED"
    """Its validity has ended."""


class FailureReason(IntEnum):
    """Why one customer was refused, by the contract's code, in order of precedence: the first that applies is told."""

    NOT_ENROLLED = 811
    """An ISSUE_EARN badge, and the customer has no enrolment whose window holds the event."""
    ALREADY_HELD = 1040
    """An earned badge of hers would be valid at the same time, and the badge allows only one; or an enrolment is."""
    CUSTOMER_LIMIT = 817
    """One of the badge's limits per customer."""
    BADGE_LIMIT = 818
    """One of the limits of the badge as a whole."""


class IssueCommand(Struct, frozen=True, kw_only=True):
    """One call that issues a badge to many customers, or enrols them in it."""

    request_id: str
    badge_id: BadgeId | None
    """None where the caller sent what cannot be a badge id."""
    customers: list[CustomerId]
    """Distinct, in the order sent."""
    event_at: datetime | None
    """When the customers did what earned it, or enrols them; None means now."""
    owner_type: OwnerType
    reference_id: str


class CustomerFailure(Struct, frozen=True, array_like=True, gc=False):
    """Why the customer at one place of the audience did not earn."""

    line: int
    """Her place in the audience, from 0."""
    reason: FailureReason
    conflicting_id: str | None = None
    """On ALREADY_HELD the earned badge (or enrolment) that stands in the way: the one whose validity ends last."""
    conflicting_status: EarnedStatus | None = None
    """What that earned badge was when it was decided."""
    exceeded: ExceededLimit | None = None
    """On CUSTOMER_LIMIT and BADGE_LIMIT: which."""


class RequestOutcome(Struct, frozen=True, kw_only=True):
    """What a request did: its whole memory, from which its answer can be given again."""

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
    """The instant that statuses were judged by."""
    customer_ids: list[CustomerId]
    """Distinct customers in the order sent."""
    failures: list[CustomerFailure]
    """By line; whoever is not among them has earned."""
    enrolment_id: str | None = None
    """Of an EARN: the enrolment that it was earned through."""
    is_dry_run: bool = False
    """Whether it is what would have become of it: nothing was written, and the request key is none."""


class RowFailure(Struct, frozen=True, array_like=True):
    """Why one row of an import was not taken."""

    line: int
    """Its place in the batch, from 0."""
    field_errors: list[FieldError]


class ImportOutcome(Struct, frozen=True, kw_only=True):
    """What an import did, row by row: the lists run side by side, and what a refused row holds means nothing."""

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
    """A request whose outcome the job of the same key tells."""

    request_key: RequestKey


Outcome = RequestOutcome | ImportOutcome
