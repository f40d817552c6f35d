"""Limits on earning, as decisions need them."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from cockade.badge.model import ExpiryUnit
from cockade.ids import BadgeKey


class FixedValue(Struct, frozen=True, kw_only=True):
    """So many and never more."""

    reference: str
    """The constraint's path: `customerConstraints[0]`."""
    limit: int


class RollingWindow(Struct, frozen=True, kw_only=True):
    """So many in every window of this length, wherever it begins."""

    reference: str
    """The path of the length: `customerConstraints[1].rollForDays`."""
    limit: int
    unit: ExpiryUnit
    """Days of 24 h, weeks of 7 × 24 h, calendar months in the org's time zone."""
    length: int


class FixedWindow(Struct, frozen=True, kw_only=True):
    """So many in each cycle of whole days in the org's time zone."""

    reference: str
    """The constraint's path: `badgeConstraints[0]`."""
    limit: int
    unit: ExpiryUnit
    days: int
    """Days per cycle, where cycles are counted in days."""
    weekday: int
    """The day on which a cycle of a week begins, from 0 for Monday."""
    first_day: date
    """The first day of the first cycle: the badge's start date."""
    reference_id: str | None
    """The constraint's own id."""


Limit = FixedValue | RollingWindow | FixedWindow


class CycleStatus(StrEnum):
    """A cycle against an instant."""

    UPCOMING = "UPCOMING"
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"


class Cycle(Struct, frozen=True, order=True):
    """The days of one cycle, both included."""

    first_day: date
    last_day: date


class LimitCheck(Struct, frozen=True, kw_only=True):
    """A limit, and the window of it that an event falls into."""

    limit: Limit
    opens: datetime
    """Of a cycle the first instant; of a rolling window the last instant that is before it."""
    closes: datetime
    """Of a cycle the first instant after it; of a rolling window the event itself, which is its last."""


class LimitUsage(Struct, frozen=True, kw_only=True):
    """How much of a limit of the badge as a whole is used, in the window that an event falls into."""

    limit: Limit
    used: int
    available_from: datetime | None
    """The earliest event date that it lets pass once it is used up; None: never again."""


class Span(Struct, frozen=True, array_like=True):
    """A window of a badge as a whole, half open."""

    badge_key: BadgeKey
    opens: datetime
    closes: datetime


class TimeRange(Struct, frozen=True, array_like=True):
    """A part of a window that the tally can add up."""

    bucket_s: int
    """3600: whole hours; 0: instants."""
    opens: datetime
    closes: datetime
