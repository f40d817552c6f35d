"""What an event is. It is told alike in the feed and to webhooks, so these structs are spelt as on the wire."""

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
"""Behind all lines of a request: the event of the request as a whole."""


class EventKind(StrEnum):
    """The kinds of events."""

    EARNED = "badgeEarned"
    """A customer earned a badge."""
    ENROLLED = "badgeEnrolled"
    """A customer was enrolled in a badge."""
    REVOKED = "badgeRevoked"
    """An earned badge or an enrolment was taken back."""
    EXPIRED = "badgeExpired"
    """The validity of an earned badge has ended, and it had not been taken back."""
    BATCH_COMPLETED = "badgeBatchCompleted"
    """A request of many customers was carried out; it comes behind the events of its customers."""


class Cursor(NamedTuple):
    """A place in the feed of an org. Everything up to it, itself included, comes before what is behind it."""

    position: int
    """Of the request, revocation or end."""
    line: int
    """The customer's place in it, or LAST_LINE."""


START = Cursor(0, LAST_LINE)
"""Before everything."""


class EventFilter(Struct, frozen=True):
    """Which events somebody wants."""

    kinds: frozenset[EventKind] = frozenset(EventKind)
    badge_ids: frozenset[BadgeId] | None = None
    """None: of all badges."""


class ExpiryRange(Struct, frozen=True, kw_only=True):
    """A span of time, both instants included, and what is told of the validities that ended in it."""

    event_key: RequestKey
    """Of its own, from which ids of events are made."""
    since: datetime
    until: datetime


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A row of the outbox: the request, revocation or end that events are told of."""

    position: int
    request_key: RequestKey
    """The request's; a revocation has one of its own."""
    kind: RequestKind | None
    """None: a revocation."""
    part: int | None
    """Of a job: the number of the chunk, or WHOLE."""
    badge_id: BadgeId | None
    """None: an import, of which each line has a badge of its own."""
    lines_max: int
    """It has so many customers at most."""
    end: ExpiryRange | None = None
    """It is told which validities have ended, of what the request or the part of it had issued."""


class Revocation(Struct, frozen=True, kw_only=True):
    """What was revoked of one badge at one time; the lists run side by side."""

    request_key: RequestKey
    at: datetime
    badge_id: BadgeId
    ledger: Ledger
    customers: list[CustomerId]
    request_keys: list[RequestKey]
    """With the lines: what was revoked."""
    lines: list[int]


class IssuedChunk(Struct, frozen=True, kw_only=True):
    """What was decided of a job at one time."""

    request_key: RequestKey
    """The job's, and its request's."""
    at: datetime
    request_id: str
    badge_key: BadgeKey
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    first_line: int
    """Where its first customer stands in the audience of the job."""
    customers: list[CustomerId]
    refused: frozenset[int]
    """Lines of the part that earned nothing."""


class FinishedJob(Struct, frozen=True, kw_only=True):
    """A job that is completed, or was cancelled."""

    request_key: RequestKey
    at: datetime
    request_id: str
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    is_cancelled: bool
    lines: int
    """In its audience."""
    issued: int
    failures: dict[int, int]
    """How many of them earned nothing, by code; of a cancelled job some were not decided."""


class ExpiredBadges(Struct, frozen=True, kw_only=True):
    """That some of what was issued has ended."""

    end: ExpiryRange
    of: Outcome | IssuedChunk


EventSource = Outcome | Revocation | IssuedChunk | FinishedJob | ExpiredBadges
"""All that events are told of."""


BadgeMetaId = Annotated[str, Meta(description="The badge's id.", examples=["653de334b3cda7078c7c68eb"])]


class EarnedData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of badgeEarned and badgeExpired."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    earned_badge_id: Annotated[str, Meta(description="The `issuedId` of earnBulk.")]
    earn_event_date: Annotated[float, Meta(description="From when it is valid, in epoch seconds.")]
    earn_event_date_iso: str = msgspec.field(name="earnEventDateISO")
    expires_on: Annotated[float, Meta(description="Until when.")]
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
    owner_type: OwnerType
    reference_id: Annotated[str | None, Meta(description="Of the owner's claim; null for an import.")]
    request_id: str


class EnrolledData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of badgeEnrolled."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    issued_id: Annotated[str, Meta(description="The enrolment's id.")]
    issue_event_date: Annotated[float, Meta(description="From when she may earn it, in epoch seconds.")]
    issue_event_date_iso: str = msgspec.field(name="issueEventDateISO")
    expires_on: Annotated[float, Meta(description="Until when.")]
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
    owner_type: OwnerType
    reference_id: str
    request_id: str


class RevokedData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of badgeRevoked."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    earned_badge_id: Annotated[str | None, Meta(description="What was taken back; null if an enrolment was.")]
    issued_id: Annotated[str | None, Meta(description="The enrolment that was taken back, or null.")]
    revoked_on: Annotated[float, Meta(description="Epoch seconds.")]
    revoked_on_iso: str = msgspec.field(name="revokedOnISO")


class FailureCount(Struct, frozen=True, kw_only=True, rename="camel"):
    """How many customers were refused for one reason."""

    error_code: int
    count: int


class BatchState(StrEnum):
    """How a request of many customers ended."""

    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    """A job, whose other lines are not decided."""


class BatchData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Of badgeBatchCompleted."""

    request_id: str
    request_kind: RequestKind
    badge_meta_id: Annotated[str | None, Meta(description="Null for an import, which has a badge per row.")]
    owner_type: OwnerType
    reference_id: Annotated[str | None, Meta(description="Of the owner's claim; null for an import.")]
    state: Annotated[BatchState, Meta(description="`CANCELLED` of a job that was; else `COMPLETED`.")]
    total_count: Annotated[int, Meta(description="Distinct customers, or rows of an import.")]
    earned_count: Annotated[int, Meta(description="Those who earned, or were enrolled.")]
    failed_count: int
    failures: Annotated[list[FailureCount], Meta(description="Those who did not, by error code.")]


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened, as it is told; each kind is a struct of its own, which its `type` tells."""

    id: Annotated[
        str,
        Meta(
            description="24 hex digits; the same wherever and however often it is told.",
            examples=["661681a535bc684e9e72553a"],
        ),
    ]
    timestamp: Annotated[
        str, Meta(description="When it happened, ISO 8601.", examples=["2026-11-25T20:15:00Z"])
    ]

    @property
    def kind(self) -> EventKind:
        """Of which kind it is."""
        return EventKind(str(self.__struct_config__.tag))


class BadgeEarned(Event, frozen=True, kw_only=True, tag=EventKind.EARNED.value):
    """A customer earned a badge."""

    data: EarnedData


class BadgeEnrolled(Event, frozen=True, kw_only=True, tag=EventKind.ENROLLED.value):
    """A customer was enrolled in a badge."""

    data: EnrolledData


class BadgeRevoked(Event, frozen=True, kw_only=True, tag=EventKind.REVOKED.value):
    """An earned badge or an enrolment was taken back."""

    data: RevokedData


class BadgeExpired(Event, frozen=True, kw_only=True, tag=EventKind.EXPIRED.value):
    """The validity of an earned badge has ended."""

    data: EarnedData


class BadgeBatchCompleted(Event, frozen=True, kw_only=True, tag=EventKind.BATCH_COMPLETED.value):
    """A request of many customers was carried out."""

    data: BatchData


AnyEvent = BadgeEarned | BadgeEnrolled | BadgeRevoked | BadgeExpired | BadgeBatchCompleted


class FeedEntry(NamedTuple):
    """An event and its place in the feed."""

    cursor: Cursor
    event: AnyEvent


class FeedPage(NamedTuple):
    """A stretch of the feed."""

    entries: list[FeedEntry]
    end: Cursor
    """Read up to here; there may be nothing that is wanted between the last entry and this."""
    has_more: bool
    """Whether there was more when it was read."""
