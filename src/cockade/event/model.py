"""Events. The feed and webhooks use the same format, so these structs have the API's field names."""

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
"""The line of an event about the whole request: after all lines of its customers."""


class EventKind(StrEnum):
    """The types of events."""

    EARNED = "badgeEarned"
    """A customer earned a badge."""
    ENROLLED = "badgeEnrolled"
    """A customer was enrolled in a badge."""
    REVOKED = "badgeRevoked"
    """An earned badge or an enrolment was revoked."""
    EXPIRED = "badgeExpired"
    """The validity of an earned badge ended without a revocation."""
    BATCH_COMPLETED = "badgeBatchCompleted"
    """A request with many customers was completed. It follows the events of its customers."""


class Cursor(NamedTuple):
    """A position in the feed of an org. Everything up to and including it comes before the events after it."""

    position: int
    """Position of the request, revocation or expiry."""
    line: int
    """Index of the customer in it, or LAST_LINE."""


START = Cursor(0, LAST_LINE)
"""Before all events."""


class EventFilter(Struct, frozen=True):
    """Selects events."""

    kinds: frozenset[EventKind] = frozenset(EventKind)
    badge_ids: frozenset[BadgeId] | None = None
    """None: all badges."""


class ExpiryRange(Struct, frozen=True, kw_only=True):
    """A time range, both ends included. Its event reports the validities that ended in it."""

    event_key: RequestKey
    """A key of its own, from which event ids are derived."""
    since: datetime
    until: datetime


class OutboxRow(Struct, frozen=True, kw_only=True):
    """A row of the outbox: the request, revocation or expiry that events are derived from."""

    position: int
    request_key: RequestKey
    """The key of the request, or the revocation's own key."""
    kind: RequestKind | None
    """None for a revocation."""
    part: int | None
    """For a job: the number of the chunk, or WHOLE_JOB."""
    badge_id: BadgeId | None
    """None for an import, whose lines each have a badge."""
    lines_max: int
    """Maximum number of customers."""
    end: ExpiryRange | None = None
    """If set, the events report which validities of the request or chunk ended."""


class Revocation(Struct, frozen=True, kw_only=True):
    """The issuances of one badge that were revoked at one time. The lists are parallel."""

    request_key: RequestKey
    at: datetime
    badge_id: BadgeId
    ledger: Ledger
    customers: list[CustomerId]
    request_keys: list[RequestKey]
    """With the lines: which issuances were revoked."""
    lines: list[int]


class IssuedChunk(Struct, frozen=True, kw_only=True):
    """A chunk of a job after its decision."""

    request_key: RequestKey
    """Key of the job and of its request."""
    at: datetime
    request_id: str
    badge_key: BadgeKey
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    first_line: int
    """Index of its first customer in the job's audience."""
    customers: list[CustomerId]
    refused: frozenset[int]
    """Lines that earned nothing."""


class FinishedJob(Struct, frozen=True, kw_only=True):
    """A completed or cancelled job."""

    request_key: RequestKey
    at: datetime
    request_id: str
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    is_cancelled: bool
    lines: int
    """Lines of its audience."""
    issued: int
    failures: dict[int, int]
    """Number of failed lines by code. Some lines of a cancelled job were not processed."""


class ExpiredBadges(Struct, frozen=True, kw_only=True):
    """Validities of issued badges that have ended."""

    end: ExpiryRange
    of: Outcome | IssuedChunk


EventSource = Outcome | Revocation | IssuedChunk | FinishedJob | ExpiredBadges
"""Everything that events are derived from."""


BadgeMetaId = Annotated[str, Meta(description="Badge id.", examples=["653de334b3cda7078c7c68eb"])]


class EarnedData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeEarned and badgeExpired."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    earned_badge_id: Annotated[str, Meta(description="The `issuedId` of earnBulk.")]
    earn_event_date: Annotated[float, Meta(description="Start of the validity, in epoch seconds.")]
    earn_event_date_iso: str = msgspec.field(name="earnEventDateISO")
    expires_on: Annotated[float, Meta(description="End of the validity (exclusive), in epoch seconds.")]
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
    owner_type: OwnerType
    reference_id: Annotated[
        str | None, Meta(description="Reference id of the owner's claim; null for an import.")
    ]
    request_id: str


class EnrolledData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeEnrolled."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    issued_id: Annotated[str, Meta(description="Enrolment id.")]
    issue_event_date: Annotated[
        float, Meta(description="Time from which the customer can earn the badge, in epoch seconds.")
    ]
    issue_event_date_iso: str = msgspec.field(name="issueEventDateISO")
    expires_on: Annotated[
        float, Meta(description="Time until which the customer can earn it (exclusive), in epoch seconds.")
    ]
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
    owner_type: OwnerType
    reference_id: str
    request_id: str


class RevokedData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeRevoked."""

    customer_id: int
    badge_meta_id: BadgeMetaId
    earned_badge_id: Annotated[
        str | None, Meta(description="The revoked earned badge, or null for an enrolment.")
    ]
    issued_id: Annotated[str | None, Meta(description="The revoked enrolment, or null.")]
    revoked_on: Annotated[float, Meta(description="Time of the revocation, in epoch seconds.")]
    revoked_on_iso: str = msgspec.field(name="revokedOnISO")


class FailureCount(Struct, frozen=True, kw_only=True, rename="camel"):
    """The number of customers that failed for one reason."""

    error_code: int
    count: int


class BatchState(StrEnum):
    """The final state of a request with many customers."""

    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    """A cancelled job. Its remaining lines are not processed."""


class BatchData(Struct, frozen=True, kw_only=True, rename="camel"):
    """Data of badgeBatchCompleted."""

    request_id: str
    request_kind: RequestKind
    badge_meta_id: Annotated[
        str | None, Meta(description="Badge id; null for an import, which has a badge per row.")
    ]
    owner_type: OwnerType
    reference_id: Annotated[
        str | None, Meta(description="Reference id of the owner's claim; null for an import.")
    ]
    state: Annotated[BatchState, Meta(description="`COMPLETED`, or `CANCELLED` for a cancelled job.")]
    total_count: Annotated[int, Meta(description="Number of distinct customers, or rows of an import.")]
    earned_count: Annotated[
        int, Meta(description="Number of customers that earned the badge or were enrolled.")
    ]
    failed_count: int
    failures: Annotated[list[FailureCount], Meta(description="Number of other customers, by error code.")]


class Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    """An event. Each type is a struct of its own; its `type` field tells them apart."""

    id: Annotated[
        str,
        Meta(
            description="24 hex digits. The id is the same in every delivery and every read.",
            examples=["661681a535bc684e9e72553a"],
        ),
    ]
    timestamp: Annotated[
        str, Meta(description="Time of the event, ISO 8601.", examples=["2026-11-25T20:15:00Z"])
    ]

    @property
    def kind(self) -> EventKind:
        """The event's type."""
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
    """A request with many customers was completed."""

    data: BatchData


AnyEvent = BadgeEarned | BadgeEnrolled | BadgeRevoked | BadgeExpired | BadgeBatchCompleted


class FeedEntry(NamedTuple):
    """An event and its position in the feed."""

    cursor: Cursor
    event: AnyEvent


class FeedPage(NamedTuple):
    """A page of the feed."""

    entries: list[FeedEntry]
    end: Cursor
    """The position up to which the feed was read. There may be no matching event between the last entry and
    it.
    """
    has_more: bool
    """Whether there was more to read."""
