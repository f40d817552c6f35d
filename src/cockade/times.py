"""Conversion of instants from and to the API (docs/reference/api/contract.md, "Time").

Input: ISO 8601 with an offset or `Z`, or epoch seconds or milliseconds as a number or numeric string. Output:
epoch seconds as a number with fraction, and ISO 8601 in UTC to the second.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal, InvalidOperation

MILLISECONDS_FROM = 10**11
"""Numbers from this on are milliseconds."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""Times outside [1970, 3000) are rejected: no badge needs them, and sums could overflow."""

_COUNTED_FROM = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,100})?")
_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d+))?(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})",
    re.IGNORECASE,
)
_WITHOUT_OFFSET = re.compile(r"\d{4}-\d{2}-\d{2}([T ][\d:.,]+)?")


def read_instant(value: float | str) -> datetime:
    """Return the instant in UTC, cut to microseconds. Raises ValueError with a message for the caller."""
    if not isinstance(value, str):
        instant = _from_number(repr(value))
    elif _NUMBER.fullmatch(value.strip()):
        instant = _from_number(value.strip())
    else:
        instant = _from_iso(value.strip())
    if not EARLIEST <= instant < LATEST:
        raise ValueError("The time must be between the years 1970 and 2999.")
    return instant


def epoch(instant: datetime) -> float:
    """Return epoch seconds with the fraction, exact to the microsecond until the year 2242, and to two
    microseconds after.
    """
    return instant.timestamp()


def iso(instant: datetime) -> str:
    """Return ISO 8601 in UTC to the second: `2026-12-03T15:19:37Z`."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def microseconds(instant: datetime) -> int:
    """Return PostgreSQL's representation: microseconds since the year 2000."""
    return (instant - _COUNTED_FROM) // MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The inverse of `microseconds`."""
    return _COUNTED_FROM + timedelta(microseconds=count)


def _from_number(text: str) -> datetime:
    try:
        number = Decimal(text)
        if abs(number) >= MILLISECONDS_FROM:
            number /= 1000
        microseconds = int((number * 1_000_000).to_integral_value(ROUND_DOWN))
        return EARLIEST + timedelta(microseconds=microseconds)
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError("The time must be between the years 1970 and 2999.") from None


def _from_iso(text: str) -> datetime:
    match = _ISO.fullmatch(text)
    if match is None:
        if _WITHOUT_OFFSET.fullmatch(text):
            raise ValueError("The time has no offset; add Z or an offset such as +02:00.")
        raise ValueError("Not a valid time: send ISO 8601 with an offset, or epoch seconds or milliseconds.")
    date, clock, fraction, offset = match.groups()
    try:
        return datetime.fromisoformat(f"{date}T{clock}{_microseconds(fraction)}{offset.upper()}").astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        raise ValueError("This date or time of day does not exist.") from None


def _microseconds(fraction: str | None) -> str:
    return "" if fraction is None else f".{fraction[:6]:0<6}"


def whole_seconds(span: timedelta) -> int:
    """Return the length in whole seconds, rounded up."""
    return -(-span // timedelta(seconds=1))
