"""Parsing and formatting of times in the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cockade.times import LATEST, MILLISECONDS_FROM, epoch, iso, read_instant

NO_OFFSET = "has no offset"
NOT_A_TIME = "Not a valid time"
NO_SUCH_TIME = "does not exist"
OUT_OF_RANGE = "between the years"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-03T21:51:00Z", utc(2023, 11, 3, 21, 51)),
        ("2023-11-03t21:51:00z", utc(2023, 11, 3, 21, 51)),
        ("2023-11-03 21:51:00Z", utc(2023, 11, 3, 21, 51)),
        ("2023-11-03T21:51Z", utc(2023, 11, 3, 21, 51)),
        ("  2023-11-03T21:51:00Z ", utc(2023, 11, 3, 21, 51)),
        ("2023-11-03T21:51:00+00:00", utc(2023, 11, 3, 21, 51)),
        ("2023-11-03T21:51:00+05:30", utc(2023, 11, 3, 16, 21)),
        ("2023-11-03T21:51:00+0530", utc(2023, 11, 3, 16, 21)),
        ("2023-11-03T21:51:00-08", utc(2023, 11, 4, 5, 51)),
        ("2024-02-29T23:59:59-00:01", utc(2024, 3, 1, 0, 0, 59)),
        ("2023-11-03T21:51:00.1Z", utc(2023, 11, 3, 21, 51, 0, 100_000)),
        ("2023-11-03T21:51:00.192Z", utc(2023, 11, 3, 21, 51, 0, 192_000)),
        ("2023-11-03T21:51:00,192Z", utc(2023, 11, 3, 21, 51, 0, 192_000)),
        ("2023-11-03T21:51:00.123456Z", utc(2023, 11, 3, 21, 51, 0, 123_456)),
        ("2023-11-03T21:51:00.1234569Z", utc(2023, 11, 3, 21, 51, 0, 123_456)),
        ("2023-11-03T21:51:00.999999999999Z", utc(2023, 11, 3, 21, 51, 0, 999_999)),
        ("1970-01-01T00:00:00Z", utc(1970, 1, 1)),
        ("2999-12-31T23:59:59.999999Z", utc(2999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_iso_8601_with_an_offset_is_parsed(text: str, expected: datetime) -> None:
    instant = read_instant(text)
    assert instant == expected
    assert instant.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, utc(1970, 1, 1)),
        ("0", utc(1970, 1, 1)),
        (1717935013.0, utc(2024, 6, 9, 12, 10, 13)),
        ("1717935013", utc(2024, 6, 9, 12, 10, 13)),
        (1717935013.121711, utc(2024, 6, 9, 12, 10, 13, 121_711)),
        ("1717935013.121711000", utc(2024, 6, 9, 12, 10, 13, 121_711)),
        ("1717935013.1217119", utc(2024, 6, 9, 12, 10, 13, 121_711)),
        (1717935013121.0, utc(2024, 6, 9, 12, 10, 13, 121_000)),
        ("1717935013121", utc(2024, 6, 9, 12, 10, 13, 121_000)),
        ("1717935013121.711", utc(2024, 6, 9, 12, 10, 13, 121_711)),
        (1e12, utc(2001, 9, 9, 1, 46, 40)),
        # The threshold itself is milliseconds. One second less would be seconds, in the year 5138.
        (float(MILLISECONDS_FROM), utc(1973, 3, 3, 9, 46, 40)),
        (str(MILLISECONDS_FROM), utc(1973, 3, 3, 9, 46, 40)),
    ],
)
def test_epoch_seconds_and_milliseconds_are_parsed(value: float | str, expected: datetime) -> None:
    assert read_instant(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-11-03T21:51:00", NO_OFFSET),
        ("2023-11-03T21:51:00.192", NO_OFFSET),
        ("2023-11-03 21:51", NO_OFFSET),
        ("2023-11-03", NO_OFFSET),
        ("", NOT_A_TIME),
        ("yesterday", NOT_A_TIME),
        ("2023-11", NOT_A_TIME),
        ("03.11.2023", NOT_A_TIME),
        ("2023-11-03T21:51:00 Europe/Berlin", NOT_A_TIME),
        ("-5", NOT_A_TIME),
        ("1e9", NOT_A_TIME),
        ("nan", NOT_A_TIME),
        ("1717935013.", NOT_A_TIME),
        ("2023-02-29T00:00:00Z", NO_SUCH_TIME),
        ("2023-13-01T00:00:00Z", NO_SUCH_TIME),
        ("2023-11-03T25:00:00Z", NO_SUCH_TIME),
        ("2023-11-03T21:60:00Z", NO_SUCH_TIME),
        ("2023-11-03T21:51:00+25:00", NO_SUCH_TIME),
        ("0001-01-01T00:00:00+23:00", NO_SUCH_TIME),
        ("1969-12-31T23:59:59Z", OUT_OF_RANGE),
        ("3000-01-01T00:00:00Z", OUT_OF_RANGE),
        (-1.0, OUT_OF_RANGE),
        (-1e300, OUT_OF_RANGE),
        (float("inf"), OUT_OF_RANGE),
        (float("nan"), OUT_OF_RANGE),
        (1e300, OUT_OF_RANGE),
        (float(MILLISECONDS_FROM - 1), OUT_OF_RANGE),
        (LATEST.timestamp(), OUT_OF_RANGE),
        ("9" * 19, OUT_OF_RANGE),
    ],
)
def test_invalid_time_is_rejected_with_a_message(value: float | str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_instant(value)


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (utc(2024, 6, 9, 12, 10, 13, 121_711), (1717935013.121711, "2024-06-09T12:10:13Z")),
        (utc(1970, 1, 1), (0.0, "1970-01-01T00:00:00Z")),
        (utc(2026, 12, 3, 15, 19, 37, 999_999), (1796311177.999999, "2026-12-03T15:19:37Z")),
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))), (1767218400.0, "2025-12-31T22:00:00Z")),
    ],
)
def test_times_are_formatted_as_epoch_seconds_and_as_utc_to_the_second(
    instant: datetime, expected: tuple[float, str]
) -> None:
    assert (epoch(instant), iso(instant)) == expected
