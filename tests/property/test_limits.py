"""Properties of limits: decisions match those of a slow and simple model, for events in any order."""

from __future__ import annotations

from bisect import insort
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cockade.badge.model import Constraint
from cockade.limit import rules
from cockade.limit.model import FixedValue, FixedWindow, RollingWindow
from tests import limit_model
from tests.property.laws import instants_between, law

MICROSECOND = timedelta(microseconds=1)
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Auckland")
]
STARTS = [
    datetime(2018, 1, 20, 15, 30, tzinfo=UTC),
    datetime(2023, 9, 24, 22, tzinfo=UTC),
    datetime(2024, 1, 30, 23, 59, tzinfo=UTC),
]
counts = st.integers(1, 4)
units = st.sampled_from(["DAYS", "WEEKS", "MONTHS"])


@st.composite
def rolling(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(["Days", "Weeks", "Months"]), min_size=1, unique=True))
    pairs = {
        name: value
        for unit in chosen
        for name, value in (
            (f"maxEarnFor{unit}", draw(counts)),
            (f"rollFor{unit}", draw(st.integers(1, 3))),
        )
    }
    return {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", **pairs}


@st.composite
def fixed_windows(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "constraintType": "CUSTOMER_BADGE_FIXED_WINDOW",
        "maxEarnLimit": draw(counts),
        "durationType": draw(st.sampled_from(["DAYS", "WEEKS", "MONTHS", "DAILY", "WEEKLY", "MONTHLY"])),
        "refreshRate": draw(st.none() | st.integers(1, 40)),
        "startDayOfTheWeek": draw(
            st.none() | st.sampled_from(limit_model.WEEKDAYS) | st.integers(1, 7) | st.sampled_from("1234567")
        ),
    }


fixed_values = st.builds(
    lambda limit: {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": limit}, st.integers(1, 12)
)
no_limits = st.just({"constraintType": "CUSTOMER_BADGE_NO_LIMIT"})
constraint_lists = st.lists(rolling() | fixed_windows() | fixed_values | no_limits, min_size=1, max_size=4)


@st.composite
def events(draw: st.DrawFn, starts_at: datetime, zone: ZoneInfo) -> datetime:
    """A time after the badge's start: random, near a midnight, or a whole number of days later."""
    at = starts_at + draw(
        st.timedeltas(timedelta(), timedelta(days=420))
        | st.integers(0, 420).map(lambda days: timedelta(days=days))
        | st.integers(0, 24 * 90).map(lambda hours: timedelta(hours=hours))
    )
    if draw(st.booleans()):
        at = limit_model.midnight(at.astimezone(zone).date(), zone)
        at += draw(st.sampled_from([-MICROSECOND, timedelta(), MICROSECOND, timedelta(hours=1)]))
    return max(at, starts_at)


@law
@given(st.data(), constraint_lists, st.sampled_from(ZONES), st.sampled_from(STARTS))
def test_decisions_match_the_model_and_no_window_exceeds_its_limit(
    data: st.DataObject, constraints: list[dict[str, Any]], zone: ZoneInfo, starts_at: datetime
) -> None:
    limits = rules.limits_of(
        "customerConstraints", msgspec.convert(constraints, list[Constraint]), starts_at, zone
    )
    model = limit_model.limits("customerConstraints", constraints)
    assert [(limit.reference, limit.limit) for limit in limits] == [(path, limit) for path, limit, _ in model]
    counted: list[datetime] = []
    for at in data.draw(st.lists(events(starts_at, zone), min_size=1, max_size=14)):
        if counted and data.draw(st.integers(0, 9)) == 0:
            counted.remove(data.draw(st.sampled_from(counted)))  # revoked
        checks = rules.checks_of(limits, at, zone)
        reach = rules.lookback(checks, zone)
        seen = [] if reach is None else [event for event in counted if reach[0] <= event < reach[1]]
        exceeded = rules.first_exceeded(checks, len(counted), seen, zone, None)
        expected = limit_model.first_full(model, counted, at, starts_at, zone)
        actual = exceeded and (exceeded.reference, exceeded.limit, exceeded.used)
        assert actual == expected
        if exceeded is None:
            insort(counted, at)
            assert limit_model.overrun(model, counted, starts_at, zone) == []


@law
@given(st.data(), rolling() | fixed_windows() | fixed_values, st.sampled_from(ZONES), st.sampled_from(STARTS))
def test_limit_is_available_at_available_from_and_not_earlier(
    data: st.DataObject, constraint: dict[str, Any], zone: ZoneInfo, starts_at: datetime
) -> None:
    """For events in ascending order, so that no event after the failed one is counted."""
    limits = rules.limits_of(
        "customerConstraints", msgspec.convert([constraint], list[Constraint]), starts_at, zone
    )
    model = limit_model.limits("customerConstraints", [constraint])
    counted: list[datetime] = []
    for at in sorted(data.draw(st.lists(events(starts_at, zone), min_size=2, max_size=14))):
        checks = rules.checks_of(limits, at, zone)
        exceeded = rules.first_exceeded(checks, len(counted), counted, zone, None)
        if exceeded is None:
            counted.append(at)
            continue
        index = [limit.reference for limit in limits].index(exceeded.reference)
        limit, available_from = limits[index], exceeded.available_from
        if isinstance(limit, FixedValue):
            assert available_from is None
            continue
        assert available_from is not None
        assert available_from > at
        one = [model[index]]
        assert limit_model.first_full(one, counted, available_from, starts_at, zone) is None
        if isinstance(limit, FixedWindow) or limit_model_is_regular(limit):
            assert (
                limit_model.first_full(one, counted, available_from - MICROSECOND, starts_at, zone)
                is not None
            )


def limit_model_is_regular(limit: RollingWindow) -> bool:
    """Calendar months are irregular: at clock changes and ends of months, events leave the window in jumps."""
    return limit.unit != "MONTHS"


@law
@given(st.sampled_from(ZONES), st.sampled_from(STARTS), fixed_windows(), st.just(0) | st.integers(0, 500))
def test_cycles_follow_each_other_without_gaps(
    zone: ZoneInfo, starts_at: datetime, constraint: dict[str, Any], number: int
) -> None:
    [window] = rules.limits_of(
        "customerConstraints", [msgspec.convert(constraint, Constraint)], starts_at, zone
    )
    assert isinstance(window, FixedWindow)
    cycle = rules.nth_cycle(window, number)
    assert rules.index_of(window, cycle.first_day) == rules.index_of(window, cycle.last_day) == number
    opens, closes = rules.bounds(cycle, zone)
    assert rules.cycle_at(window, opens, zone) == rules.cycle_at(window, closes - MICROSECOND, zone) == cycle
    assert rules.bounds(rules.next_cycle(window, cycle), zone)[0] == closes
    first = starts_at.astimezone(zone).date()
    if number < 60:
        assert (cycle.first_day, cycle.last_day) in limit_model.cycle_days(constraint, first, cycle.last_day)


@law
@given(
    instants_between("2020-01-01", "2020-03-01"),
    st.timedeltas(MICROSECOND, timedelta(days=3)),
)
def test_ranges_of_a_window_cover_the_window(opens: datetime, length: timedelta) -> None:
    closes = opens + length
    pieces = rules.ranges_of(opens, closes)
    assert pieces[0].opens == opens
    assert pieces[-1].closes == closes
    assert all(before.closes == after.opens for before, after in pairwise(pieces))
    for piece in pieces:
        assert piece.opens < piece.closes
        if piece.bucket_s:
            assert (piece.opens.minute, piece.opens.second, piece.opens.microsecond) == (0, 0, 0)
            assert (piece.closes.minute, piece.closes.second, piece.closes.microsecond) == (0, 0, 0)
        else:
            assert piece.closes - piece.opens < timedelta(hours=2)
