"""Property of times in the API: a formatted time is parsed to exactly the same time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cockade.times import EARLIEST, LATEST, epoch, iso, read_instant
from tests.property.laws import instants_between, law

# Most JSON parsers read numbers as doubles, which are exact to the microsecond until here.
EXACT_UNTIL = datetime(2242, 3, 16, tzinfo=UTC)
MICROSECONDS_MAX = (LATEST - EARLIEST) // timedelta(microseconds=1) - 1

instants = instants_between("1970-01-01", "2999-12-31T23:59:59.999999")
exact_instants = instants.filter(lambda instant: instant < EXACT_UNTIL)
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@law
@given(exact_instants)
def test_epoch_seconds_round_trip_to_the_microsecond(instant: datetime) -> None:
    sent: Any = msgspec.json.decode(msgspec.json.encode(epoch(instant)))
    if sent >= 10**11:
        return
    assert read_instant(sent) == instant
    assert read_instant(repr(sent)) == instant


@law
@given(instants, offsets)
def test_iso_round_trip_to_the_microsecond_in_any_time_zone(instant: datetime, offset: timezone) -> None:
    assert read_instant(instant.isoformat()) == instant
    if timedelta(days=2) < instant - EARLIEST and timedelta(days=2) < LATEST - instant:
        assert read_instant(instant.astimezone(offset).isoformat()) == instant


@law
@given(instants)
def test_formatted_iso_time_is_less_than_a_second_earlier(instant: datetime) -> None:
    assert timedelta(0) <= instant - read_instant(iso(instant)) < timedelta(seconds=1)


@law
@given(instants, st.text("0123456789", min_size=1, max_size=30))
def test_fraction_of_any_length_is_truncated_and_never_rounded(instant: datetime, digits: str) -> None:
    second = instant.replace(microsecond=0)
    expected = second + timedelta(microseconds=int(digits[:6].ljust(6, "0")))
    assert read_instant(f"{second.strftime('%Y-%m-%dT%H:%M:%S')}.{digits}Z") == expected


@law
@given(st.integers(10**11, MICROSECONDS_MAX // 1000))
def test_milliseconds_and_seconds_are_the_same_time(milliseconds: int) -> None:
    expected = EARLIEST + timedelta(milliseconds=milliseconds)
    assert read_instant(str(milliseconds)) == expected
    assert read_instant(float(milliseconds)) == expected
    assert read_instant(f"{milliseconds // 1000}.{milliseconds % 1000:03}") == expected


@law
@given(
    st.floats()
    | st.text(max_size=40)
    | st.from_regex(r"[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}[Tt ]?[0-9:.,Zz+-]{0,20}")
)
def test_any_input_is_a_valid_time_or_a_value_error(value: float | str) -> None:
    try:
        instant = read_instant(value)
    except ValueError:
        return
    assert EARLIEST <= instant < LATEST
    assert instant.utcoffset() == timedelta(0)
