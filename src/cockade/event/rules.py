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
"""For each kind of request (None: a revocation), the event per customer and the event for the whole request.
"""
EXPIRED_KINDS: tuple[EventKind | None, EventKind | None] = (EventKind.EXPIRED, None)
"""The same for a row that publishes an expiry."""

ERASED_CUSTOMER = CustomerId(0)
"""Replaces the id of an erased customer. Events of erased customers are not published."""
_CURSOR_CHARS = 24
Validity = tuple[datetime, datetime]
LedgerKey = tuple[BadgeKey, CustomerId, int]
"""Badge, customer and line: identify a row of the ledger."""


def encode_cursor(cursor: Cursor) -> str:
    """Return the cursor as text for clients."""
    return f"{cursor.position:016x}{cursor.line:08x}"


def decode_cursor(text: str) -> Cursor | None:
    """Return the cursor that `encode_cursor` wrote, or None if the text is not a cursor."""
    if len(text) != _CURSOR_CHARS or ids.read_id(text) != text:
        return None
    cursor = Cursor(int(text[:16], 16), int(text[16:], 16))
    return cursor if cursor.position < 2**63 and cursor.line <= LAST_LINE else None


def may_match_customers(row: OutboxRow, event_filter: EventFilter) -> bool:
    """Whether events of the row's customers may match the filter."""
    return (
        row.chunk != WHOLE_JOB and _kinds(row)[0] in event_filter.kinds and _may_be_about(row, event_filter)
    )


def may_match_batch(row: OutboxRow, event_filter: EventFilter) -> bool:
    """Whether the row's badgeBatchCompleted may match the filter."""
    return (
        row.chunk in (None, WHOLE_JOB)
        and _kinds(row)[1] in event_filter.kinds
        and _may_be_about(row, event_filter)
    )


def _kinds(row: OutboxRow) -> tuple[EventKind | None, EventKind | None]:
    return KINDS[row.kind] if row.expiry_range is None else EXPIRED_KINDS


def _may_be_about(row: OutboxRow, event_filter: EventFilter) -> bool:
    return event_filter.badge_ids is None or row.badge_id is None or row.badge_id in event_filter.badge_ids


def select_rows(rows: Sequence[OutboxRow], event_filter: EventFilter, max_lines: int) -> list[OutboxRow]:
    """Return the first rows that may match, with at most `max_lines` customers in total, but at least one
    row.
    """
    selected: list[OutboxRow] = []
    lines = 0
    for row in rows:
        if may_match_customers(row, event_filter) or may_match_batch(row, event_filter):
            lines += row.max_lines
            if selected and lines > max_lines:
                break
            selected.append(row)
    return selected


def event_lines(source: EventSource, begin: int, count: int, event_filter: EventFilter) -> list[int]:
    """Return at most `count` lines from `begin` on that have a matching event.

    Some of them may turn out to have none when the ledger is read.
    """
    customers, failed_lines = _customers(source)
    issued = source.source if isinstance(source, ExpiredBadges) else source
    badge_ids = (
        issued.badge_ids if isinstance(issued, ImportOutcome) and event_filter.badge_ids is not None else None
    )
    lines = (
        line
        for line in range(begin, len(customers))
        if line not in failed_lines
        and customers[line] != ERASED_CUSTOMER
        and (badge_ids is None or badge_ids[line] in (event_filter.badge_ids or ()))
        and not (isinstance(source, ExpiredBadges) and _expires_outside_range(source, line))
    )
    return list(islice(lines, count))


def _expires_outside_range(source: ExpiredBadges, line: int) -> bool:
    """Whether the validity of the line is known to end outside the range, without reading the ledger."""
    issued, expiry_range = source.source, source.expiry_range
    return isinstance(issued, ImportOutcome) and not (
        expiry_range.since <= issued.valid_untils[line] <= expiry_range.until
    )


def _customers(source: EventSource) -> tuple[list[CustomerId], Collection[int]]:
    """Return the customers, and the lines that have no event."""
    match source:
        case RequestOutcome():
            return source.customer_ids, {failure.line for failure in source.failures}
        case ImportOutcome():
            return source.customer_ids, {failure.line for failure in source.failures}
        case IssuedChunk():
            return source.customers, source.failed_lines
        case Revocation():
            return source.customers, ()
        case FinishedJob():
            return [], ()
        case ExpiredBadges():
            return _customers(source.source)


def ledger_keys(source: Outcome | IssuedChunk, lines: Sequence[int]) -> list[LedgerKey]:
    """Return the ledger keys of these lines."""
    match source:
        case IssuedChunk():
            return [(source.badge_key, source.customers[line], source.first_line + line) for line in lines]
        case RequestOutcome():
            return [(source.badge_key, source.customer_ids[line], line) for line in lines]
        case ImportOutcome():
            return [(source.badge_keys[line], source.customer_ids[line], line) for line in lines]


def customer_event(source: RequestOutcome | Revocation, line: int) -> AnyEvent:
    """Return the event of this line."""
    match source:
        case RequestOutcome(kind=RequestKind.ISSUE_BULK):
            return _enrolled(source, line)
        case RequestOutcome():
            return earned_event(source, line, (source.event_at, source.valid_until))
        case Revocation():
            return _revoked(source, line)


def earned_event(source: Outcome | IssuedChunk, line: int, validity: Validity) -> BadgeEarned:
    """Return the badgeEarned of this line. Imports and chunks do not store validities; the caller reads them
    from the ledger.
    """
    return BadgeEarned(**_head(source, line), data=_earned_data(source, line, validity))


def expired_event(source: ExpiredBadges, line: int, validity: Validity) -> BadgeExpired:
    """Return the badgeExpired of this line. Its timestamp is the end of the validity, even if it is published
    much later.
    """
    return BadgeExpired(
        id=ids.earned_badge_id(source.expiry_range.event_key, _line(source.source, line)),
        timestamp=times.iso(validity[1]),
        data=_earned_data(source.source, line, validity),
    )


def batch_event(source: Outcome | FinishedJob) -> BadgeBatchCompleted:
    """Return the badgeBatchCompleted of the request."""
    state, undecided = (
        BatchState.COMPLETED,
        0,
    )  # in a cancelled job, some customers have neither result
    match source:
        case RequestOutcome():
            total, codes = (
                len(source.customer_ids),
                Counter(int(failure.reason) for failure in source.failures),
            )
            kind, badge_id, owner_type, reference_id = (
                source.kind,
                source.badge_id,
                source.owner_type,
                source.reference_id,
            )
        case ImportOutcome():
            total, codes = (
                len(source.customer_ids),
                Counter(failure.field_errors[0].code for failure in source.failures),
            )
            kind, badge_id, owner_type, reference_id = (
                RequestKind.IMPORT,
                None,
                OwnerType.HISTORICAL_IMPORT,
                None,
            )
        case FinishedJob():
            total, codes = source.lines, Counter(source.failures)
            if source.is_cancelled:
                state, undecided = BatchState.CANCELLED, total - source.issued - codes.total()
            kind, badge_id, owner_type, reference_id = (
                RequestKind.JOB,
                source.badge_id,
                source.owner_type,
                source.reference_id,
            )
    data = BatchData(
        request_id=source.request_id,
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
    return BadgeBatchCompleted(**_head(source, LAST_LINE), data=data)


def is_about(source: Outcome | FinishedJob, badge_ids: Collection[str] | None) -> bool:
    """Whether the request is about one of these badges. None: all badges."""
    if badge_ids is None:
        return True
    own = source.badge_ids if isinstance(source, ImportOutcome) else [source.badge_id]
    return any(badge_id in badge_ids for badge_id in own)


def _earned_data(source: Outcome | IssuedChunk, line: int, validity: Validity) -> EarnedData:
    valid_from, valid_until = validity
    if isinstance(source, ImportOutcome):
        customer, badge_id = source.customer_ids[line], source.badge_ids[line]
        owner_type, reference_id = OwnerType.HISTORICAL_IMPORT, None
    else:
        customer, badge_id = (
            (source.customers if isinstance(source, IssuedChunk) else source.customer_ids)[line],
            source.badge_id,
        )
        owner_type, reference_id = source.owner_type, source.reference_id
    return EarnedData(
        customer_id=customer,
        badge_meta_id=badge_id,
        earned_badge_id=ids.earned_badge_id(source.request_key, _line(source, line)),
        earn_event_date=times.epoch(valid_from),
        earn_event_date_iso=times.iso(valid_from),
        expires_on=times.epoch(valid_until),
        expires_on_iso=times.iso(valid_until),
        owner_type=owner_type,
        reference_id=reference_id,
        request_id=source.request_id,
    )


def _enrolled(source: RequestOutcome, line: int) -> BadgeEnrolled:
    data = EnrolledData(
        customer_id=source.customer_ids[line],
        badge_meta_id=source.badge_id,
        issued_id=ids.earned_badge_id(source.request_key, line),
        issue_event_date=times.epoch(source.event_at),
        issue_event_date_iso=times.iso(source.event_at),
        expires_on=times.epoch(source.valid_until),
        expires_on_iso=times.iso(source.valid_until),
        owner_type=source.owner_type,
        reference_id=source.reference_id,
        request_id=source.request_id,
    )
    return BadgeEnrolled(**_head(source, line), data=data)


def _revoked(source: Revocation, line: int) -> BadgeRevoked:
    revoked_id = ids.earned_badge_id(source.request_keys[line], source.lines[line])
    is_earned = source.ledger is Ledger.EARNED_BADGE
    data = RevokedData(
        customer_id=source.customers[line],
        badge_meta_id=source.badge_id,
        earned_badge_id=revoked_id if is_earned else None,
        issued_id=None if is_earned else revoked_id,
        revoked_on=times.epoch(source.at),
        revoked_on_iso=times.iso(source.at),
    )
    return BadgeRevoked(**_head(source, line), data=data)


def _head(source: Outcome | Revocation | IssuedChunk | FinishedJob, line: int) -> dict[str, str]:
    """Return id and timestamp. Request and revocation keys share one key space, so the ids of events are
    unique.
    """
    at = source.completed_at if isinstance(source, RequestOutcome | ImportOutcome) else source.at
    return {"id": ids.earned_badge_id(source.request_key, _line(source, line)), "timestamp": times.iso(at)}


def _line(source: EventSource, line: int) -> int:
    """Return the line in the ledger: in a job, lines are numbered across all chunks."""
    return source.first_line + line if isinstance(source, IssuedChunk) else line
