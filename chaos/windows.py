"""Limits according to docs/reference/api/limits.md, for the checker. Shares no code with the service.

A limit is checked on the set of events in the ledger at the end, whatever their order.
"""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

UNITS = {"DAYS": 1, "DAILY": 1, "WEEKS": 7, "WEEKLY": 7}
MONTHS = {"MONTHS", "MONTHLY"}
WEEKDAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]


class Limit(Struct, frozen=True):
    """A limit that can tell whether a set of events, in ascending order, exceeds it."""

    says: str
    exceeded: Callable[[list[datetime]], str | None]
    """Returns a description of the excess, or None."""


def limits_of(constraints: Iterable[dict[str, Any]], starts_on: datetime, zone: ZoneInfo) -> list[Limit]:
    """Return the limits that the constraints of a badge define, per customer or for the badge as a whole."""
    return [limit for constraint in constraints for limit in _limits(constraint, starts_on, zone)]


def _limits(constraint: dict[str, Any], starts_on: datetime, zone: ZoneInfo) -> list[Limit]:
    match constraint["constraintType"].removeprefix("CUSTOMER_").removeprefix("BADGE_"):
        case "NO_LIMIT":
            return []
        case "FIXED_VALUE":
            return [_fixed_value(constraint["maxEarnLimit"])]
        case "ROLLING_WINDOW":
            return [_rolling(count, length, unit, zone) for count, length, unit in _lengths(constraint)]
        case "FIXED_WINDOW":
            return [_cycles(constraint, starts_on, zone)]
        case other:
            raise ValueError(other)


def _fixed_value(most: int) -> Limit:
    def exceeded(events: list[datetime]) -> str | None:
        return f"{len(events)} in all" if len(events) > most else None

    return Limit(f"{most} ever", exceeded)


def _lengths(constraint: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Return (maximum, length, unit) for each window."""
    if "rollType" in constraint:
        return [(constraint["maxEarnLimit"], constraint["rollValue"], constraint["rollType"])]
    return [
        (constraint[f"maxEarnFor{unit}"], constraint[f"rollFor{unit}"], unit.upper())
        for unit in ("Days", "Weeks", "Months")
        if f"rollFor{unit}" in constraint
    ]


def _rolling(most: int, length: int, unit: str, zone: ZoneInfo) -> Limit:
    def exceeded(events: list[datetime]) -> str | None:
        for place, event in enumerate(events):
            inside = place + 1 - bisect_right(events, _back(event, length, unit, zone))
            # The last of several events at the same instant counts all of them.
            if inside > most:
                return f"{inside} in the window that ends at {event.isoformat()}"
        return None

    return Limit(f"{most} in {length} {unit}", exceeded)


def _back(at: datetime, length: int, unit: str, zone: ZoneInfo) -> datetime:
    """Return the instant at which a window that ends at `at` begins."""
    if unit not in MONTHS:
        return at - timedelta(hours=24 * UNITS[unit] * length)
    local = at.astimezone(zone)
    months = local.year * 12 + local.month - 1 - length
    year, month = divmod(months, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day).astimezone(at.tzinfo)


def _cycles(constraint: dict[str, Any], starts_on: datetime, zone: ZoneInfo) -> Limit:
    most, unit = constraint["maxEarnLimit"], constraint["durationType"]
    first = starts_on.astimezone(zone).date()

    def cycle(day: date) -> object:
        if unit in MONTHS:
            return day.year, day.month
        if UNITS[unit] == 7:
            return (day - timedelta(days=(day.weekday() - _weekday(constraint)) % 7)).isoformat()
        return (day - first).days // constraint.get("refreshRate", 1)

    def exceeded(events: list[datetime]) -> str | None:
        counts = Counter(cycle(event.astimezone(zone).date()) for event in events)
        return next((f"{count} in cycle {name}" for name, count in counts.items() if count > most), None)

    return Limit(f"{most} in each cycle of {unit}", exceeded)


def _weekday(constraint: dict[str, Any]) -> int:
    given = constraint.get("startDayOfTheWeek", "MONDAY")
    return WEEKDAYS.index(given) if isinstance(given, str) else given - 1
