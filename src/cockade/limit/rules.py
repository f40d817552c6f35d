"""Pure rules for limits (`docs/reference/api/contract.md`, "Limits").

An event is rejected if a window that contains it would exceed its limit. A rolling window `(end − length,
end]` ends at the event, or at a counted event after it that is less than the length away. So events may
arrive in any order, and no window ever exceeds its limit. A fixed window is the cycle that contains the
event.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cockade.badge.model import Constraint, ConstraintType, ExpiryUnit
from cockade.badge.rules import add_months
from cockade.errors import ExceededLimit
from cockade.ids import BadgeKey
from cockade.limit.model import (
    Cycle,
    CycleStatus,
    FixedValue,
    FixedWindow,
    Limit,
    LimitCheck,
    RollingWindow,
    Span,
    TimeRange,
)

MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
CLAMP = timedelta(days=4)
"""The maximum deviation of a calendar month: three days for its length, and hours for clock changes."""
EVER = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))

_ALIASES = {"DAILY": "DAYS", "WEEKLY": "WEEKS", "MONTHLY": "MONTHS"}
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")


# Limits of a badge's constraints


def limits_of(
    field: str, constraints: Sequence[Constraint], starts_at: datetime, zone: ZoneInfo
) -> list[Limit]:
    """Return the limits of one of a badge's two constraint lists, in order. `field` is the name of the list."""
    if not constraints:
        return []
    first_day = starts_at.astimezone(zone).date()
    limits: list[Limit] = []
    for place, constraint in enumerate(constraints):
        limits += _limits_of_one(f"{field}[{place}]", constraint, first_day)
    return limits


def has_windows(customer_constraints: Sequence[Constraint]) -> bool:
    """Whether a customer limit has windows by event date. If so, issuances need an index by event date."""
    windows = (ConstraintType.CUSTOMER_BADGE_ROLLING_WINDOW, ConstraintType.CUSTOMER_BADGE_FIXED_WINDOW)
    return any(constraint.constraint_type in windows for constraint in customer_constraints)


def _limits_of_one(reference: str, constraint: Constraint, first_day: date) -> list[Limit]:
    match constraint.constraint_type:
        case ConstraintType.CUSTOMER_BADGE_NO_LIMIT | ConstraintType.BADGE_NO_LIMIT:
            return []
        case ConstraintType.CUSTOMER_BADGE_FIXED_VALUE | ConstraintType.BADGE_FIXED_VALUE:
            return [FixedValue(reference=reference, limit=constraint.max_earn_limit or 0)]
        case ConstraintType.CUSTOMER_BADGE_FIXED_WINDOW | ConstraintType.BADGE_FIXED_WINDOW:
            return [_fixed_window(reference, constraint, first_day)]
        case ConstraintType.CUSTOMER_BADGE_ROLLING_WINDOW:
            return _rolling_windows(reference, constraint)
        case ConstraintType.BADGE_ROLLING_WINDOW:
            return [
                RollingWindow(
                    reference=reference,
                    limit=constraint.max_earn_limit or 0,
                    unit=_unit(constraint.roll_type),
                    length=constraint.roll_value or 1,
                )
            ]


def _rolling_windows(reference: str, constraint: Constraint) -> list[Limit]:
    pairs = (
        (ExpiryUnit.DAYS, "rollForDays", constraint.max_earn_for_days, constraint.roll_for_days),
        (ExpiryUnit.WEEKS, "rollForWeeks", constraint.max_earn_for_weeks, constraint.roll_for_weeks),
        (ExpiryUnit.MONTHS, "rollForMonths", constraint.max_earn_for_months, constraint.roll_for_months),
    )
    return [
        RollingWindow(reference=f"{reference}.{name}", limit=limit, unit=unit, length=length)
        for unit, name, limit, length in pairs
        if limit is not None and length is not None
    ]


def _fixed_window(reference: str, constraint: Constraint, first_day: date) -> FixedWindow:
    return FixedWindow(
        reference=reference,
        limit=constraint.max_earn_limit or 0,
        unit=_unit(constraint.duration_type),
        days=constraint.refresh_rate or 1,
        weekday=_weekday(constraint.start_day_of_the_week),
        first_day=first_day,
        reference_id=constraint.reference_id,
    )


def _unit(text: str | None) -> ExpiryUnit:
    return ExpiryUnit(_ALIASES.get(text or "DAYS", text or "DAYS"))


def _weekday(given: int | str | None) -> int:
    if given is None:
        return 0
    return WEEKDAYS.index(given) if given in WEEKDAYS else int(given) - 1


# Cycles


def cycle_at(window: FixedWindow, instant: datetime, zone: ZoneInfo) -> Cycle:
    """Return the cycle that contains the instant."""
    cycle = nth_cycle(window, index_of(window, instant.astimezone(zone).date()))
    # If clocks go back at midnight, a day ends twice. After its first end, instants belong to the next day.
    return next_cycle(window, cycle) if instant >= bounds(cycle, zone)[1] else cycle


def next_cycle(window: FixedWindow, cycle: Cycle) -> Cycle:
    """Return the next cycle."""
    return nth_cycle(window, index_of(window, cycle.last_day) + 1)


def bounds(cycle: Cycle, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first instant of the cycle and the first instant after it."""
    return midnight(cycle.first_day, zone), midnight(cycle.last_day + timedelta(days=1), zone)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the UTC instant at which the day begins in the zone. If clocks skip midnight, it is the instant
    of the change.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def cycle_status(cycle: Cycle, now: datetime, zone: ZoneInfo) -> CycleStatus:
    """Return the status of the cycle at `now`."""
    opens, closes = bounds(cycle, zone)
    if now < opens:
        return CycleStatus.UPCOMING
    return CycleStatus.ACTIVE if now < closes else CycleStatus.EXPIRED


def current_cycle(
    window: FixedWindow, starts_at: datetime, expires_at: datetime, now: datetime, zone: ZoneInfo
) -> tuple[Cycle, CycleStatus]:
    """Return the cycle that contains `now`. Before the badge starts it is the first cycle, after its end the
    last.
    """
    if now < starts_at:
        return cycle_at(window, starts_at, zone), CycleStatus.UPCOMING
    if now >= expires_at:
        return cycle_at(window, expires_at - MICROSECOND, zone), CycleStatus.EXPIRED
    return cycle_at(window, now, zone), CycleStatus.ACTIVE


def index_of(window: FixedWindow, day: date) -> int:
    """Return the number of the cycle that contains the day, from 0."""
    if window.unit is ExpiryUnit.DAYS:
        return (day - window.first_day).days // window.days
    if window.unit is ExpiryUnit.WEEKS:
        return (day - _week_of(window, window.first_day)).days // 7
    first = window.first_day
    return (day.year - first.year) * 12 + day.month - first.month


def nth_cycle(window: FixedWindow, number: int) -> Cycle:
    """Return the cycle with this number, from 0. The first weekly or monthly cycle may be shorter, because it
    begins with the badge.
    """
    if window.unit is ExpiryUnit.DAYS:
        first = window.first_day + timedelta(days=number * window.days)
        return Cycle(first, first + timedelta(days=window.days - 1))
    if window.unit is ExpiryUnit.WEEKS:
        first = _week_of(window, window.first_day) + timedelta(weeks=number)
        last = first + timedelta(days=6)
    else:
        years, month0 = divmod(window.first_day.month - 1 + number, 12)
        first = date(window.first_day.year + years, month0 + 1, 1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return Cycle(window.first_day if number == 0 else first, last)


def _week_of(window: FixedWindow, day: date) -> date:
    """Return the first day of the week that contains the day."""
    return day - timedelta(days=(day.weekday() - window.weekday) % 7)


# Rolling windows


def window_before(window: RollingWindow, end: datetime, zone: ZoneInfo) -> datetime:
    """Return the last instant before the window that ends at `end`."""
    match window.unit:
        case ExpiryUnit.DAYS:
            return end - timedelta(days=window.length)
        case ExpiryUnit.WEEKS:
            return end - timedelta(weeks=window.length)
        case ExpiryUnit.MONTHS:
            return add_months(end, -window.length, zone)


def window_after(window: RollingWindow, event_at: datetime, zone: ZoneInfo) -> datetime:
    """Return the first end of a window that no longer contains `event_at`."""
    match window.unit:
        case ExpiryUnit.DAYS:
            return event_at + timedelta(days=window.length)
        case ExpiryUnit.WEEKS:
            return event_at + timedelta(weeks=window.length)
        case ExpiryUnit.MONTHS:
            end = add_months(event_at, window.length, zone)
            if window_before(window, end, zone) >= event_at:
                return end
            # The month is too short for that day, so the event leaves the window when the next month begins.
            return midnight(end.astimezone(zone).date() + timedelta(days=1), zone)


def _ends_after(window: RollingWindow, event_at: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the ends of windows at which `event_at` leaves the window.

    There may be several for calendar months: 29 February is outside the month that ends on 29 March, but
    inside the clamped month that ends early on 31 March.
    """
    end = window_after(window, event_at, zone)
    if window.unit is not ExpiryUnit.MONTHS:
        return [end]
    local = end.astimezone(zone)
    return [(local + timedelta(days=more)).astimezone(UTC) for more in range(4)]


def _slack(window: RollingWindow) -> timedelta:
    return CLAMP if window.unit is ExpiryUnit.MONTHS else timedelta()


# Decisions about one customer


def checks_of(limits: Sequence[Limit], event_at: datetime, zone: ZoneInfo) -> list[LimitCheck]:
    """Return the limits with the windows that contain an event at this instant."""
    return [_check(limit, event_at, zone) for limit in limits]


def _check(limit: Limit, event_at: datetime, zone: ZoneInfo) -> LimitCheck:
    match limit:
        case FixedValue():
            opens, closes = EVER
        case FixedWindow():
            opens, closes = bounds(cycle_at(limit, event_at, zone), zone)
        case RollingWindow():
            opens, closes = window_before(limit, event_at, zone), event_at
    return LimitCheck(limit=limit, opens=opens, closes=closes)


def lookback(checks: Sequence[LimitCheck], zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """Return the half-open range of event dates that affect these windows, including the time at which they
    have room again.

    Returns None if there are no windows.
    """
    ranges: list[tuple[datetime, datetime]] = []
    for check in checks:
        limit = check.limit
        if isinstance(limit, FixedWindow):
            cycle = cycle_at(limit, check.opens, zone)
            ranges.append((check.opens, bounds(next_cycle(limit, cycle), zone)[1]))
        elif isinstance(limit, RollingWindow):
            slack = _slack(limit)
            twice = window_after(limit, window_after(limit, check.closes, zone), zone)
            ranges.append((check.opens - slack, twice + slack + MICROSECOND))
    if not ranges:
        return None
    return min(opens for opens, _ in ranges), max(closes for _, closes in ranges)


def first_exceeded(
    checks: Sequence[LimitCheck],
    total: int,
    counted: Sequence[datetime],
    zone: ZoneInfo,
    ends_at: datetime | None,
) -> ExceededLimit | None:
    """Return the first limit that has no room for one more event of a customer, or None.

    `total` is the number of the customer's earned badges; `counted` are the event dates within `lookback`,
    ascending; `ends_at` is the instant from which the badge cannot be earned.
    """
    for check in checks:
        used = used_in(check, total, counted, zone)
        if used >= check.limit.limit:
            available_from = _available_from(check, counted, zone)
            if available_from is not None and ends_at is not None and available_from >= ends_at:
                available_from = None
            return ExceededLimit(check.limit.reference, check.limit.limit, used, available_from)
    return None


def used_in(check: LimitCheck, total: int, counted: Sequence[datetime], zone: ZoneInfo) -> int:
    """Return the count in the fullest window that contains the event. The arguments are those of
    `first_exceeded`.
    """
    limit = check.limit
    if isinstance(limit, FixedValue):
        return total
    if isinstance(limit, FixedWindow):
        return bisect_left(counted, check.closes) - bisect_left(counted, check.opens)
    upto = bisect_right(counted, check.closes)
    used = upto - bisect_right(counted, check.opens)
    for end in counted[upto:]:
        opens = window_before(limit, end, zone)
        if opens < check.closes:  # that window contains the event too
            used = max(used, bisect_right(counted, end) - bisect_right(counted, opens))
    return used


def _available_from(check: LimitCheck, counted: Sequence[datetime], zone: ZoneInfo) -> datetime | None:
    limit = check.limit
    if isinstance(limit, FixedValue):
        return None
    if isinstance(limit, FixedWindow):
        following = next_cycle(limit, cycle_at(limit, check.opens, zone))
        opens, closes = bounds(following, zone)
        has_room = bisect_left(counted, closes) - bisect_left(counted, opens) < limit.limit
        return opens if has_room else closes
    # Room becomes available only when a counted event leaves a window.
    ends = sorted({end for event_at in counted for end in _ends_after(limit, event_at, zone)})
    for end in ends[bisect_right(ends, check.closes) :]:
        if used_in(_check(limit, end, zone), 0, counted, zone) < limit.limit:
            return end
    return None


# Reading badge limit counters


def ranges_of(opens: datetime, closes: datetime) -> list[TimeRange]:
    """Split the half-open window `[opens, closes)` into whole hours and the instants at its two ends."""
    first_hour, last_hour = _hour_from(opens), _hour_of(closes)
    if first_hour >= last_hour:
        return [TimeRange(0, opens, closes)]
    pieces = [
        TimeRange(0, opens, first_hour),
        TimeRange(3600, first_hour, last_hour),
        TimeRange(0, last_hour, closes),
    ]
    return [piece for piece in pieces if piece.opens < piece.closes]


def span_of(badge_key: BadgeKey, check: LimitCheck) -> Span:
    """Return the window of the badge limit that contains the event of the check."""
    return (
        span_upto(badge_key, check.opens, check.closes)
        if isinstance(check.limit, RollingWindow)
        else Span(badge_key, check.opens, check.closes)
    )


def span_upto(badge_key: BadgeKey, after: datetime, until: datetime) -> Span:
    """Return the rolling window `(after, until]`, which excludes its start and includes its end."""
    return Span(badge_key, after + MICROSECOND, until + MICROSECOND)


def _hour_of(instant: datetime) -> datetime:
    return instant.replace(minute=0, second=0, microsecond=0)


def _hour_from(instant: datetime) -> datetime:
    hour = _hour_of(instant)
    return hour if hour == instant else hour + HOUR
