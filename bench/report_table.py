"""Cases, the report rows that they measure, and the results of a run.

Each run of a case measures the service and its baselines one after the other, so that other load on the machine affects
them equally.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bench.environment import Environment


class Row(Struct, frozen=True, kw_only=True):
    """A row of the report."""

    name: str
    measured: str
    """The quantity in the row, such as `requests/s ÷ pgbench`."""
    required: float
    target: float
    at_most: bool = False
    """Whether lower values are better."""
    unit: str = ""
    """Empty for ratios."""

    def reaches(self, value: float, bound: float) -> bool:
        """Whether the value is at least as good as the bound."""
        return value <= bound if self.at_most else value >= bound


class Run(Struct, frozen=True, kw_only=True):
    """The result of one run of a case."""

    values: tuple[float, ...]
    """One value for each row of the case."""
    figures: dict[str, float]
    """The measurements from which the values are calculated."""
    latencies_s: list[float] = []
    """Latencies of the requests to the service."""


Measure = Callable[[Environment], Run]


class Case(Struct, frozen=True, kw_only=True):
    """Rows that are measured together."""

    name: str
    description: str
    """One line for `--help`."""
    rows: tuple[Row, ...]
    measure: Measure


class ProfileEntry(Struct, frozen=True):
    """Time spent in one function during a bulk request, without nested functions that have their own entry."""

    stage: str
    function: str
    ms: float
