"""Event rules: cursors, which events a request publishes, and what is loaded for a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cockade import times
from cockade.errors import FieldError
from cockade.event import rules
from cockade.event.model import (
    LAST_LINE,
    Cursor,
    EventFilter,
    EventKind,
    ExpiredBadges,
    ExpiryRange,
    FinishedJob,
    IssuedChunk,
    OutboxRow,
    Revocation,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId, RequestKey
from cockade.outbox.model import WHOLE_JOB, Ledger
from cockade.request.model import (
    CustomerFailure,
    FailureReason,
    ImportOutcome,
    OwnerType,
    RequestKind,
    RequestOutcome,
    RowFailure,
)

AT = datetime(2026, 11, 25, 20, 15, 0, 500, tzinfo=UTC)
UNTIL = datetime(2027, 11, 25, tzinfo=UTC)
ONE, TWO = BadgeId("1" * 24), BadgeId("2" * 24)
KEY = RequestKey(-2)


def request(customers: list[int], refused: tuple[int, ...] = (), **fields: Any) -> RequestOutcome:
    return RequestOutcome(
        request_id="r",
        request_key=KEY,
        kind=fields.pop("kind", RequestKind.EARN_BULK),
        badge_key=BadgeKey(1),
        badge_id=ONE,
        owner_type=OwnerType.LOYALTY,
        reference_id="123457",
        event_at=AT,
        valid_until=UNTIL,
        completed_at=AT,
        customer_ids=[CustomerId(customer) for customer in customers],
        failures=[CustomerFailure(line, FailureReason.ALREADY_HELD) for line in refused],
    )


def imported(badges: list[BadgeId], refused: tuple[int, ...] = ()) -> ImportOutcome:
    return ImportOutcome(
        request_id="i",
        request_key=KEY,
        completed_at=AT,
        badge_keys=[BadgeKey(1)] * len(badges),
        badge_ids=badges,
        customer_ids=[CustomerId(number + 1) for number in range(len(badges))],
        valid_untils=[UNTIL] * len(badges),
        failures=[RowFailure(line, [FieldError(1054, "")]) for line in refused],
    )


REVOKED = Revocation(
    request_key=KEY,
    at=AT,
    badge_id=ONE,
    ledger=Ledger.ENROLMENT,
    customers=[CustomerId(5), rules.ERASED_CUSTOMER],
    request_keys=[RequestKey(7), RequestKey(8)],
    lines=[3, 4],
)
PART = IssuedChunk(
    request_key=KEY,
    at=AT,
    request_id="job",
    badge_key=BadgeKey(1),
    badge_id=ONE,
    owner_type=OwnerType.LOYALTY,
    reference_id="123457",
    first_line=10_000,
    customers=[CustomerId(5), rules.ERASED_CUSTOMER, CustomerId(5), CustomerId(6)],
    failed_lines=frozenset([2]),
)
ALL = EventFilter()
IN_TIME = ExpiryRange(event_key=RequestKey(9), since=UNTIL, until=UNTIL)
TOO_LATE = ExpiryRange(
    event_key=RequestKey(9), since=UNTIL + times.MICROSECOND, until=datetime(2030, 1, 1, tzinfo=UTC)
)


@pytest.mark.parametrize(
    "cursor", [Cursor(0, LAST_LINE), Cursor(1, 0), Cursor(2**63 - 1, LAST_LINE), Cursor(42, 7)]
)
def test_cursor_round_trip(cursor: Cursor) -> None:
    assert rules.decode_cursor(rules.encode_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latest",
        "0" * 23,
        "0" * 25,
        "8" + "0" * 23,
        "0" * 16 + "80000000",
        "A" * 24,
        "0" * 23 + "x",
        " " + "0" * 23,
    ],
)
def test_invalid_cursor_is_none(text: str) -> None:
    assert rules.decode_cursor(text) is None


def test_encoded_cursors_sort_in_feed_order() -> None:
    cursors = [
        Cursor(1, 0),
        Cursor(1, LAST_LINE),
        Cursor(2, 0),
        Cursor(300, 5),
        Cursor(2**40, 0),
    ]
    assert sorted(rules.encode_cursor(cursor) for cursor in cursors) == [
        rules.encode_cursor(cursor) for cursor in cursors
    ]


@pytest.mark.parametrize(
    ("item", "begin", "count", "wanted", "lines"),
    [
        (request([1, 2, 3]), 0, 9, ALL, [0, 1, 2]),
        (request([1, 2, 3]), 1, 9, ALL, [1, 2]),
        (request([1, 2, 3]), 0, 2, ALL, [0, 1]),
        (request([1, 2, 3]), 3, 9, ALL, []),
        (request([1, 2, 3]), LAST_LINE, 9, ALL, []),
        (request([1, 2, 3], refused=(0, 2)), 0, 9, ALL, [1]),
        (request([1, 0, 3]), 0, 9, ALL, [0, 2]),  # an erased customer
        (imported([ONE, TWO, ONE]), 0, 9, ALL, [0, 1, 2]),
        (imported([ONE, TWO, ONE]), 0, 9, EventFilter(badge_ids=frozenset([ONE])), [0, 2]),
        (imported([ONE, TWO, ONE], refused=(0,)), 0, 9, EventFilter(badge_ids=frozenset([ONE])), [2]),
        (REVOKED, 0, 9, ALL, [0]),
        (ExpiredBadges(expiry_range=IN_TIME, source=request([1, 0, 3, 4], refused=(2,))), 0, 9, ALL, [0, 3]),
        (
            ExpiredBadges(expiry_range=IN_TIME, source=imported([ONE, TWO, ONE], refused=(0,))),
            0,
            9,
            ALL,
            [1, 2],
        ),
        (ExpiredBadges(expiry_range=TOO_LATE, source=imported([ONE, TWO, ONE])), 0, 9, ALL, []),
        (
            ExpiredBadges(expiry_range=IN_TIME, source=imported([ONE, TWO])),
            0,
            9,
            EventFilter(badge_ids=frozenset([TWO])),
            [1],
        ),
        (ExpiredBadges(expiry_range=IN_TIME, source=PART), 1, 9, ALL, [3]),
        (PART, 0, 9, ALL, [0, 3]),
        (PART, 1, 9, ALL, [3]),
    ],
)
def test_lines_that_have_an_event(
    item: Any, begin: int, count: int, wanted: EventFilter, lines: list[int]
) -> None:
    assert rules.event_lines(item, begin, count, wanted) == lines


def test_every_request_kind_has_event_kinds() -> None:
    assert set(rules.KINDS) == {*RequestKind, None}


def source(
    kind: RequestKind | None,
    badge_id: BadgeId | None = ONE,
    lines: int = 10,
    part: int | None = None,
    end: ExpiryRange | None = None,
) -> OutboxRow:
    return OutboxRow(
        position=1,
        request_key=KEY,
        kind=kind,
        chunk=part,
        badge_id=badge_id,
        max_lines=lines,
        expiry_range=end,
    )


@pytest.mark.parametrize(
    ("of", "wanted", "lines", "whole"),
    [
        (source(RequestKind.EARN_BULK), ALL, True, True),
        (source(RequestKind.EARN), ALL, True, False),
        (source(None), ALL, True, False),
        (source(RequestKind.EARN_BULK), EventFilter(frozenset([EventKind.BATCH_COMPLETED])), False, True),
        (source(RequestKind.EARN_BULK), EventFilter(frozenset([EventKind.EARNED])), True, False),
        (source(RequestKind.ISSUE_BULK), EventFilter(frozenset([EventKind.EARNED])), False, False),
        (source(RequestKind.EARN_BULK, TWO), EventFilter(badge_ids=frozenset([ONE])), False, False),
        (source(RequestKind.IMPORT, None), EventFilter(badge_ids=frozenset([ONE])), True, True),
        (source(RequestKind.EARN_BULK, end=IN_TIME), ALL, True, False),
        (
            source(RequestKind.EARN_BULK, end=IN_TIME),
            EventFilter(frozenset([EventKind.EARNED])),
            False,
            False,
        ),
        (
            source(RequestKind.JOB, part=0, end=IN_TIME),
            EventFilter(frozenset([EventKind.EXPIRED])),
            True,
            False,
        ),
        (source(RequestKind.JOB, part=0), ALL, True, False),
        (source(RequestKind.JOB, part=WHOLE_JOB), ALL, False, True),
    ],
)
def test_unwanted_requests_are_not_loaded(
    of: OutboxRow, wanted: EventFilter, lines: bool, whole: bool
) -> None:
    assert (rules.may_match_customers(of, wanted), rules.may_match_batch(of, wanted)) == (lines, whole)


@pytest.mark.parametrize(
    ("lines", "lines_max", "near"),
    [
        ([5, 5, 5], 10, 2),
        ([5, 5, 5], 15, 3),
        ([100, 5], 10, 1),
        ([5, 100, 5], 10, 1),
        ([], 10, 0),
        ([0, 0], 1, 2),
    ],
)
def test_loads_as_many_requests_as_a_page_needs_and_at_least_one(
    lines: list[int], lines_max: int, near: int
) -> None:
    sources = [source(RequestKind.EARN_BULK, lines=count) for count in lines]
    assert len(rules.select_rows(sources, ALL, lines_max)) == near


def test_unwanted_requests_do_not_count_towards_the_page() -> None:
    sources = [source(RequestKind.ISSUE_BULK, lines=1000), source(RequestKind.EARN, lines=1)]
    assert rules.select_rows(sources, EventFilter(frozenset([EventKind.EARNED])), 1) == sources[1:]


def test_a_request_as_a_whole_is_counted_by_error() -> None:
    event = rules.batch_event(request([1, 2, 3, 4], refused=(1, 3)))
    data: Any = event.data
    assert (event.id, event.kind) == ("fffffffffffffffe7fffffff", EventKind.BATCH_COMPLETED)
    assert (data.total_count, data.earned_count, data.failed_count) == (4, 2, 2)
    assert [(each.error_code, each.count) for each in data.failures] == [(1040, 2)]
    assert rules.batch_event(imported([ONE, TWO], refused=(1,))).data.badge_meta_id is None


def test_revocation_event_has_its_own_id() -> None:
    event = rules.customer_event(REVOKED, 0)
    data: Any = event.data
    assert (data.issued_id, data.earned_badge_id) == ("000000000000000700000003", None)
    assert event.id == "fffffffffffffffe00000000"
    assert event.timestamp == data.revoked_on_iso == "2026-11-25T20:15:00Z"


def test_lines_of_a_job_count_through_all_of_its_parts() -> None:
    [where] = rules.ledger_keys(PART, [3])
    event = rules.earned_event(PART, 3, (AT, UNTIL))
    assert where == (1, 6, 10_003)
    assert event.id == event.data.earned_badge_id == f"fffffffffffffffe{10_003:08x}"
    assert (event.data.customer_id, event.data.request_id) == (6, "job")


@pytest.mark.parametrize(("of", "line"), [(request([5, 6]), 1), (imported([ONE, TWO]), 1), (PART, 3)])
def test_expiry_event_has_its_own_id_and_the_time_of_the_expiry(of: Any, line: int) -> None:
    earned = rules.earned_event(of, line, (AT, UNTIL))
    event = rules.expired_event(ExpiredBadges(expiry_range=IN_TIME, source=of), line, (AT, UNTIL))
    assert event.data == earned.data
    assert event.id == f"{9:016x}{earned.id[16:]}"
    assert (event.kind, event.timestamp) == (EventKind.EXPIRED, "2027-11-25T00:00:00Z")


@pytest.mark.parametrize(("issued", "is_cancelled"), [(7, False), (4, True)])
def test_job_completed_event_counts_failures_by_code(issued: int, is_cancelled: bool) -> None:
    job = FinishedJob(
        request_key=KEY,
        at=AT,
        request_id="job",
        badge_id=ONE,
        owner_type=OwnerType.LOYALTY,
        reference_id="123457",
        is_cancelled=is_cancelled,
        lines=10,
        issued=issued,
        failures={1040: 2, 400: 1},
    )
    data = rules.batch_event(job).data
    assert (data.total_count, data.earned_count, data.failed_count) == (10, issued, 3)
    assert data.state == ("CANCELLED" if is_cancelled else "COMPLETED")
    assert [(each.error_code, each.count) for each in data.failures] == [(400, 1), (1040, 2)]


@pytest.mark.parametrize(
    ("item", "badges", "is_of"),
    [
        (request([1]), None, True),
        (request([1]), {ONE}, True),
        (request([1]), {TWO}, False),
        (imported([ONE, TWO]), {TWO}, True),
        (imported([ONE]), {TWO}, False),
    ],
)
def test_a_request_is_about_its_badges(item: Any, badges: set[str] | None, is_of: bool) -> None:
    assert rules.is_about(item, badges) is is_of
