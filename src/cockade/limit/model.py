"""Limits on earning, in the form that decisions need."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from cockade.badge.model import ExpiryUnit
from cockade.ids import BadgeKey


class FixedValue(Struct, frozen=True, kw_only=True):
    """A maximum number overall."""

    reference: str
    """Path of the constraint: `customerConstraints[0]`."""
    limit: int


class RollingWindow(Struct, frozen=True, kw_only=True):
    """A maximum number in every window of this length, wherever it begins."""

    reference: str
    """Path of the length: `customerConstraints[1].rollForDays`."""
    limit: int
    unit: ExpiryUnit
    """Days of 24 h, weeks of 7 × 24 h, calendar months in the org's time zone."""
    length: int


class FixedWindow(Struct, frozen=True, kw_only=True):
    """A maximum number in each cycle of whole days in the org's time zone."""

    reference: str
    """Path of the constraint: `badgeConstraints[0]`."""
    limit: int
    unit: ExpiryUnit
    days: int
    """Days per cycle, if cycles are counted in days."""
    weekday: int
    """Weekday on which a weekly cycle begins, 0 for Monday."""
    first_day: date
    """First day of the first cycle: the badge's start date."""
    reference_id: str | None
    """Id of the constraint."""


Limit = FixedValue | RollingWindow | FixedWindow


class CycleStatus(StrEnum):
    """The status of a cycle at an instant."""

    UPCOMING = "UPCOMING"
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"


class Cycle(Struct, frozen=True, order=True):
    """The first and last day of a cycle."""

    first_day: date
    last_day: date


class LimitCheck(Struct, frozen=True, kw_only=True):
    """A limit, and the window that contains the event."""

    limit: Limit
    opens: datetime
    """Cycle: its first instant. Rolling window: the last instant before it."""
    closes: datetime
    """Cycle: the first instant after it. Rolling window: the event date, its last instant."""


class LimitUsage(Struct, frozen=True, kw_only=True):
    """The usage of a badge limit in the window that contains the event."""

    limit: Limit
    used: int
    available_from: datetime | None
    """Once used up: the earliest event date that is allowed again. None if there is none."""


class Span(Struct, frozen=True, array_like=True):
    """A half-open window of a badge."""

    badge_key: BadgeKey
    opens: datetime
    closes: datetime


class TimeRange(Struct, frozen=True, array_like=True):
    """A part of a window that can be read from the counters."""

    bucket_s: int
    """3600 for whole hours, 0 for single instants."""
    opens: datetime
    closes: datetime
