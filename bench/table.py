"""The rows of the table, and the cases that measure them.

A case is a function that measures one round: the service and its yardsticks in turn, so that whatever else the machine
is doing meets them alike.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bench.stage import Stage


class Row(Struct, frozen=True, kw_only=True):
    """A row of the table."""

    name: str
    measured: str
    must: float
    want: float
    at_most: bool = False
    """Whether less is better."""
    unit: str = ""
    """Empty for ratios."""

    def reaches(self, value: float, bound: float) -> bool:
        """Whether the value is as good as the bound, or better."""
        return value <= bound if self.at_most else value >= bound


class Round(Struct, frozen=True, kw_only=True):
    """What one round of a case has shown."""

    values: tuple[float, ...]
    """One for each row of the case."""
    figures: dict[str, float]
    """What the values were made of."""
    latencies_s: list[float] = []
    """Of the service's calls."""


Measure = Callable[[Stage], Round]


class Case(Struct, frozen=True, kw_only=True):
    """Rows that are measured together."""

    name: str
    rows: tuple[Row, ...]
    measure: Measure


class Part(Struct, frozen=True):
    """What one function takes of a bulk request, without what it calls that is a part itself."""

    stage: str
    function: str
    ms: float
