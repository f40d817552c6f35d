"""The cases: what is measured, as what ratio, what it must reach and what we want it to reach.

A case is a function that measures one round: the service and its yardsticks in turn, so that whatever else the machine
is doing meets them alike.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bench import yardsticks
from bench.load import Outcome
from bench.stage import REFERENCE_EARN_BULK, Running, Stage

BULK_SIZE, BULK_CALLS, BULK_CALLERS = 10_000, 20, 2
LARGE_SIZE, LARGE_CALLS = 100_000, 4
SMALL_CALLERS, SMALL_S, SMALL_CALLS_MAX = 32, 4.0, 40_000


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
    figures: dict[str, float] = {}
    """What the values were made of."""
    latencies_s: list[float] = []
    """Of the service's calls."""


class Case(Struct, frozen=True, kw_only=True):
    """Rows that are measured together."""

    name: str
    rows: tuple[Row, ...]
    measure: Callable[[Stage], Round]


CASES: dict[str, Case] = {}


def case(*rows: Row) -> Callable[[Callable[[Stage], Round]], Callable[[Stage], Round]]:
    """Register a function that measures one round, under its name."""

    def register(measure: Callable[[Stage], Round]) -> Callable[[Stage], Round]:
        name = measure.__name__
        CASES[name] = Case(name=name, rows=rows, measure=measure)
        return measure

    return register


def issue_fresh(
    stage: Stage, ours: Running, badge_id: str, calls: int = BULK_CALLS, size: int = BULK_SIZE
) -> Outcome:
    """Issue a badge to customers who do not have it; all of them must get it."""
    requests = stage.earn_bulk(ours.server, badge_id, stage.audiences(calls, size))
    outcome = stage.send(ours.server, requests, callers=BULK_CALLERS)
    assert (outcome.earned, outcome.failed) == (calls * size, 0), outcome
    return outcome


def copy_rate(stage: Stage, badge_id: str, customers: int) -> float:
    """Rows a second of the limit, for what was just issued of the badge."""
    return customers / stage.apart(yardsticks.copy_seconds, stage.ours.server.database_url, badge_id)


@case(
    Row(name="bulk: 10,000 fresh customers per call, 2 callers, 1 million in all", measured="issuances/s ÷ the limit", must=0.7, want=1.0),
    Row(name="bulk against the reference", measured="issuances/s ÷ the reference", must=2.5, want=4),
)  # fmt: skip
def bulk(stage: Stage) -> Round:
    """Fresh customers, two callers, beside the limit and the reference."""
    badge_id = stage.ours.make_badge()
    ours = issue_fresh(stage, stage.ours, badge_id)
    limit = copy_rate(stage, badge_id, ours.earned)
    reference_badge = yardsticks.make_reference_badge(stage.reference)
    audiences = stage.audiences(BULK_CALLS, BULK_SIZE)
    requests = stage.earn_bulk(stage.reference, reference_badge, audiences, path=REFERENCE_EARN_BULK)
    reference = stage.send(stage.reference, requests, callers=BULK_CALLERS)
    assert reference.earned == ours.earned, reference
    return Round(
        values=(ours.customers_per_s / limit, ours.customers_per_s / reference.customers_per_s),
        figures={
            "issuances/s": ours.customers_per_s,
            "the limit, rows/s": limit,
            "the reference, issuances/s": reference.customers_per_s,
        },
        latencies_s=ours.latencies_s,
    )


@case(Row(name="large: 100,000 per call", measured="issuances/s ÷ the limit", must=0.7, want=1.0))
def large(stage: Stage) -> Round:
    """As bulk, with the largest audience that one call may have."""
    badge_id = stage.ours.make_badge()
    ours = issue_fresh(stage, stage.ours, badge_id, LARGE_CALLS, LARGE_SIZE)
    limit = copy_rate(stage, badge_id, ours.earned)
    return Round(
        values=(ours.customers_per_s / limit,),
        figures={"issuances/s": ours.customers_per_s, "the limit, rows/s": limit},
        latencies_s=ours.latencies_s,
    )


@case(
    Row(name="small: 1 customer per call, 32 callers", measured="requests/s ÷ the echo", must=0.2, want=0.4),
    Row(name="small against pgbench", measured="requests/s ÷ pgbench", must=0.08, want=0.2),
    Row(name="small against the reference", measured="requests/s ÷ the reference", must=2.5, want=6),
)
def small(stage: Stage) -> Round:
    """One customer per call, beside everything that a single call can be compared with."""
    audiences = stage.audiences(SMALL_CALLS_MAX, 1)
    badge_id = stage.ours.make_badge()
    requests = stage.earn_bulk(stage.ours.server, badge_id, audiences)
    ours = stage.send(stage.ours.server, requests, callers=SMALL_CALLERS, seconds_max=SMALL_S)
    assert ours.earned == ours.calls, ours
    echo = stage.send(stage.echo, requests, callers=SMALL_CALLERS, seconds_max=SMALL_S, repeats=True)
    pgbench = yardsticks.pgbench_tps(stage.ours.server.database_url, SMALL_CALLERS, SMALL_S)
    reference_badge = yardsticks.make_reference_badge(stage.reference)
    requests = stage.earn_bulk(stage.reference, reference_badge, audiences, path=REFERENCE_EARN_BULK)
    reference = stage.send(stage.reference, requests, callers=SMALL_CALLERS, seconds_max=SMALL_S)
    assert reference.earned == reference.calls, reference
    others = (echo.calls_per_s, pgbench, reference.calls_per_s)
    return Round(
        values=tuple(ours.calls_per_s / other for other in others),
        figures={
            "requests/s": ours.calls_per_s,
            "the echo, requests/s": echo.calls_per_s,
            "pgbench, transactions/s": pgbench,
            "the reference, requests/s": reference.calls_per_s,
        },
        latencies_s=ours.latencies_s,
    )
