"""Response schemas of the cycles of fixed windows."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from cockade.api.badge.constraints import cycle_dates
from cockade.customer_badge.model import WindowCycle
from cockade.http.envelope import Pagination, json_name
from cockade.limit.model import CycleStatus


class WindowKind(StrEnum):
    """Which earned badges a window counts."""

    BADGE = "BADGE"
    """Earned badges of all customers."""
    CUSTOMER = "CUSTOMER"
    """Earned badges of one customer."""


class WindowChoice(StrEnum):
    """Which windows are returned."""

    BADGE = "BADGE"
    CUSTOMER = "CUSTOMER"
    ALL = "ALL"


class CycleEntry(Struct, frozen=True, kw_only=True, rename=json_name):
    """One cycle. startDate and endDate are the midnights at which its first and its last day begin."""

    fixed_window_cycle_reference_id: str | None
    start_date: float
    start_date_iso: str
    end_date: float
    end_date_iso: str
    earn_count: Annotated[int | None, Meta(description="Number earned; null unless requested.")]
    constraint_type: WindowKind
    cycle_status: CycleStatus


class CyclePage(Struct, frozen=True, rename=json_name):
    """One page of cycles, by window, then by time."""

    fixed_window_cycles: list[CycleEntry]
    pagination: Pagination


def cycle_entry(found: WindowCycle, zone: ZoneInfo) -> CycleEntry:
    """Return one cycle."""
    return CycleEntry(
        fixed_window_cycle_reference_id=found.window.reference_id,
        **cycle_dates(found.cycle, zone),
        earn_count=found.earned,
        constraint_type=WindowKind.CUSTOMER if found.is_customers else WindowKind.BADGE,
        cycle_status=found.status,
    )
