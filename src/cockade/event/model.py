"""Event structs. The feed and webhooks publish them in the same format, so the fields have the names of the
API.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from cockade.ids import LINE_MAX, BadgeId, BadgeKey, CustomerId, RequestKey
from cockade.outbox.model import Ledger
from cockade.request.model import Outcome, OwnerType, RequestKind

LAST_LINE = LINE_MAX
"""Sorts after all customers of a request; the line of the event of the request as a whole."""


class EventKind(StrEnum):
    EARNED = "badgeEarned"
    """A customer earned a badge."""
    ENROLLED = "badgeEnrolled"
    """A customer was enrolled in a badge."""
    REVOKED = "badgeRevoked"
    """An earned badge or an enrolment was revoked."""
    EXPIRED = "badgeExpired"
    """The validity of an earned badge ended, and it was not revoked before."""
    BATCH_COMPLETED = "badgeBatchCompleted"
    """A request for many customers was executed. Follows the events of its customers."""


class Cursor(NamedTuple):
    """A position in the feed of an org. Reading continues after it."""

    position: int
    """Position of the outbox row."""
    line: int
    """Index of the customer in the request, revocation or chunk, or LAST_LINE."""


START = Cursor(0, LAST_LINE)
"""Before the first event."""


class EventFilter(Struct, frozen=True):
    """Selects events by kind and badge."""

    kinds: frozenset[EventKind] = frozenset(EventKind)
    badge_ids: frozenset[BadgeId] | None = None
    """None: all badges."""


class ExpiryRange(Struct, frozen=True, kw_only=True):
    """A time range, inclusive at both ends. Validities that ended in it have expired."""

    event_key: RequestKey
    """Key of this expiry; the ids of its events are derived from it."""
    since: datetime
    until: datetime


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A row of the outbox: a request, chunk of a job, revocation or expiry."""

    position: int
    request_key: RequestKey
    """Key of the request. A revocation has its own."""
    kind: RequestKind | None
    """None: a revocation."""
    chunk: int | None
    """Number of the chunk of a job, or WHOLE_JOB. None if this is not a job."""
    badge_id: BadgeId | None
    """None: an import, which has a badge per row."""
    max_lines: int
    """Upper bound of the number of customers."""
    expiry_range: ExpiryRange | None = None
    """Set if the row publishes the end of validities that the request or chunk had issued."""


class Revocation(Struct, frozen=True, kw_only=True):
    """Earned badges or enrolments of one badge that were revoked together. The lists are parallel."""

    request_key: RequestKey
    at: datetime
    badge_id: BadgeId
    ledger: Ledger
    customers: list[CustomerId]
    request_keys: list[RequestKey]
    """Together with `lines`: identifies what was revoked."""
    lines: list[int]


class IssuedChunk(Struct, frozen=True, kw_only=True):
    """The result of one chunk of a job."""

    request_key: RequestKey
    """Key of the job and of its request."""
    at: datetime
    request_id: str
    badge_key: BadgeKey
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    first_line: int
    """Index of the chunk's first customer in the audience of the job."""
    customers: list[CustomerId]
    failed_lines: frozenset[int]
    """Indexes in the chunk that have no earned badge: duplicates and failures."""


class FinishedJob(Struct, frozen=True, kw_only=True):
    """A job that was completed or cancelled."""

    request_key: RequestKey
    at: datetime
    request_id: str
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    is_cancelled: bool
    lines: int
    """Size of the audience."""
    issued: int
    failures: dict[int, int]
    """Failed customers by error code. In a cancelled job, some customers were not decided."""


class ExpiredBadges(Struct, frozen=True, kw_only=True):
    """Earned badges that have expired, and what had issued them."""

    expiry_range: ExpiryRange
    source: Outcome | IssuedChunk


EventSource = Outcome | Revocation | IssuedChunk | FinishedJob | ExpiredBadges
"""Everything that events are created from."""


BadgeMetaId = Annotated[str, Meta(description="Id of the badge.", examples=["653de334b3cda7078c7c68eb"])]


class EarnedData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeEarned and badgeExpired."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    earned_badge_id: Annotated[str, Meta(description="The `issuedId` of earnBulk.")]
    earn_event_date: Annotated[float, Meta(description="Start of the validity, in epoch seconds.")]
    earn_event_date_iso: str = msgspec.field(name="earnEventDateISO")
    expires_on: Annotated[float, Meta(description="End of the validity, in epoch seconds.")]
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
    owner_type: OwnerType
    reference_id: Annotated[
        str | None, Meta(description="Reference of the owner's claim; null for an import.")
    ]
    request_id: str


class EnrolledData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeEnrolled."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    issued_id: Annotated[str, Meta(description="Id of the enrolment.")]
    issue_event_date: Annotated[float, Meta(description="Start of the enrolment, in epoch seconds.")]
    issue_event_date_iso: str = msgspec.field(name="issueEventDateISO")
    expires_on: Annotated[float, Meta(description="End of the enrolment, in epoch seconds.")]
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
    owner_type: OwnerType
    reference_id: str
    request_id: str


class RevokedData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeRevoked."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    earned_badge_id: Annotated[
        str | None, Meta(description="The revoked earned badge; null if an enrolment was revoked.")
    ]
    issued_id: Annotated[
        str | None, Meta(description="The revoked enrolment; null if an earned badge was revoked.")
    ]
    revoked_on: Annotated[float, Meta(description="Time of the revocation, in epoch seconds.")]
    revoked_on_iso: str = msgspec.field(name="revokedOnISO")


class FailureCount(Struct, frozen=True, kw_only=True, rename="camel"):
    """Number of customers that failed with one error code."""

    error_code: int
    count: int


class BatchState(StrEnum):
    """Final state of a request for many customers."""

    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    """A job that was cancelled; its remaining customers were not decided."""


class BatchData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeBatchCompleted."""

    request_id: str
    request_kind: RequestKind
    badge_meta_id: Annotated[
        str | None, Meta(description="Null for an import, because each row has its own badge.")
    ]
    owner_type: OwnerType
    reference_id: Annotated[
        str | None, Meta(description="Reference of the owner's claim; null for an import.")
    ]
    state: Annotated[BatchState, Meta(description="`CANCELLED` for a cancelled job, otherwise `COMPLETED`.")]
    total_count: Annotated[int, Meta(description="Number of distinct customers, or of rows of an import.")]
    earned_count: Annotated[
        int, Meta(description="Number of customers that earned the badge or were enrolled.")
    ]
    failed_count: int
    failures: Annotated[list[FailureCount], Meta(description="Failed customers, by error code.")]


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all events. The field `type` identifies the kind."""

    id: Annotated[
        str,
        Meta(
            description="24 hex digits; the same in the feed and in every delivery.",
            examples=["661681a535bc684e9e72553a"],
        ),
    ]
    timestamp: Annotated[
        str, Meta(description="Time of the event, ISO 8601.", examples=["2026-11-25T20:15:00Z"])
    ]

    @property
    def kind(self) -> EventKind:
        """Kind of the event."""
        return EventKind(str(self.__struct_config__.tag))


class BadgeEarned(Event, frozen=True, kw_only=True, tag=EventKind.EARNED.value):
    """A customer earned a badge."""

    data: EarnedData


class BadgeEnrolled(Event, frozen=True, kw_only=True, tag=EventKind.ENROLLED.value):
    """A customer was enrolled in a badge."""

    data: EnrolledData


class BadgeRevoked(Event, frozen=True, kw_only=True, tag=EventKind.REVOKED.value):
    """An earned badge or an enrolment was revoked."""

    data: RevokedData


class BadgeExpired(Event, frozen=True, kw_only=True, tag=EventKind.EXPIRED.value):
    """The validity of an earned badge has ended."""

    data: EarnedData


class BadgeBatchCompleted(Event, frozen=True, kw_only=True, tag=EventKind.BATCH_COMPLETED.value):
    """A request for many customers was executed."""

    data: BatchData


AnyEvent = BadgeEarned | BadgeEnrolled | BadgeRevoked | BadgeExpired | BadgeBatchCompleted


class FeedEntry(NamedTuple):
    """An event and its position in the feed."""

    cursor: Cursor
    event: AnyEvent


class FeedPage(NamedTuple):
    """One page of the feed."""

    entries: list[FeedEntry]
    end: Cursor
    """Position up to which the page was read. There may be no matching events after the last entry."""
    has_more: bool
    """Whether there were more outbox rows or events at the time of reading."""
