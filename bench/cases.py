"""The cases, in the order of the table."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cockade.http.paths import BASE_PATH

from bench import yardsticks
from bench.history import HELD_FROM, HELD_SPACE
from bench.load import Outcome, get
from bench.memory import peak_pss_mb
from bench.stage import REFERENCE_EARN_BULK, Running, Stage
from bench.table import Case, Measure, Round, Row
from tests.support import TRIGGER

BULK_SIZE, BULK_CALLS, BULK_CALLERS = 10_000, 20, 2
LARGE_SIZE, LARGE_CALLS = 100_000, 4
JOB_SIZE, JOB_LOOK_S = 5_000_000, 0.1
SMALL_CALLERS, SMALL_S, SMALL_CALLS_MAX = 32, 4.0, 40_000
LINEAR_CALLS = {1_000: 100, 10_000: 20, 100_000: 2}
"""So many calls of each size."""
PAGE_CALLS = 400
PAGES_OF_MANY = 20
PAGE_TYPES = ("EARNED", "AVAILABLE")
ISSUANCES, CUSTOMERS, REQUESTS = "issuances/s", "customers/s", "requests/s"

CASES: dict[str, Case] = {}
"""By name, in the order of the table."""


def case(*rows: Row) -> Callable[[Measure], Measure]:
    """Register a function that measures one round of these rows, under its name."""

    def register(measure: Measure) -> Measure:
        name = measure.__name__
        CASES[name] = Case(name=name, rows=rows, measure=measure)
        return measure

    return register


def issue(stage: Stage, ours: Running, badge_id: str, audiences: list[list[int]]) -> Outcome:
    """Issue a badge with two callers to customers who may have it; all of them must get it."""
    outcome = stage.send(ours.server, stage.earn_bulk(ours.server, badge_id, audiences), callers=BULK_CALLERS)
    assert (outcome.earned, outcome.failed) == (sum(map(len, audiences)), 0), outcome
    return outcome


def issue_bulk(stage: Stage, ours: Running) -> Outcome:
    """The yardstick of other cases: a new badge for fresh customers."""
    return issue(stage, ours, ours.make_badge(), stage.audiences(BULK_CALLS, BULK_SIZE))


def copy_rate(stage: Stage, badge_id: str, rows: int) -> float:
    """Rows a second of the limit, for what was just issued of the badge."""
    return rows / stage.apart(yardsticks.copy_seconds, stage.ours.server.database_url, badge_id)


@case(
    Row(
        name="bulk: 10,000 fresh customers per call, 2 callers, 1 million in all",
        measured="issuances/s ÷ the limit",
        must=0.7,
        want=1.0,
    ),
    Row(name="bulk against the reference", measured="issuances/s ÷ the reference", must=2.5, want=4),
)
def bulk(stage: Stage) -> Round:
    """Fresh customers, two callers, beside the limit and the reference."""
    audiences = stage.audiences(BULK_CALLS, BULK_SIZE)
    badge_id = stage.ours.make_badge()
    ours = issue(stage, stage.ours, badge_id, audiences)
    limit = copy_rate(stage, badge_id, ours.earned)
    reference_badge = yardsticks.make_reference_badge(stage.reference)
    requests = stage.earn_bulk(stage.reference, reference_badge, audiences, path=REFERENCE_EARN_BULK)
    reference = stage.send(stage.reference, requests, callers=BULK_CALLERS)
    assert reference.earned == ours.earned, reference
    return Round(
        values=(ours.customers_per_s / limit, ours.customers_per_s / reference.customers_per_s),
        figures={
            ISSUANCES: ours.customers_per_s,
            "the limit, rows/s": limit,
            "the reference, issuances/s": reference.customers_per_s,
        },
        latencies_s=ours.latencies_s,
    )


@case(Row(name="large: 100,000 per call", measured="issuances/s ÷ the limit", must=0.7, want=1.0))
def large(stage: Stage) -> Round:
    """As bulk, with the largest audience that one call may have."""
    badge_id = stage.ours.make_badge()
    ours = issue(stage, stage.ours, badge_id, stage.audiences(LARGE_CALLS, LARGE_SIZE))
    limit = copy_rate(stage, badge_id, ours.earned)
    return Round(
        values=(ours.customers_per_s / limit,),
        figures={ISSUANCES: ours.customers_per_s, "the limit, rows/s": limit},
        latencies_s=ours.latencies_s,
    )


@case(Row(name="a job: 5 million customers in one file", measured="÷ bulk", must=0.5, want=1.0))
def job(stage: Stage) -> Round:
    """From the first byte of the file until the job is completed."""
    ours = stage.ours
    fresh = issue_bulk(stage, ours)
    [audience] = stage.audiences(1, JOB_SIZE)
    file = ("customerId\n" + "\n".join(map(str, audience))).encode()
    parameters = {"badgeMetaId": ours.make_badge(), **TRIGGER}
    started = time.perf_counter()
    answer = ours.client.post(
        "/customer/earnBulk/jobs", params=parameters, content=file, headers={"Content-Type": "text/csv"}
    )
    staged_s = time.perf_counter() - started
    while (made := answer.json()["data"])["state"] in ("queued", "running"):
        time.sleep(JOB_LOOK_S)
        answer = ours.client.get(f"/customer/earnBulk/jobs/{made['jobId']}")
    seconds = time.perf_counter() - started
    assert (made["state"], made["counts"]["issued"]) == ("completed", JOB_SIZE), made
    return Round(
        values=(JOB_SIZE / seconds / fresh.customers_per_s,),
        figures={
            ISSUANCES: JOB_SIZE / seconds,
            "bulk, issuances/s": fresh.customers_per_s,
            "until the file was staged, s": staged_s,
        },
    )


@case(
    Row(name="small: 1 customer per call, 32 callers", measured="requests/s ÷ the echo", must=0.2, want=0.4),
    Row(name="small against pgbench", measured="requests/s ÷ pgbench", must=0.08, want=0.2),
    Row(name="small against the reference", measured="requests/s ÷ the reference", must=2.5, want=6),
)
def small(stage: Stage) -> Round:
    """One customer per call, beside everything that a single call can be compared with."""
    audiences = stage.audiences(SMALL_CALLS_MAX, 1)
    requests = stage.earn_bulk(stage.ours.server, stage.ours.make_badge(), audiences)
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
            REQUESTS: ours.calls_per_s,
            "the echo, requests/s": echo.calls_per_s,
            "pgbench, transactions/s": pgbench,
            "the reference, requests/s": reference.calls_per_s,
        },
        latencies_s=ours.latencies_s,
    )


@case(Row(name="all refused: every customer already holds it", measured="÷ bulk", must=0.5, want=1.0))
def refused(stage: Stage) -> Round:
    """The audiences of a bulk once more, each under a new request id."""
    badge_id, audiences = stage.ours.make_badge(), stage.audiences(BULK_CALLS, BULK_SIZE)
    fresh = issue(stage, stage.ours, badge_id, audiences)
    requests = stage.earn_bulk(stage.ours.server, badge_id, audiences)
    again = stage.send(stage.ours.server, requests, callers=BULK_CALLERS)
    assert (again.earned, again.failed) == (0, fresh.earned), again
    return _beside_bulk(again, fresh)


@case(Row(name="second one after the first expired", measured="÷ bulk", must=0.4, want=0.8))
def second(stage: Stage) -> Round:
    """Everybody had the badge for a day, a month ago."""
    now = datetime.now(UTC)
    badge_id = stage.ours.make_badge(
        startOn=(now - timedelta(days=60)).isoformat(),
        earnedBadgeExpiry={"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1},
    )
    audiences = stage.audiences(BULK_CALLS, BULK_SIZE)
    long_ago = (now - timedelta(days=30)).isoformat()
    requests = stage.earn_bulk(stage.ours.server, badge_id, audiences, earnEventDate=long_ago)
    first = stage.send(stage.ours.server, requests, callers=BULK_CALLERS)
    assert first.failed == 0, first
    fresh = issue_bulk(stage, stage.ours)
    return _beside_bulk(issue(stage, stage.ours, badge_id, audiences), fresh)


@case(
    Row(
        name="with limits: a customer limit, a rolling window and a badge limit",
        measured="÷ bulk",
        must=0.5,
        want=0.8,
    )
)
def limits(stage: Stage) -> Round:
    """Three limits to look at, all of them with room."""
    badge_id = stage.ours.make_badge(
        customerConstraints=[
            {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 3},
            {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForWeeks": 2, "rollForWeeks": 1},
        ],
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 10_000_000}],
    )
    fresh = issue_bulk(stage, stage.ours)
    limited = issue(stage, stage.ours, badge_id, stage.audiences(BULK_CALLS, BULK_SIZE))
    return _beside_bulk(limited, fresh)


def _beside_bulk(ours: Outcome, bulk: Outcome) -> Round:
    return Round(
        values=(ours.customers_per_s / bulk.customers_per_s,),
        figures={CUSTOMERS: ours.customers_per_s, "bulk, issuances/s": bulk.customers_per_s},
        latencies_s=ours.latencies_s,
    )


@case(
    Row(
        name="growth: 20 million of 100 badges already there",
        measured="bulk there ÷ bulk on empty",
        must=0.8,
        want=1.0,
    )
)
def growth(stage: Stage) -> Round:
    """A new badge there, and one that many have already; what is slower counts."""
    stage.empty.forget()
    empty = issue_bulk(stage, stage.empty.running)
    audiences = stage.audiences(BULK_CALLS, BULK_SIZE)
    old = issue(stage, stage.grown.running, stage.chance.choice(stage.grown.badge_ids), audiences)
    new = issue_bulk(stage, stage.grown.running)
    return Round(
        values=(min(old.customers_per_s, new.customers_per_s) / empty.customers_per_s,),
        figures={
            "on empty, issuances/s": empty.customers_per_s,
            "a new badge there, issuances/s": new.customers_per_s,
            "a badge that many have, issuances/s": old.customers_per_s,
        },
        latencies_s=old.latencies_s + new.latencies_s,
    )


@case(
    Row(
        name="a customer's page at 20 million, 100 badges in the org",
        measured="time ÷ time on empty",
        must=2,
        want=1.2,
        at_most=True,
    )
)
def page(stage: Stage) -> Round:
    """What she has and what she may earn; the worse of the two counts."""
    stage.empty.forget()
    empty = {kind: _page_ms(stage, stage.empty.running, kind, PAGE_CALLS) for kind in PAGE_TYPES}
    grown = {kind: _page_ms(stage, stage.grown.running, kind, PAGE_CALLS) for kind in PAGE_TYPES}
    return _pages("on empty", empty, "at 20 million", grown)


@case(
    Row(
        name="a customer's page, 5,000 badges in the org",
        measured="time ÷ time at 100 badges",
        must=30,
        want=5,
        at_most=True,
    )
)
def badges(stage: Stage) -> Round:
    """Likewise where there is a multitude of badges."""
    stage.empty.forget()
    few = {kind: _page_ms(stage, stage.empty.running, kind, PAGE_CALLS) for kind in PAGE_TYPES}
    many = {kind: _page_ms(stage, stage.crowded, kind, PAGES_OF_MANY) for kind in PAGE_TYPES}
    return _pages("100 badges", few, "5,000 badges", many)


def _page_ms(stage: Stage, ours: Running, badge_type: str, calls: int) -> float:
    """Milliseconds from one page to the next, with two callers."""
    customers = stage.chance.sample(range(HELD_FROM, HELD_FROM + HELD_SPACE), calls)
    requests = [
        get(f"{BASE_PATH}/customer/{customer}?badgeType={badge_type}", ours.server.authorization)
        for customer in customers
    ]
    return stage.send(ours.server, requests, callers=BULK_CALLERS).seconds / calls * 1000


def _pages(base: str, base_ms: dict[str, float], other: str, other_ms: dict[str, float]) -> Round:
    figures = {f"{base}, {kind}, ms": base_ms[kind] for kind in PAGE_TYPES}
    figures |= {f"{other}, {kind}, ms": other_ms[kind] for kind in PAGE_TYPES}
    return Round(values=(max(other_ms[kind] / base_ms[kind] for kind in PAGE_TYPES),), figures=figures)


@case(
    Row(
        name="linear: cost per customer at 1,000, 10,000, 100,000 per call",
        measured="worst ÷ best",
        must=1.6,
        want=1.2,
        at_most=True,
    )
)
def linear(stage: Stage) -> Round:
    """However many there are in a call, each customer costs the same; and what the limit costs in such batches."""
    costs: dict[int, float] = {}
    figures: dict[str, float] = {}
    for size, calls in LINEAR_CALLS.items():
        badge_id = stage.ours.make_badge()
        costs[size] = 1e6 / issue(stage, stage.ours, badge_id, stage.audiences(calls, size)).customers_per_s
        limit_s = yardsticks.copy_seconds(stage.ours.server.database_url, badge_id)
        figures[f"{size:,} per call, µs per customer"] = costs[size]
        figures[f"the limit, batches of {size:,}, µs per row"] = 1e6 * limit_s / (calls * size)
    return Round(values=(max(costs.values()) / min(costs.values()),), figures=figures)


@case(
    Row(
        name="memory: four calls of 100,000 at once",
        measured="peak PSS of all service processes, PostgreSQL apart",
        must=600,
        want=300,
        at_most=True,
        unit="MB",
    )
)
def memory(stage: Stage) -> Round:
    """What the service needs at its worst, and what it is content with otherwise."""
    requests = stage.earn_bulk(stage.ours.server, stage.ours.make_badge(), stage.audiences(4, LARGE_SIZE))
    idle, peak = peak_pss_mb(
        stage.ours.service, lambda: stage.send(stage.ours.server, requests, callers=len(requests))
    )
    return Round(values=(peak,), figures={"before, MB": idle, "peak, MB": peak})


@case(
    Row(
        name="start: `cockade serve` on an existing embedded database until `/readyz`",
        measured="seconds, measured not asserted",
        must=5,
        want=2,
        at_most=True,
        unit="s",
    )
)
def start(stage: Stage) -> Round:
    """From the command to the first answer that it can serve."""
    service = stage.stopped_service
    started = time.perf_counter()
    service.start()
    seconds = time.perf_counter() - started
    service.stop()
    return Round(values=(seconds,), figures={"seconds": seconds})
