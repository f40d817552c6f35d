"""The contract's limits as a slow and simple model, to compare with the implementation.

Only the JSON form of a constraint comes from cockade.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

WEEKDAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
UNITS = {"DAILY": "DAYS", "WEEKLY": "WEEKS", "MONTHLY": "MONTHS"}


def back(end: datetime, unit: str, length: int, zone: ZoneInfo) -> datetime:
    """Return the instant a length before `end`: days of 24 hours, weeks of 7 such days, calendar months at
    the same wall time, clamped.
    """
    if unit == "DAYS":
        return end - timedelta(hours=24 * length)
    if unit == "WEEKS":
        return end - timedelta(hours=24 * 7 * length)
    local = end.astimezone(zone)
    year, month = local.year, local.month
    for _ in range(length):
        year, month = (year - 1, 12) if month == 1 else (year, month - 1)
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(UTC)


def cycle_days(constraint: dict[str, Any], first: date, upto: date) -> list[tuple[date, date]]:
    """Return the cycles from the badge's first day on, day by day. The last one contains `upto` or ends
    before it.
    """
    unit = UNITS.get(constraint["durationType"], constraint["durationType"])
    given = constraint.get("startDayOfTheWeek") or "MONDAY"
    begins = WEEKDAYS.index(given) if given in WEEKDAYS else int(given) - 1
    cycles: list[tuple[date, date]] = []
    day = start = first
    while start <= upto:
        tomorrow = day + timedelta(days=1)
        if unit == "DAYS":
            is_last = (tomorrow - start).days >= (constraint.get("refreshRate") or 1)
        elif unit == "WEEKS":
            is_last = tomorrow.weekday() == begins
        else:
            is_last = tomorrow.day == 1
        if is_last:
            cycles.append((start, day))
            start = tomorrow
        day = tomorrow
    return cycles


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which the day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def limits(field: str, constraints: Sequence[dict[str, Any]]) -> list[tuple[str, int, Any]]:
    """Return path, limit and window of every limit, in the order in which they are checked."""
    found: list[tuple[str, int, Any]] = []
    for place, constraint in enumerate(constraints):
        kind, path = constraint["constraintType"], f"{field}[{place}]"
        if kind.endswith("FIXED_VALUE"):
            found.append((path, constraint["maxEarnLimit"], None))
        elif kind.endswith("FIXED_WINDOW"):
            found.append((path, constraint["maxEarnLimit"], constraint))
        elif kind == "BADGE_ROLLING_WINDOW":
            found.append(
                (path, constraint["maxEarnLimit"], (constraint["rollType"], constraint["rollValue"]))
            )
        elif kind == "CUSTOMER_BADGE_ROLLING_WINDOW":
            for unit in ("Days", "Weeks", "Months"):
                if constraint.get(f"rollFor{unit}") is not None:
                    window = (unit.upper(), constraint[f"rollFor{unit}"])
                    found.append((f"{path}.rollFor{unit}", constraint[f"maxEarnFor{unit}"], window))
    return found


def used(window: Any, events: Sequence[datetime], at: datetime, starts_at: datetime, zone: ZoneInfo) -> int:
    """Return how many events count in the fullest window that contains an event at `at`."""
    if window is None:
        return len(events)
    if isinstance(window, tuple):
        unit, length = window
        counts = [0]
        for end in [at, *(event for event in events if event > at)]:
            opens = back(end, unit, length, zone)
            if opens < at <= end:
                counts.append(sum(opens < event <= end for event in events))
        return max(counts)
    first = starts_at.astimezone(zone).date()
    for begin, last in cycle_days(window, first, at.astimezone(zone).date() + timedelta(days=1)):
        opens, closes = midnight(begin, zone), midnight(last + timedelta(days=1), zone)
        if opens <= at < closes:
            return sum(opens <= event < closes for event in events)
    raise AssertionError("no cycle holds the event")


def first_full(
    found: Sequence[tuple[str, int, Any]],
    events: Sequence[datetime],
    at: datetime,
    starts_at: datetime,
    zone: ZoneInfo,
) -> tuple[str, int, int] | None:
    """Return path, limit and use of the first limit that one more event at `at` would exceed."""
    for path, limit, window in found:
        count = used(window, events, at, starts_at, zone)
        if count + 1 > limit:
            return path, limit, count
    return None


def overrun(
    found: Sequence[tuple[str, int, Any]], events: Sequence[datetime], starts_at: datetime, zone: ZoneInfo
) -> list[str]:
    """Return the limits that some window exceeds, checked for every event."""
    return [
        path
        for path, limit, window in found
        if any(used(window, events, at, starts_at, zone) > limit for at in events)
    ]
