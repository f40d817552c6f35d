"""Properties of validity: relative days add up, months keep the wall time or are clamped, windows are
half-open.
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from cockade.badge import rules
from cockade.badge.model import (
    BadgeExpiry,
    BadgeStatus,
    Constraint,
    ConstraintType,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    OverlapPolicy,
    RelativeExpiry,
)
from tests.property.laws import instants_between, law

ENDS = datetime(2100, 1, 1, tzinfo=UTC)
instants = instants_between("1970-01-03", "2999-12-30")
zones = st.sampled_from(
    [
        ZoneInfo(name)
        for name in (
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "Pacific/Apia",
        )
    ]
)
month_counts = st.integers(1, 1_200)


@law
@given(instants, st.integers(1, 18_000), st.integers(1, 18_000), zones)
def test_relative_days_add_up(event_at: datetime, first: int, second: int, zone: ZoneInfo) -> None:
    def days(value: int, at: datetime) -> datetime:
        return rules.valid_until(RelativeExpiry(ExpiryUnit.DAYS, value), at, ENDS, zone)

    assert days(second, days(first, event_at)) == days(first + second, event_at)
    assert days(first, event_at) - event_at == first * timedelta(hours=24)


@law
@given(instants, st.integers(1, 5_000), zones)
def test_a_week_is_seven_days(event_at: datetime, value: int, zone: ZoneInfo) -> None:
    weeks, days = RelativeExpiry(ExpiryUnit.WEEKS, value), RelativeExpiry(ExpiryUnit.DAYS, 7 * value)
    assert rules.valid_until(weeks, event_at, ENDS, zone) == rules.valid_until(days, event_at, ENDS, zone)


@law
@given(instants, month_counts, zones)
def test_months_keep_the_wall_time_or_are_clamped_to_the_end_of_the_month(
    event_at: datetime, value: int, zone: ZoneInfo
) -> None:
    until = rules.valid_until(RelativeExpiry(ExpiryUnit.MONTHS, value), event_at, ENDS, zone)
    before, after = event_at.astimezone(zone), until.astimezone(zone)
    year, month0 = divmod(before.year * 12 + before.month - 1 + value, 12)
    expected = before.replace(
        year=year, month=month0 + 1, day=min(before.day, calendar.monthrange(year, month0 + 1)[1])
    )
    if expected.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == expected.replace(tzinfo=None):
        assert after.replace(tzinfo=None) == expected.replace(tzinfo=None)
    else:  # clocks went forward, by at most a day: the wall time does not exist
        assert timedelta(0) < after.replace(tzinfo=None) - expected.replace(tzinfo=None) <= timedelta(days=1)
    assert until > event_at
    assert until.utcoffset() == timedelta(0)


@law
@given(instants, month_counts)
def test_subtracting_months_leads_back_to_the_same_month_without_clock_changes(
    event_at: datetime, value: int
) -> None:
    zone = ZoneInfo("UTC")
    back = rules.add_months(rules.add_months(event_at, value, zone), -value, zone)
    assert (back.year, back.month, back.time()) == (event_at.year, event_at.month, event_at.time())
    assert back.day == event_at.day or back.day >= 28


@law
@given(instants, instants, zones)
def test_fixed_expiries_do_not_depend_on_the_event(
    event_at: datetime, ends: datetime, zone: ZoneInfo
) -> None:
    assert rules.valid_until(FixedExpiry(ends), event_at, ENDS, zone) == ends
    assert rules.valid_until(BadgeExpiry(), event_at, ends, zone) == ends


@law
@given(instants, zones)
def test_never_is_in_a_hundred_years(event_at: datetime, zone: ZoneInfo) -> None:
    until = rules.valid_until(NeverExpiry(), event_at, ENDS, zone)
    assert until.astimezone(zone).year - event_at.astimezone(zone).year in (100, 101)
    assert abs(until - event_at - timedelta(days=36_524.5)) < timedelta(days=2)


@law
@given(instants, instants, instants)
def test_status_changes_only_at_the_two_ends_of_the_window(a: datetime, b: datetime, now: datetime) -> None:
    starts_at, expires_at = sorted((a, b))
    status = rules.status_at(starts_at, expires_at, now)
    assert (status is BadgeStatus.UPCOMING) == (now < starts_at)
    assert (status is BadgeStatus.EXPIRED) == (now >= expires_at and now >= starts_at)


@law
@given(
    st.sampled_from([None, *OverlapPolicy]),
    st.lists(
        st.builds(
            Constraint,
            constraint_type=st.sampled_from(list(ConstraintType)[:4]),
            max_earn_limit=st.none() | st.integers(1, 3),
        ),
        max_size=4,
    ),
)
def test_overlap_policy_decides_alone_and_order_of_constraints_does_not_matter(
    policy: OverlapPolicy | None, constraints: list[Constraint]
) -> None:
    several = rules.holds_several(policy, constraints)
    assert rules.holds_several(policy, constraints[::-1]) is several
    if policy is not None:
        assert several is (policy is OverlapPolicy.ALLOW)
    else:
        assert several is any(rules.holds_several(None, [constraint]) for constraint in constraints)
