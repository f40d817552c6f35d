"""Limit rules: cycles, rolling windows, usage, and the next available date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cockade.badge.model import Constraint
from cockade.errors import ExceededLimit
from cockade.limit import rules
from cockade.limit.model import FixedWindow, LimitCheck

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")
MICROSECOND = timedelta(microseconds=1)
MONDAY = datetime(2023, 9, 25, 8, tzinfo=BERLIN)


def window(starts_at: datetime, zone: ZoneInfo = BERLIN, **fields: Any) -> FixedWindow:
    constraint = {"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 1, **fields}
    [result] = rules.limits_of(
        "customerConstraints", [msgspec.convert(constraint, Constraint)], starts_at, zone
    )
    assert isinstance(result, FixedWindow)
    return result


def days(result: FixedWindow, number: int) -> str:
    cycle = rules.nth_cycle(result, number)
    return f"{cycle.first_day:%d %b}-{cycle.last_day:%d %b}"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_weekly_cycles_of_a_badge_that_starts_on_monday_25_september_2023() -> None:
    result = window(MONDAY, durationType="WEEKS")
    assert [days(result, number) for number in range(5)] == [
        "25 Sep-01 Oct", "02 Oct-08 Oct", "09 Oct-15 Oct", "16 Oct-22 Oct", "23 Oct-29 Oct",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("begins", "first", "second"),
    [
        (None, "27 Sep-01 Oct", "02 Oct-08 Oct"),
        ("MONDAY", "27 Sep-01 Oct", "02 Oct-08 Oct"),
        (1, "27 Sep-01 Oct", "02 Oct-08 Oct"),
        ("1", "27 Sep-01 Oct", "02 Oct-08 Oct"),
        ("TUESDAY", "27 Sep-02 Oct", "03 Oct-09 Oct"),
        ("WEDNESDAY", "27 Sep-03 Oct", "04 Oct-10 Oct"),
        (3, "27 Sep-03 Oct", "04 Oct-10 Oct"),
        ("THURSDAY", "27 Sep-27 Sep", "28 Sep-04 Oct"),
        ("4", "27 Sep-27 Sep", "28 Sep-04 Oct"),
        ("FRIDAY", "27 Sep-28 Sep", "29 Sep-05 Oct"),
        ("SATURDAY", "27 Sep-29 Sep", "30 Sep-06 Oct"),
        ("SUNDAY", "27 Sep-30 Sep", "01 Oct-07 Oct"),
        (7, "27 Sep-30 Sep", "01 Oct-07 Oct"),
    ],
)
def test_first_week_of_a_badge_that_starts_on_a_wednesday(begins: Any, first: str, second: str) -> None:
    result = window(
        MONDAY + timedelta(days=2), durationType="WEEKLY", refreshRate=9, startDayOfTheWeek=begins
    )
    assert (days(result, 0), days(result, 1)) == (first, second)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2024-01-31T12:00:00+01:00", ["31 Jan-31 Jan", "01 Feb-29 Feb", "01 Mar-31 Mar", "01 Apr-30 Apr"]),
        ("2023-01-01T00:00:00+01:00", ["01 Jan-31 Jan", "01 Feb-28 Feb", "01 Mar-31 Mar", "01 Apr-30 Apr"]),
        ("2023-11-15T00:00:00+01:00", ["15 Nov-30 Nov", "01 Dec-31 Dec", "01 Jan-31 Jan", "01 Feb-29 Feb"]),
    ],
)
def test_months_of_28_to_31_days(start: str, expected: list[str]) -> None:
    result = window(utc(start), durationType="MONTHS")
    assert [days(result, number) for number in range(4)] == expected


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (None, ["25 Sep-25 Sep", "26 Sep-26 Sep", "27 Sep-27 Sep"]),
        (1, ["25 Sep-25 Sep", "26 Sep-26 Sep", "27 Sep-27 Sep"]),
        (3, ["25 Sep-27 Sep", "28 Sep-30 Sep", "01 Oct-03 Oct"]),
        (10, ["25 Sep-04 Oct", "05 Oct-14 Oct", "15 Oct-24 Oct"]),
    ],
)
def test_cycles_of_days(rate: int | None, expected: list[str]) -> None:
    result = window(MONDAY, durationType="DAYS", refreshRate=rate)
    assert [days(result, number) for number in range(3)] == expected


@pytest.mark.parametrize(
    ("zone", "start", "fields", "at", "opens", "closes"),
    [
        # Berlin: daylight saving time ends on 29 October 2023 and begins on 31 March 2024.
        ("Europe/Berlin", "2023-09-25T00:00:00+02:00", {"durationType": "DAYS"}, "2023-10-29T12:00:00Z", "2023-10-28T22:00:00Z", "2023-10-29T23:00:00Z"),
        ("Europe/Berlin", "2023-09-25T00:00:00+02:00", {"durationType": "DAYS"}, "2024-03-31T12:00:00Z", "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"),
        ("Europe/Berlin", "2023-09-25T00:00:00+02:00", {"durationType": "WEEKS"}, "2023-10-29T22:59:59.999999Z", "2023-10-22T22:00:00Z", "2023-10-29T23:00:00Z"),
        ("Europe/Berlin", "2023-09-25T00:00:00+02:00", {"durationType": "WEEKS"}, "2023-10-29T23:00:00Z", "2023-10-29T23:00:00Z", "2023-11-05T23:00:00Z"),
        ("Europe/Berlin", "2023-09-25T00:00:00+02:00", {"durationType": "MONTHS"}, "2024-03-15T00:00:00Z", "2024-02-29T23:00:00Z", "2024-03-31T22:00:00Z"),
        ("Asia/Kolkata", "2023-09-25T00:00:00+05:30", {"durationType": "DAYS"}, "2023-09-25T18:30:00Z", "2023-09-25T18:30:00Z", "2023-09-26T18:30:00Z"),
        ("Asia/Kathmandu", "2023-09-25T00:00:00+05:45", {"durationType": "DAYS"}, "2023-09-25T18:14:59Z", "2023-09-24T18:15:00Z", "2023-09-25T18:15:00Z"),
        # Clocks skip midnight: the day begins after the skipped hour.
        ("America/Sao_Paulo", "2018-11-01T12:00:00Z", {"durationType": "DAYS"}, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        # Clocks go back at midnight: the previous day has 25 hours.
        ("America/Sao_Paulo", "2018-02-01T12:00:00Z", {"durationType": "DAYS"}, "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
        # Clocks go back from 00:01 to 23:01: times after the first midnight belong to the new day.
        ("America/St_Johns", "2010-11-01T12:00:00Z", {"durationType": "DAYS"}, "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"),
    ],
)  # fmt: skip
def test_cycles_are_whole_days_of_the_time_zone(
    zone: str, start: str, fields: dict[str, Any], at: str, opens: str, closes: str
) -> None:
    time_zone = ZoneInfo(zone)
    result = window(utc(start), time_zone, **fields)
    bounds = rules.bounds(rules.cycle_at(result, utc(at), time_zone), time_zone)
    assert bounds == (utc(opens), utc(closes))


def test_cycle_is_current_upcoming_or_last() -> None:
    result, ends = window(MONDAY, durationType="WEEKS"), MONDAY + timedelta(days=9)
    cycles = [
        rules.current_cycle(result, MONDAY, ends, now, BERLIN)
        for now in (MONDAY - timedelta(days=30), MONDAY, ends - MICROSECOND, ends, ends + timedelta(days=90))
    ]
    assert [(f"{cycle.first_day:%d %b}", status.value) for cycle, status in cycles] == [
        ("25 Sep", "UPCOMING"), ("25 Sep", "ACTIVE"), ("02 Oct", "ACTIVE"), ("02 Oct", "EXPIRED"), ("02 Oct", "EXPIRED"),
    ]  # fmt: skip


T = datetime(2024, 3, 10, 12, tzinfo=UTC)


def limits(*constraints: dict[str, Any]) -> list[Any]:
    constraints_ = [
        msgspec.convert({"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", **each}, Constraint)
        for each in constraints
    ]
    return rules.limits_of("customerConstraints", constraints_, datetime(2024, 1, 1, tzinfo=UTC), UTC_ZONE)


def exceeded_limit(
    constraints: list[dict[str, Any]], counted: list[str], at: datetime = T, ends_at: datetime | None = None
) -> ExceededLimit | None:
    events = sorted(map(utc, counted))
    checks: list[LimitCheck] = rules.checks_of(limits(*constraints), at, UTC_ZONE)
    return rules.first_exceeded(checks, len(events), events, UTC_ZONE, ends_at)


DAY_1 = {"maxEarnForDays": 1, "rollForDays": 1}
DAY_2 = {"maxEarnForDays": 2, "rollForDays": 1}
MONTH_1 = {"maxEarnForMonths": 1, "rollForMonths": 1}


@pytest.mark.parametrize(
    ("constraint", "counted", "used", "again"),
    [
        (DAY_1, [], None, None),
        (DAY_1, ["2024-03-09T12:00:00Z"], None, None),  # exactly when the last event leaves the window
        (DAY_1, ["2024-03-09T12:00:00.000001Z"], 1, "2024-03-10T12:00:00.000001Z"),
        (DAY_1, ["2024-03-10T12:00:00Z"], 1, "2024-03-11T12:00:00Z"),
        (DAY_1, ["2024-03-11T11:59:59.999999Z"], 1, "2024-03-12T11:59:59.999999Z"),  # a later event that arrived first
        (DAY_1, ["2024-03-11T12:00:00Z"], None, None),
        (DAY_2, ["2024-03-10T00:00:00Z", "2024-03-11T01:00:00Z"], None, None),
        (DAY_2, ["2024-03-10T10:00:00Z", "2024-03-11T09:00:00Z"], 2, "2024-03-11T10:00:00Z"),
        (DAY_2, ["2024-03-11T09:00:00Z", "2024-03-11T10:00:00Z"], 2, "2024-03-12T09:00:00Z"),
        ({"maxEarnForWeeks": 1, "rollForWeeks": 2}, ["2024-02-25T12:00:00Z"], None, None),
        ({"maxEarnForWeeks": 1, "rollForWeeks": 2}, ["2024-02-25T12:00:01Z"], 1, "2024-03-10T12:00:01Z"),
        (MONTH_1, ["2024-02-10T12:00:00Z"], None, None),
        (MONTH_1, ["2024-02-10T12:00:01Z"], 1, "2024-03-10T12:00:01Z"),
    ],
)  # fmt: skip
def test_rolling_window(
    constraint: dict[str, Any], counted: list[str], used: int | None, again: str | None
) -> None:
    exceeded = exceeded_limit([constraint], counted)
    assert (exceeded and exceeded.used) == used
    assert (exceeded and exceeded.available_from) == (again and utc(again))


@pytest.mark.parametrize(
    ("earned", "at", "again"),
    [
        (
            "2024-01-31T10:00:00Z",
            "2024-02-29T10:00:00Z",
            "2024-03-01T00:00:00Z",
        ),  # clamped: 29 January is before it
        ("2024-01-31T10:00:00Z", "2024-03-01T00:00:00Z", None),
        ("2024-01-29T10:00:00Z", "2024-02-29T10:00:00Z", None),
        ("2024-02-29T10:00:00Z", "2024-03-29T09:59:59Z", "2024-03-29T10:00:00Z"),
        (
            "2024-02-29T10:00:00Z",
            "2024-03-31T09:00:00Z",
            "2024-03-31T10:00:00Z",
        ),  # 29 February again, and earlier
    ],
)
def test_rolling_month_at_the_ends_of_months(earned: str, at: str, again: str | None) -> None:
    exceeded = exceeded_limit([MONTH_1], [earned], utc(at))
    assert (exceeded and exceeded.available_from) == (again and utc(again))


def test_limits_are_checked_in_the_order_of_the_list() -> None:
    both = {**DAY_1, "maxEarnForWeeks": 1, "rollForWeeks": 1}
    hour_ago = ["2024-03-10T11:00:00Z"]
    for constraints, reference in (
        ([both], "customerConstraints[0].rollForDays"),
        ([{"maxEarnForWeeks": 1, "rollForWeeks": 1}, DAY_1], "customerConstraints[0].rollForWeeks"),
        ([DAY_2, MONTH_1, DAY_1], "customerConstraints[1].rollForMonths"),
    ):
        exceeded = exceeded_limit(constraints, hour_ago)
        assert exceeded is not None
        assert exceeded.reference == reference


def test_available_from_is_none_after_the_end_of_the_badge() -> None:
    counted, again = ["2024-03-10T11:00:00Z"], utc("2024-03-11T11:00:00Z")
    for ends_at, expected in ((again + MICROSECOND, again), (again, None)):
        exceeded = exceeded_limit([DAY_1], counted, ends_at=ends_at)
        assert exceeded is not None
        assert exceeded.available_from == expected


def cycle_told(counted: list[str], at: str) -> ExceededLimit | None:
    result = window(MONDAY, durationType="WEEKS", maxEarnLimit=2)
    checks = rules.checks_of([result], utc(at), BERLIN)
    return rules.first_exceeded(checks, 9, sorted(map(utc, counted)), BERLIN, None)


@pytest.mark.parametrize(
    ("counted", "used", "again"),
    [
        (
            ["2023-10-01T21:59:59Z", "2023-10-01T22:00:00Z"],
            None,
            None,
        ),  # the last instant of a cycle, and the first of the next
        (["2023-10-01T22:00:00Z", "2023-10-08T21:59:59.999999Z"], 2, "2023-10-08T22:00:00Z"),
        (["2023-10-01T22:00:00Z", "2023-10-08T22:00:00Z"], None, None),
        (["2023-10-02T09:00:00Z"] * 3, 3, "2023-10-08T22:00:00Z"),
        (["2023-10-02T09:00:00Z"] * 2 + ["2023-10-09T09:00:00Z"] * 2, 2, "2023-10-15T22:00:00Z"),
    ],
)
def test_fixed_window(counted: list[str], used: int | None, again: str | None) -> None:
    exceeded = cycle_told(counted, "2023-10-04T10:00:00Z")
    assert (exceeded and exceeded.used) == used
    assert (exceeded and exceeded.available_from) == (again and utc(again))


def test_fixed_value_counts_all_events_and_is_never_available_again() -> None:
    constraint = msgspec.convert(
        {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 2}, Constraint
    )
    checks = rules.checks_of(rules.limits_of("customerConstraints", [constraint], T, UTC_ZONE), T, UTC_ZONE)
    assert rules.first_exceeded(checks, 1, [], UTC_ZONE, None) is None
    assert rules.first_exceeded(checks, 2, [], UTC_ZONE, None) == ExceededLimit(
        "customerConstraints[0]", 2, 2, None
    )
    assert rules.lookback(checks, UTC_ZONE) is None


def test_badge_limits_have_the_same_kinds() -> None:
    constraints_ = [
        {"constraintType": "BADGE_NO_LIMIT"},
        {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1},
        {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "WEEKS", "rollValue": 2, "maxEarnLimit": 3},
        {"constraintType": "BADGE_FIXED_WINDOW", "durationType": "MONTHLY", "maxEarnLimit": 4},
    ]
    result = rules.limits_of("badgeConstraints", msgspec.convert(constraints_, list[Constraint]), T, UTC_ZONE)
    assert [(limit.reference, limit.limit) for limit in result] == [
        ("badgeConstraints[1]", 1), ("badgeConstraints[2]", 3), ("badgeConstraints[3]", 4),
    ]  # fmt: skip
    assert rules.checks_of(result, T, UTC_ZONE)[1].opens == T - timedelta(days=14)
    assert date(2024, 3, 31) == rules.cycle_at(result[2], T, UTC_ZONE).last_day  # pyright: ignore[reportArgumentType]
