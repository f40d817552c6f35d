"""Limits as defined in docs/reference/api/limits.md, implemented for the checker without code of the service.

A limit is checked against the events that are in the ledger after the run, in any order of issuance.
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
    """A limit on a set of events."""

    description: str
    find_excess: Callable[[list[datetime]], str | None]
    """Describe how events, in ascending order, exceed the limit. Return None if they do not."""


def limits_of(constraints: Iterable[dict[str, Any]], starts_on: datetime, zone: ZoneInfo) -> list[Limit]:
    """Return the limits that constraints of a badge define, per customer or for the badge as a whole."""
    return [limit for constraint in constraints for limit in _limits(constraint, starts_on, zone)]


def _limits(constraint: dict[str, Any], starts_on: datetime, zone: ZoneInfo) -> list[Limit]:
    match constraint["constraintType"].removeprefix("CUSTOMER_").removeprefix("BADGE_"):
        case "NO_LIMIT":
            return []
        case "FIXED_VALUE":
            return [_fixed_value(constraint["maxEarnLimit"])]
        case "ROLLING_WINDOW":
            return [
                _rolling_window(maximum, length, unit, zone)
                for maximum, length, unit in _rolling_windows(constraint)
            ]
        case "FIXED_WINDOW":
            return [_cycle(constraint, starts_on, zone)]
        case other:
            raise ValueError(other)


def _fixed_value(maximum: int) -> Limit:
    def find_excess(events: list[datetime]) -> str | None:
        return f"{len(events)} in total" if len(events) > maximum else None

    return Limit(f"at most {maximum}", find_excess)


def _rolling_windows(constraint: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Return maximum, length and unit of each rolling window."""
    if "rollType" in constraint:
        return [(constraint["maxEarnLimit"], constraint["rollValue"], constraint["rollType"])]
    return [
        (constraint[f"maxEarnFor{unit}"], constraint[f"rollFor{unit}"], unit.upper())
        for unit in ("Days", "Weeks", "Months")
        if f"rollFor{unit}" in constraint
    ]


def _rolling_window(maximum: int, length: int, unit: str, zone: ZoneInfo) -> Limit:
    def find_excess(events: list[datetime]) -> str | None:
        for index, event in enumerate(events):
            # Of several events at the same instant, the last one counts all of them.
            count = index + 1 - bisect_right(events, _window_start(event, length, unit, zone))
            if count > maximum:
                return f"{count} in the window that ends at {event.isoformat()}"
        return None

    return Limit(f"at most {maximum} in {length} {unit}", find_excess)


def _window_start(end: datetime, length: int, unit: str, zone: ZoneInfo) -> datetime:
    """Return the exclusive start of the rolling window that ends at `end`."""
    if unit not in MONTHS:
        return end - timedelta(hours=24 * UNITS[unit] * length)
    local = end.astimezone(zone)
    months = local.year * 12 + local.month - 1 - length
    year, month = divmod(months, 12)
    day = min(local.day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day).astimezone(end.tzinfo)


def _cycle(constraint: dict[str, Any], starts_on: datetime, zone: ZoneInfo) -> Limit:
    maximum, unit = constraint["maxEarnLimit"], constraint["durationType"]
    first_day = starts_on.astimezone(zone).date()

    def cycle_of(day: date) -> object:
        if unit in MONTHS:
            return day.year, day.month
        if UNITS[unit] == 7:
            return (day - timedelta(days=(day.weekday() - _first_weekday(constraint)) % 7)).isoformat()
        return (day - first_day).days // constraint.get("refreshRate", 1)

    def find_excess(events: list[datetime]) -> str | None:
        counts = Counter(cycle_of(event.astimezone(zone).date()) for event in events)
        return next((f"{count} in cycle {cycle}" for cycle, count in counts.items() if count > maximum), None)

    return Limit(f"at most {maximum} per cycle of {unit}", find_excess)


def _first_weekday(constraint: dict[str, Any]) -> int:
    """Return the weekday on which a cycle of weeks starts. Monday is 0."""
    day = constraint.get("startDayOfTheWeek", "MONDAY")
    return WEEKDAYS.index(day) if isinstance(day, str) else day - 1
