"""Pure decisions about events (`docs/api/events.md`)."""

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
    BadgeRevoked,
    BatchData,
    BatchState,
    CompletedJob,
    EarnedData,
    EnrolledData,
    EventKind,
    FailureCount,
    Part,
    Place,
    Revocation,
    RevokedData,
    Source,
    Told,
    Wanted,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.request.model import (
    WHOLE,
    ImportOutcome,
    Ledger,
    Outcome,
    OwnerType,
    RequestKind,
    RequestOutcome,
)

KINDS: dict[RequestKind | None, tuple[EventKind | None, EventKind | None]] = {
    RequestKind.EARN: (EventKind.EARNED, None),
    RequestKind.EARN_BULK: (EventKind.EARNED, EventKind.BATCH_COMPLETED),
    RequestKind.ISSUE_BULK: (EventKind.ENROLLED, EventKind.BATCH_COMPLETED),
    RequestKind.IMPORT: (EventKind.EARNED, EventKind.BATCH_COMPLETED),
    RequestKind.JOB: (EventKind.EARNED, EventKind.BATCH_COMPLETED),
    None: (EventKind.REVOKED, None),
}
"""What is told of each customer of a request of this kind, and what of the request as a whole."""

NOBODY = CustomerId(0)
"""Stands where a customer was erased: nothing is told of her."""
_PLACE_CHARS = 24
Validity = tuple[datetime, datetime]
InLedger = tuple[BadgeKey, CustomerId, int]
"""Badge, customer and line."""


def write_place(place: Place) -> str:
    """The place as callers keep it."""
    return f"{place.position:016x}{place.line:08x}"


def read_place(text: str) -> Place | None:
    """The place that `write_place` wrote, or None where it did not."""
    if len(text) != _PLACE_CHARS or ids.read_id(text) != text:
        return None
    place = Place(int(text[:16], 16), int(text[16:], 16))
    return place if place.position < 2**63 and place.line <= LAST_LINE else None


def are_lines_wanted(source: Source, wanted: Wanted) -> bool:
    """Whether events of its customers may be wanted."""
    return source.part != WHOLE and KINDS[source.kind][0] in wanted.kinds and _may_be_of(source, wanted)


def is_whole_wanted(source: Source, wanted: Wanted) -> bool:
    """Whether the event of the request as a whole may be wanted."""
    return (
        source.part in (None, WHOLE) and KINDS[source.kind][1] in wanted.kinds and _may_be_of(source, wanted)
    )


def _may_be_of(source: Source, wanted: Wanted) -> bool:
    return wanted.badge_ids is None or source.badge_id is None or source.badge_id in wanted.badge_ids


def nearest(sources: Sequence[Source], wanted: Wanted, lines_max: int) -> list[Source]:
    """The first of those that tell something wanted: together they have so many lines at most, but one there is."""
    near: list[Source] = []
    lines = 0
    for source in sources:
        if are_lines_wanted(source, wanted) or is_whole_wanted(source, wanted):
            lines += source.lines_max
            if near and lines > lines_max:
                break
            near.append(source)
    return near


def told_lines(told: Told, begin: int, count: int, wanted: Wanted) -> list[int]:
    """The first so many lines from `begin` on that there is an event of."""
    customers, refused = _audience(told)
    badge_ids = told.badge_ids if isinstance(told, ImportOutcome) and wanted.badge_ids is not None else None
    lines = (
        line
        for line in range(begin, len(customers))
        if line not in refused
        and customers[line] != NOBODY
        and (badge_ids is None or badge_ids[line] in (wanted.badge_ids or ()))
    )
    return list(islice(lines, count))


def _audience(told: Told) -> tuple[list[CustomerId], Collection[int]]:
    """The customers, and the lines that earned nothing."""
    match told:
        case RequestOutcome():
            return told.audience, {refusal.line for refusal in told.refusals}
        case ImportOutcome():
            return told.customers, {refusal.line for refusal in told.refusals}
        case Part():
            return told.customers, told.refused
        case Revocation():
            return told.customers, ()
        case CompletedJob():
            return [], ()


def in_ledger(told: ImportOutcome | Part, lines: Sequence[int]) -> list[InLedger]:
    """Badge, customer and line of these lines as the ledger has them."""
    if isinstance(told, Part):
        return [(told.badge_key, told.customers[line], told.first_line + line) for line in lines]
    return [(told.badge_keys[line], told.customers[line], line) for line in lines]


def line_event(told: RequestOutcome | Revocation, line: int) -> AnyEvent:
    """The event of this line."""
    match told:
        case RequestOutcome(kind=RequestKind.ISSUE_BULK):
            return _enrolled(told, line)
        case RequestOutcome():
            validity, owner = (told.event_at, told.valid_until), (told.owner_type, told.reference_id)
            return _earned(told, line, told.audience[line], told.badge_id, validity, owner)
        case Revocation():
            return _revoked(told, line)


def read_event(told: ImportOutcome | Part, line: int, validity: Validity) -> BadgeEarned:
    """The event of this line of what knows no validities itself; the ledger does."""
    customer = told.customers[line]
    if isinstance(told, Part):
        return _earned(told, line, customer, told.badge_id, validity, (told.owner_type, told.reference_id))
    return _earned(told, line, customer, told.badge_ids[line], validity, (OwnerType.HISTORICAL_IMPORT, None))


def whole_event(told: Outcome | CompletedJob) -> BadgeBatchCompleted:
    """The event of the request as a whole."""
    state, undecided = BatchState.COMPLETED, 0  # of a job that was cancelled some lines are neither
    match told:
        case RequestOutcome():
            total, codes = len(told.audience), Counter(int(refusal.reason) for refusal in told.refusals)
            kind, badge_id, owner_type, reference_id = (
                told.kind,
                told.badge_id,
                told.owner_type,
                told.reference_id,
            )
        case ImportOutcome():
            total, codes = (
                len(told.customers),
                Counter(refusal.faults[0].code for refusal in told.refusals),
            )
            kind, badge_id, owner_type, reference_id = (
                RequestKind.IMPORT,
                None,
                OwnerType.HISTORICAL_IMPORT,
                None,
            )
        case CompletedJob():
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


def is_of(told: Outcome | CompletedJob, badge_ids: Collection[str] | None) -> bool:
    """Whether the request was about one of these badges."""
    if badge_ids is None:
        return True
    own = told.badge_ids if isinstance(told, ImportOutcome) else [told.badge_id]
    return any(badge_id in badge_ids for badge_id in own)


def _earned(
    told: Outcome | Part,
    line: int,
    customer: CustomerId,
    badge_id: BadgeId,
    validity: Validity,
    owner: tuple[OwnerType, str | None],
) -> BadgeEarned:
    valid_from, valid_until = validity
    owner_type, reference_id = owner
    data = EarnedData(
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
    return BadgeEarned(**_head(told, line), data=data)


def _enrolled(told: RequestOutcome, line: int) -> BadgeEnrolled:
    data = EnrolledData(
        customer_id=told.audience[line],
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


def _head(told: Told, line: int) -> dict[str, str]:
    """Ids are made as those of earned badges are: keys of requests and revocations are all different."""
    at = told.decided_at if isinstance(told, RequestOutcome | ImportOutcome) else told.at
    return {"id": ids.earned_badge_id(told.request_key, _line(told, line)), "timestamp": times.iso(at)}


def _line(told: Told, line: int) -> int:
    """The line as the ledger has it: those of a job count through all of its parts."""
    return told.first_line + line if isinstance(told, Part) else line
