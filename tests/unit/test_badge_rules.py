"""Badge rules: validity, status, overlap policy, validation of new badges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cockade.badge import rules
from cockade.badge.model import (
    BadgeDraft,
    BadgeExpiry,
    BadgeStatus,
    Constraint,
    ConstraintType,
    EarnType,
    Expiry,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    OverlapPolicy,
    Presentation,
    RelativeExpiry,
)
from cockade.request.model import OwnerType

BERLIN = ZoneInfo("Europe/Berlin")
LINE_ISLANDS = ZoneInfo("Pacific/Kiritimati")
MICROSECOND = timedelta(microseconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # pyright: ignore[reportArgumentType]


EVENT = utc(2026, 1, 31, 12)
BADGE_ENDS = utc(2027, 5, 5)


def days(value: int) -> Expiry:
    return RelativeExpiry(ExpiryUnit.DAYS, value)


def weeks(value: int) -> Expiry:
    return RelativeExpiry(ExpiryUnit.WEEKS, value)


def months(value: int) -> Expiry:
    return RelativeExpiry(ExpiryUnit.MONTHS, value)


@pytest.mark.parametrize(
    ("expiry", "event_at", "expected"),
    [
        (days(1), EVENT, utc(2026, 2, 1, 12)),
        (days(36_525), EVENT, utc(2126, 1, 31, 12) + timedelta(days=1)),
        (weeks(2), EVENT, utc(2026, 2, 14, 12)),
        (months(1), EVENT, utc(2026, 2, 28, 12)),
        (months(2), EVENT, utc(2026, 3, 31, 11)),
        (months(12), EVENT, utc(2027, 1, 31, 12)),
        (months(25), EVENT, utc(2028, 2, 29, 12)),
        (FixedExpiry(utc(2020, 1, 1)), EVENT, utc(2020, 1, 1)),
        (BadgeExpiry(), EVENT, BADGE_ENDS),
        (NeverExpiry(), EVENT, utc(2126, 1, 31, 12)),
        (NeverExpiry(), utc(2024, 2, 29), utc(2124, 2, 29)),
        # 2100 is not a leap year.
        (NeverExpiry(), utc(2000, 2, 29), utc(2100, 2, 28)),
    ],
)
def test_validity_ends_as_the_expiry_defines(expiry: Expiry, event_at: datetime, expected: datetime) -> None:
    until = rules.valid_until(expiry, event_at, BADGE_ENDS, BERLIN)
    assert until == expected
    assert until.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("expiry", "event", "expected"),
    [
        # Daylight saving time began on 29 March 2026 at 02:00 and ended on 25 October at 03:00.
        (days(1), "2026-03-28T12:00+01:00", "2026-03-29T13:00+02:00"),
        (days(1), "2026-10-24T12:00+02:00", "2026-10-25T11:00+01:00"),
        (weeks(1), "2026-03-28T12:00+01:00", "2026-04-04T13:00+02:00"),
        (months(1), "2026-02-28T12:00+01:00", "2026-03-28T12:00+01:00"),
        (months(1), "2026-03-28T12:00+01:00", "2026-04-28T12:00+02:00"),
        (months(1), "2026-10-24T12:00+02:00", "2026-11-24T12:00+01:00"),
        (months(7), "2026-03-28T12:00+01:00", "2026-10-28T12:00+01:00"),
        # 02:30 does not exist that night: the clocks skip an hour.
        (months(1), "2026-02-28T02:30+01:00", "2026-03-28T02:30+01:00"),
        (months(3), "2025-12-29T02:30+01:00", "2026-03-29T03:30+02:00"),
        # 02:30 exists twice that night: the first one counts.
        (months(1), "2026-09-25T02:30+02:00", "2026-10-25T02:30+02:00"),
        # Day, month and year are those of the org's time zone, not of UTC.
        (months(1), "2026-01-31T23:30+01:00", "2026-02-28T23:30+01:00"),
        (months(1), "2026-01-31T00:30+01:00", "2026-02-28T00:30+01:00"),
        (months(1), "2026-12-31T23:59:59.999999+01:00", "2027-01-31T23:59:59.999999+01:00"),
    ],
)
def test_months_keep_the_wall_time_and_days_have_24_hours(expiry: Expiry, event: str, expected: str) -> None:
    until = rules.valid_until(expiry, datetime.fromisoformat(event), BADGE_ENDS, BERLIN)
    assert until == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("zone", "event_at", "expected"),
    [
        ("UTC", utc(2026, 1, 30, 20), utc(2026, 2, 28, 20)),
        ("Asia/Kolkata", utc(2026, 1, 30, 20), utc(2026, 2, 27, 20)),
        ("Pacific/Kiritimati", utc(2026, 1, 30, 20), utc(2026, 2, 27, 20)),
        ("UTC", utc(2026, 1, 31, 2), utc(2026, 2, 28, 2)),
        ("America/New_York", utc(2026, 1, 31, 2), utc(2026, 3, 1, 2)),
    ],
)
def test_day_of_month_is_that_of_the_time_zone(zone: str, event_at: datetime, expected: datetime) -> None:
    assert rules.valid_until(months(1), event_at, BADGE_ENDS, ZoneInfo(zone)) == expected


@pytest.mark.parametrize(
    ("start", "count", "expected"),
    [
        ((2026, 3, 31), -1, (2026, 2, 28)),
        ((2026, 1, 15), -1, (2025, 12, 15)),
        ((2024, 3, 31), -1, (2024, 2, 29)),
        ((2026, 1, 15), 0, (2026, 1, 15)),
        ((2026, 1, 15), -25, (2023, 12, 15)),
    ],
)
def test_months_can_be_subtracted(
    start: tuple[int, int, int], count: int, expected: tuple[int, int, int]
) -> None:
    assert rules.add_months(utc(*start), count, ZoneInfo("UTC")) == utc(*expected)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2026, 1, 1) - MICROSECOND, BadgeStatus.UPCOMING),
        (utc(2026, 1, 1), BadgeStatus.LIVE),
        (utc(2026, 2, 1) - MICROSECOND, BadgeStatus.LIVE),
        (utc(2026, 2, 1), BadgeStatus.EXPIRED),
    ],
)
def test_badge_window_is_half_open(now: datetime, expected: BadgeStatus) -> None:
    assert rules.status_at(utc(2026, 1, 1), utc(2026, 2, 1), now) is expected


ONCE = Constraint(constraint_type=ConstraintType.CUSTOMER_BADGE_FIXED_VALUE, max_earn_limit=1)
TWICE = Constraint(constraint_type=ConstraintType.CUSTOMER_BADGE_FIXED_VALUE, max_earn_limit=2)
NO_LIMIT = Constraint(constraint_type=ConstraintType.CUSTOMER_BADGE_NO_LIMIT)
ROLLING = Constraint(
    constraint_type=ConstraintType.CUSTOMER_BADGE_ROLLING_WINDOW, max_earn_for_days=1, roll_for_days=7
)
WINDOW = Constraint(constraint_type=ConstraintType.CUSTOMER_BADGE_FIXED_WINDOW, max_earn_limit=1)
BADGE_ONCE = Constraint(constraint_type=ConstraintType.BADGE_FIXED_VALUE, max_earn_limit=1)


@pytest.mark.parametrize(
    ("policy", "customer_constraints", "expected"),
    [
        (None, [], False),
        (None, [ONCE], False),
        (None, [ONCE, ONCE], False),
        (None, [TWICE], True),
        (None, [NO_LIMIT], True),
        (None, [ROLLING], True),
        (None, [WINDOW], True),
        (None, [ONCE, ROLLING], True),
        (OverlapPolicy.ALLOW, [], True),
        (OverlapPolicy.ALLOW, [ONCE], True),
        (OverlapPolicy.REJECT, [], False),
        (OverlapPolicy.REJECT, [NO_LIMIT], False),
        (OverlapPolicy.REJECT, [TWICE], False),
    ],
)
def test_overlap_policy_overrides_constraints(
    policy: OverlapPolicy | None, customer_constraints: list[Constraint], expected: bool
) -> None:
    assert rules.holds_several(policy, customer_constraints) is expected


NOW = utc(2026, 6, 15, 9)
MIDNIGHT = datetime(2026, 6, 15, tzinfo=BERLIN).astimezone(UTC)
SOUND = BadgeDraft(
    name="Sound",
    starts_at=NOW,
    expires_at=NOW + timedelta(days=1),
    earn_type=EarnType.EARN,
    earned_expiry=NeverExpiry(),
    issued_expiry=None,
    owners=[OwnerType.LOYALTY],
    overlap_policy=None,
    customer_constraints=[],
    badge_constraints=[],
    presentation=Presentation(),
    is_active=True,
)
PAST = MIDNIGHT - MICROSECOND
EARLIER = MIDNIGHT - timedelta(days=9)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"starts_at": NOW, "expires_at": NOW}, [(720, "startOn")]),
        ({"starts_at": NOW + MICROSECOND, "expires_at": NOW}, [(720, "startOn")]),
        ({"starts_at": NOW, "expires_at": NOW + MICROSECOND}, []),
        ({"starts_at": MIDNIGHT}, []),
        ({"starts_at": PAST}, [(722, "startOn")]),
        ({"starts_at": EARLIER, "expires_at": MIDNIGHT}, [(722, "startOn")]),
        ({"starts_at": EARLIER, "expires_at": PAST}, [(722, "startOn"), (724, "expiresOn")]),
        (
            {"starts_at": PAST, "expires_at": EARLIER},
            [(720, "startOn"), (722, "startOn"), (724, "expiresOn")],
        ),
        ({"starts_at": NOW, "expires_at": EARLIER}, [(720, "startOn"), (724, "expiresOn")]),
        ({"earn_type": EarnType.ISSUE_EARN}, [(400, "issuedBadgeExpiry")]),
        ({"earn_type": EarnType.ISSUE_EARN, "issued_expiry": NeverExpiry()}, []),
        ({"issued_expiry": NeverExpiry()}, []),
        ({"customer_constraints": [NO_LIMIT, ROLLING], "badge_constraints": [BADGE_ONCE]}, []),
        (
            {"starts_at": PAST, "earn_type": EarnType.ISSUE_EARN},
            [(722, "startOn"), (400, "issuedBadgeExpiry")],
        ),
    ],
)
def test_all_errors_of_a_badge_are_reported(
    changes: dict[str, object], expected: list[tuple[int, str]]
) -> None:
    draft = msgspec.structs.replace(SOUND, **changes)
    field_errors = rules.creation_errors(draft, NOW, BERLIN, is_migration=False)
    assert [(field_error.code, field_error.reference) for field_error in field_errors] == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"starts_at": EARLIER, "expires_at": PAST}, []),
        ({"starts_at": PAST, "expires_at": EARLIER}, [720]),
        ({"starts_at": EARLIER, "earn_type": EarnType.ISSUE_EARN}, [400]),
    ],
)
def test_migration_only_allows_dates_in_the_past(changes: dict[str, object], expected: list[int]) -> None:
    draft = msgspec.structs.replace(SOUND, **changes)
    assert [
        field_error.code for field_error in rules.creation_errors(draft, NOW, BERLIN, is_migration=True)
    ] == expected


def test_today_begins_at_midnight_in_the_time_zone_of_the_org() -> None:
    starts_at = utc(2026, 6, 14, 10)  # 15 June, 00:00, on the Line Islands; 14 June elsewhere
    draft = msgspec.structs.replace(SOUND, starts_at=starts_at)
    assert rules.creation_errors(draft, NOW, LINE_ISLANDS, is_migration=False) == []
    before = msgspec.structs.replace(SOUND, starts_at=starts_at - MICROSECOND)
    assert [f.code for f in rules.creation_errors(before, NOW, LINE_ISLANDS, is_migration=False)] == [722]
    assert [f.code for f in rules.creation_errors(draft, NOW, BERLIN, is_migration=False)] == [722]
