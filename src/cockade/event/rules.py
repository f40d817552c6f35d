"""Pure rules for events (`docs/reference/api/events.md`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice

from cockade import ids, times
from cockade.event.model import (
    LAST_LINE,
    AnyEvent,
    BadgeBatchCompleted,
    BadgeEarned,
    BadgeEnrolled,
    BadgeExpired,
    BadgeRevoked,
    BatchData,
    BatchState,
    Cursor,
    EarnedData,
    EnrolledData,
    EventFilter,
    EventKind,
    EventSource,
    ExpiredBadges,
    FailureCount,
    FinishedJob,
    IssuedChunk,
    OutboxRow,
    Revocation,
    RevokedData,
)
from cockade.ids import BadgeKey, CustomerId
from cockade.outbox.model import WHOLE_JOB, Ledger
from cockade.request.model import ImportOutcome, Outcome, OwnerType, RequestKind, RequestOutcome

KINDS: dict[RequestKind | None, tuple[EventKind | None, EventKind | None]] = {
    RequestKind.EARN: (EventKind.EARNED, None),
    RequestKind.EARN_BULK: (EventKind.EARNED, EventKind.BATCH_COMPLETED),
    RequestKind.ISSUE_BULK: (EventKind.ENROLLED, EventKind.BATCH_COMPLETED),
    RequestKind.IMPORT: (EventKind.EARNED, EventKind.BATCH_COMPLETED),
    RequestKind.JOB: (EventKind.EARNED, EventKind.BATCH_COMPLETED),
    None: (EventKind.REVOKED, None),
}
"""For each kind of request: the event type per customer, and the event type of the whole request."""
ENDED: tuple[EventKind | None, EventKind | None] = (EventKind.EXPIRED, None)
"""The same, for the expiry of what a request issued."""

ERASED_CUSTOMER = CustomerId(0)
"""Replaces an erased customer, who gets no events."""
_PLACE_CHARS = 24
Validity = tuple[datetime, datetime]
InLedger = tuple[BadgeKey, CustomerId, int]
"""Badge, customer and line of an issuance."""


def encode_cursor(place: Cursor) -> str:
    """Encode a cursor for API clients."""
    return f"{place.position:016x}{place.line:08x}"


def decode_cursor(text: str) -> Cursor | None:
    """Decode a cursor, or return None if `encode_cursor` did not produce the text."""
    if len(text) != _PLACE_CHARS or ids.read_id(text) != text:
        return None
    place = Cursor(int(text[:16], 16), int(text[16:], 16))
    return place if place.position < 2**63 and place.line <= LAST_LINE else None


def are_lines_wanted(source: OutboxRow, wanted: EventFilter) -> bool:
    """Whether events of its customers may match the filter."""
    return source.part != WHOLE_JOB and _kinds(source)[0] in wanted.kinds and _may_be_of(source, wanted)


def is_whole_wanted(source: OutboxRow, wanted: EventFilter) -> bool:
    """Whether the event of the whole request may match the filter."""
    return (
        source.part in (None, WHOLE_JOB) and _kinds(source)[1] in wanted.kinds and _may_be_of(source, wanted)
    )


def _kinds(source: OutboxRow) -> tuple[EventKind | None, EventKind | None]:
    return KINDS[source.kind] if source.end is None else ENDED


def _may_be_of(source: OutboxRow, wanted: EventFilter) -> bool:
    return wanted.badge_ids is None or source.badge_id is None or source.badge_id in wanted.badge_ids


def nearest(sources: Sequence[OutboxRow], wanted: EventFilter, lines_max: int) -> list[OutboxRow]:
    """Return the first sources with matching events: at most `lines_max` lines in total, but at least one
    source.
    """
    near: list[OutboxRow] = []
    lines = 0
    for source in sources:
        if are_lines_wanted(source, wanted) or is_whole_wanted(source, wanted):
            lines += source.lines_max
            if near and lines > lines_max:
                break
            near.append(source)
    return near


def told_lines(told: EventSource, begin: int, count: int, wanted: EventFilter) -> list[int]:
    """Return the first `count` lines from `begin` that have a matching event, as far as known without reading
    issuances.
    """
    customers, refused = _audience(told)
    of = told.of if isinstance(told, ExpiredBadges) else told
    badge_ids = of.badge_ids if isinstance(of, ImportOutcome) and wanted.badge_ids is not None else None
    lines = (
        line
        for line in range(begin, len(customers))
        if line not in refused
        and customers[line] != ERASED_CUSTOMER
        and (badge_ids is None or badge_ids[line] in (wanted.badge_ids or ()))
        and not (isinstance(told, ExpiredBadges) and _ends_elsewhere(told, line))
    )
    return list(islice(lines, count))


def _ends_elsewhere(told: ExpiredBadges, line: int) -> bool:
    """Whether the line's validity is known to end outside the range."""
    of, end = told.of, told.end
    return isinstance(of, ImportOutcome) and not end.since <= of.valid_untils[line] <= end.until


def _audience(told: EventSource) -> tuple[list[CustomerId], Collection[int]]:
    """Return the customers, and the lines that earned nothing."""
    match told:
        case RequestOutcome():
            return told.customer_ids, {refusal.line for refusal in told.failures}
        case ImportOutcome():
            return told.customer_ids, {refusal.line for refusal in told.failures}
        case IssuedChunk():
            return told.customers, told.refused
        case Revocation():
            return told.customers, ()
        case FinishedJob():
            return [], ()
        case ExpiredBadges():
            return _audience(told.of)


def in_ledger(told: Outcome | IssuedChunk, lines: Sequence[int]) -> list[InLedger]:
    """Return badge, customer and line of these lines' issuances."""
    match told:
        case IssuedChunk():
            return [(told.badge_key, told.customers[line], told.first_line + line) for line in lines]
        case RequestOutcome():
            return [(told.badge_key, told.customer_ids[line], line) for line in lines]
        case ImportOutcome():
            return [(told.badge_keys[line], told.customer_ids[line], line) for line in lines]


def line_event(told: RequestOutcome | Revocation, line: int) -> AnyEvent:
    """Return the event of this line."""
    match told:
        case RequestOutcome(kind=RequestKind.ISSUE_BULK):
            return _enrolled(told, line)
        case RequestOutcome():
            return read_event(told, line, (told.event_at, told.valid_until))
        case Revocation():
            return _revoked(told, line)


def read_event(told: Outcome | IssuedChunk, line: int, validity: Validity) -> BadgeEarned:
    """Return the badgeEarned event of this line. A validity that the source does not know comes from the
    issuance.
    """
    return BadgeEarned(**_head(told, line), data=_earned_data(told, line, validity))


def ended_event(told: ExpiredBadges, line: int, validity: Validity) -> BadgeExpired:
    """Return the badgeExpired event of this line. Its time is the end of the validity, however late it is
    reported.
    """
    return BadgeExpired(
        id=ids.earned_badge_id(told.end.event_key, _line(told.of, line)),
        timestamp=times.iso(validity[1]),
        data=_earned_data(told.of, line, validity),
    )


def whole_event(told: Outcome | FinishedJob) -> BadgeBatchCompleted:
    """Return the event of the whole request."""
    state, undecided = BatchState.COMPLETED, 0  # some lines of a cancelled job are neither issued nor failed
    match told:
        case RequestOutcome():
            total, codes = len(told.customer_ids), Counter(int(refusal.reason) for refusal in told.failures)
            kind, badge_id, owner_type, reference_id = (
                told.kind,
                told.badge_id,
                told.owner_type,
                told.reference_id,
            )
        case ImportOutcome():
            total, codes = (
                len(told.customer_ids),
                Counter(refusal.field_errors[0].code for refusal in told.failures),
            )
            kind, badge_id, owner_type, reference_id = (
                RequestKind.IMPORT,
                None,
                OwnerType.HISTORICAL_IMPORT,
                None,
            )
        case FinishedJob():
            total, codes = told.lines, Counter(told.failures)
            if told.is_cancelled:
                state, undecided = BatchState.CANCELLED, total - told.issued - codes.total()
            kind, badge_id, owner_type, reference_id = (
                RequestKind.JOB,
                told.badge_id,
                told.owner_type,
                told.reference_id,
            )
    data = BatchData(
        request_id=told.request_id,
        request_kind=kind,
        badge_meta_id=badge_id,
        owner_type=owner_type,
        reference_id=reference_id,
        state=state,
        total_count=total,
        earned_count=total - undecided - codes.total(),
        failed_count=codes.total(),
        failures=[
            FailureCount(error_code=code, count=count) for code, count in sorted(codes.items()) if count
        ],
    )
    return BadgeBatchCompleted(**_head(told, LAST_LINE), data=data)


def is_of(told: Outcome | FinishedJob, badge_ids: Collection[str] | None) -> bool:
    """Whether the request concerns one of these badges."""
    if badge_ids is None:
        return True
    own = told.badge_ids if isinstance(told, ImportOutcome) else [told.badge_id]
    return any(badge_id in badge_ids for badge_id in own)


def _earned_data(told: Outcome | IssuedChunk, line: int, validity: Validity) -> EarnedData:
    valid_from, valid_until = validity
    if isinstance(told, ImportOutcome):
        customer, badge_id = told.customer_ids[line], told.badge_ids[line]
        owner_type, reference_id = OwnerType.HISTORICAL_IMPORT, None
    else:
        customer, badge_id = (
            (told.customers if isinstance(told, IssuedChunk) else told.customer_ids)[line],
            told.badge_id,
        )
        owner_type, reference_id = told.owner_type, told.reference_id
    return EarnedData(
        customer_id=customer,
        badge_meta_id=badge_id,
        earned_badge_id=ids.earned_badge_id(told.request_key, _line(told, line)),
        earn_event_date=times.epoch(valid_from),
        earn_event_date_iso=times.iso(valid_from),
        expires_on=times.epoch(valid_until),
        expires_on_iso=times.iso(valid_until),
        owner_type=owner_type,
        reference_id=reference_id,
        request_id=told.request_id,
    )


def _enrolled(told: RequestOutcome, line: int) -> BadgeEnrolled:
    data = EnrolledData(
        customer_id=told.customer_ids[line],
        badge_meta_id=told.badge_id,
        issued_id=ids.earned_badge_id(told.request_key, line),
        issue_event_date=times.epoch(told.event_at),
        issue_event_date_iso=times.iso(told.event_at),
        expires_on=times.epoch(told.valid_until),
        expires_on_iso=times.iso(told.valid_until),
        owner_type=told.owner_type,
        reference_id=told.reference_id,
        request_id=told.request_id,
    )
    return BadgeEnrolled(**_head(told, line), data=data)


def _revoked(told: Revocation, line: int) -> BadgeRevoked:
    revoked_id = ids.earned_badge_id(told.request_keys[line], told.lines[line])
    is_earned = told.ledger is Ledger.EARNED_BADGE
    data = RevokedData(
        customer_id=told.customers[line],
        badge_meta_id=told.badge_id,
        earned_badge_id=revoked_id if is_earned else None,
        issued_id=None if is_earned else revoked_id,
        revoked_on=times.epoch(told.at),
        revoked_on_iso=times.iso(told.at),
    )
    return BadgeRevoked(**_head(told, line), data=data)


def _head(told: Outcome | Revocation | IssuedChunk | FinishedJob, line: int) -> dict[str, str]:
    """Ids have the same form as those of earned badges. The keys of requests and revocations never collide."""
    at = told.completed_at if isinstance(told, RequestOutcome | ImportOutcome) else told.at
    return {"id": ids.earned_badge_id(told.request_key, _line(told, line)), "timestamp": times.iso(at)}


def _line(told: EventSource, line: int) -> int:
    """Return the line number of the issuance. The lines of a job are numbered through all chunks."""
    return told.first_line + line if isinstance(told, IssuedChunk) else line
