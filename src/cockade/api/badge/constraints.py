"""Schemas of constraints: the required fields of each type, and the current cycles of fixed windows."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from cockade import times
from cockade.api.badge.expiries import RELATIVE_MAX
from cockade.badge.model import Badge, Constraint, ConstraintType, ExpiryUnit
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import json_name
from cockade.limit import rules
from cockade.limit.model import Cycle, CycleStatus, FixedWindow

COUNT_MAX = 2**31 - 1
REFRESH_MAX = RELATIVE_MAX[ExpiryUnit.DAYS]
UNITS = ("DAYS", "WEEKS", "MONTHS")
DURATIONS = (*UNITS, "DAILY", "WEEKLY", "MONTHLY")
WEEKDAYS = (*rules.WEEKDAYS, *(str(day) for day in range(1, 8)))

_FIELD_NAMES = {field.encode_name: field.name for field in msgspec.structs.fields(Constraint)}


class CurrentCycle(Struct, frozen=True, kw_only=True, rename=json_name):
    """The current cycle of a fixed window, or its first if the badge has not started, or its last if it has
    ended.
    """

    start_date: float
    start_date_iso: str
    end_date: float
    end_date_iso: str
    cycle_status: CycleStatus
    earn_count: int | None


class ConstraintResponse(Constraint, frozen=True, kw_only=True, rename=json_name, omit_defaults=True):
    """A constraint as sent. A fixed window also has its current cycle."""

    cycle_status: CycleStatus | None = None
    start_date: float | None = None
    start_date_iso: str | None = None
    end_date: float | None = None
    end_date_iso: str | None = None
    current_cycle: CurrentCycle | None = None


def check_constraints(name: str, given: list[Constraint], prefix: str, field_errors: FieldErrors) -> None:
    """Add errors for missing or invalid fields of the constraints."""
    for place, constraint in enumerate(given):
        # After a type error, unreadable values are None and their errors are already added.
        path, kind = f"{name}[{place}]", constraint.constraint_type
        if not kind:
            continue
        if not kind.startswith(prefix):
            allowed = ", ".join(member for member in ConstraintType if member.startswith(prefix))
            field_errors.add(f"{path}.constraintType", f"Must be one of {allowed}.")
            continue
        for field, message in _errors_of(constraint):
            field_errors.add(f"{path}.{field}", message)


def _errors_of(constraint: Constraint) -> list[tuple[str, str]]:
    """Return field and message for each missing or invalid field."""
    kind = constraint.constraint_type
    if kind.endswith("NO_LIMIT"):
        return []
    if kind is ConstraintType.CUSTOMER_BADGE_ROLLING_WINDOW:
        return _rolling_errors(constraint)
    found = _range_errors(constraint, "maxEarnLimit", COUNT_MAX)
    if kind is ConstraintType.BADGE_ROLLING_WINDOW:
        found += _choice_errors(constraint, "rollType", UNITS, is_mandatory=True)
        unit = ExpiryUnit(constraint.roll_type) if constraint.roll_type in UNITS else ExpiryUnit.DAYS
        found += _range_errors(constraint, "rollValue", RELATIVE_MAX[unit])
    elif kind.endswith("FIXED_WINDOW"):
        found += _choice_errors(constraint, "durationType", DURATIONS, is_mandatory=True)
        found += _choice_errors(constraint, "startDayOfTheWeek", WEEKDAYS, is_mandatory=False)
        if constraint.refresh_rate is not None:
            found += _range_errors(constraint, "refreshRate", REFRESH_MAX)
    return found


def _rolling_errors(constraint: Constraint) -> list[tuple[str, str]]:
    pairs = {unit: (f"maxEarnFor{unit.title()}", f"rollFor{unit.title()}") for unit in ExpiryUnit}
    given = [
        unit for unit, pair in pairs.items() if any(_value(constraint, name) is not None for name in pair)
    ]
    found: list[tuple[str, str]] = []
    for unit in given or [ExpiryUnit.DAYS]:
        limit, length = pairs[unit]
        found += _range_errors(constraint, limit, COUNT_MAX)
        found += _range_errors(constraint, length, RELATIVE_MAX[unit])
    return found


def _range_errors(constraint: Constraint, field: str, most: int) -> list[tuple[str, str]]:
    if 1 <= (_value(constraint, field) or 0) <= most:
        return []
    return [(field, f"{constraint.constraint_type} needs {field}, an integer from 1 to {most}.")]


def _choice_errors(
    constraint: Constraint, field: str, allowed: tuple[str, ...], *, is_mandatory: bool
) -> list[tuple[str, str]]:
    value = _value(constraint, field)
    if str(value) in allowed or (value is None and not is_mandatory):
        return []
    return [(field, f"{constraint.constraint_type} needs {field}, one of {', '.join(allowed)}.")]


def _value(constraint: Constraint, encode_name: str) -> int | None:
    return getattr(constraint, _FIELD_NAMES[encode_name])


def constraint_answers(
    name: str, badge: Badge, now: datetime, zone: ZoneInfo, counts: dict[str, int] | None
) -> list[ConstraintResponse]:
    """Return one of the badge's two lists at `now`. `counts` has the counts of current cycles, by reference
    id.
    """
    draft = badge.draft
    given = draft.customer_constraints if name == "customerConstraints" else draft.badge_constraints
    answers: list[ConstraintResponse] = []
    for constraint in given:
        fields = {field: getattr(constraint, field) for field in Constraint.__struct_fields__}
        for window in rules.limits_of(name, [constraint], draft.starts_at, zone):
            if isinstance(window, FixedWindow):
                cycle, status = rules.current_cycle(window, draft.starts_at, draft.expires_at, now, zone)
                dates = cycle_dates(cycle, zone)
                fields |= {**dates, "cycle_status": status}
                if counts is not None:
                    count = counts.get(window.reference_id or "")
                    fields["current_cycle"] = CurrentCycle(**dates, cycle_status=status, earn_count=count)
        answers.append(ConstraintResponse(**fields))
    return answers


def cycle_dates(cycle: Cycle, zone: ZoneInfo) -> dict[str, Any]:
    """Return the midnights at which the cycle's first and last day begin."""
    return {**_date("start_date", cycle.first_day, zone), **_date("end_date", cycle.last_day, zone)}


def _date(name: str, day: date, zone: ZoneInfo) -> dict[str, Any]:
    at = rules.midnight(day, zone)
    return {name: times.epoch(at), f"{name}_iso": times.iso(at)}
