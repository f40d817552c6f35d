"""The cases, in the order of the report.

The name of a case is the name of its function. Its description in `--help` is the docstring of the function.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import baselines
from bench.environment import REFERENCE_EARN_BULK, Environment, Instance
from bench.load import LoadResult, get
from bench.memory import peak_pss_mb
from bench.report_table import Case, Measure, Row, Run
from bench.seed_data import FIRST_HOLDER, HOLDER_COUNT
from cockade.http.urls import BASE_PATH
from tests.support import TRIGGER

BULK_SIZE, BULK_REQUESTS, BULK_CONNECTIONS = 10_000, 20, 2
LARGE_SIZE, LARGE_REQUESTS = 100_000, 4
JOB_SIZE, JOB_POLL_S = 5_000_000, 0.1
SMALL_CONNECTIONS, SMALL_SECONDS, SMALL_MAX_REQUESTS = 32, 4.0, 40_000
LINEAR_REQUESTS = {1_000: 100, 10_000: 20, 100_000: 2}
"""Number of requests by customers per request."""
PAGE_REQUESTS = 400
MANY_BADGES_PAGE_REQUESTS = 20
PAGE_TYPES = ("EARNED", "AVAILABLE")
ISSUANCES, CUSTOMERS, REQUESTS = "issuances/s", "customers/s", "requests/s"

CASES: dict[str, Case] = {}
"""By name, in the order of the report."""


def case(*rows: Row) -> Callable[[Measure], Measure]:
    """Register a function that measures these rows as a case."""

    def register(measure: Measure) -> Measure:
        name = measure.__name__
        description = inspect.getdoc(measure) or ""
        CASES[name] = Case(name=name, description=description, rows=rows, measure=measure)
        return measure

    return register


def issue(
    environment: Environment, instance: Instance, badge_id: str, audiences: list[list[int]]
) -> LoadResult:
    """Issue a badge to new customers over two connections. All of them must get it."""
    requests = environment.earn_bulk(instance.server, badge_id, audiences)
    result = environment.send(instance.server, requests, connections=BULK_CONNECTIONS)
    assert (result.earned, result.failed) == (sum(map(len, audiences)), 0), result
    return result


def issue_bulk(environment: Environment, instance: Instance) -> LoadResult:
    """Issue a new badge to new customers. Other cases compare themselves with this."""
    audiences = environment.audiences(BULK_REQUESTS, BULK_SIZE)
    return issue(environment, instance, instance.make_badge(), audiences)


def copy_rate(environment: Environment, badge_id: str, rows: int) -> float:
    """Return the rows per second of raw COPY for the badge's rows."""
    url = environment.main.server.database_url
    return rows / environment.run_in_load_generator(baselines.copy_seconds, url, badge_id)


@case(
    Row(
        name="bulk: 10,000 fresh customers per call, 2 callers, 1 million in all",
        measured="issuances/s ÷ raw COPY",
        required=0.7,
        target=1.0,
    ),
    Row(
        name="bulk against the reference",
        measured="issuances/s ÷ reference implementation",
        required=2.5,
        target=4,
    ),
)
def bulk(environment: Environment) -> Run:
    """Requests with 10,000 new customers; then raw COPY and the reference implementation."""
    audiences = environment.audiences(BULK_REQUESTS, BULK_SIZE)
    badge_id = environment.main.make_badge()
    service = issue(environment, environment.main, badge_id, audiences)
    raw_copy = copy_rate(environment, badge_id, service.earned)
    reference_badge = baselines.make_reference_badge(environment.reference)
    requests = environment.earn_bulk(
        environment.reference, reference_badge, audiences, path=REFERENCE_EARN_BULK
    )
    reference = environment.send(environment.reference, requests, connections=BULK_CONNECTIONS)
    assert reference.earned == service.earned, reference
    return Run(
        values=(service.customers_per_s / raw_copy, service.customers_per_s / reference.customers_per_s),
        figures={
            ISSUANCES: service.customers_per_s,
            "raw COPY, rows/s": raw_copy,
            "reference implementation, issuances/s": reference.customers_per_s,
        },
        latencies_s=service.latencies_s,
    )


@case(Row(name="large: 100,000 per call", measured="issuances/s ÷ raw COPY", required=0.7, target=1.0))
def large(environment: Environment) -> Run:
    """Requests with 100,000 new customers, the largest audience allowed; then raw COPY."""
    badge_id = environment.main.make_badge()
    audiences = environment.audiences(LARGE_REQUESTS, LARGE_SIZE)
    service = issue(environment, environment.main, badge_id, audiences)
    raw_copy = copy_rate(environment, badge_id, service.earned)
    return Run(
        values=(service.customers_per_s / raw_copy,),
        figures={ISSUANCES: service.customers_per_s, "raw COPY, rows/s": raw_copy},
        latencies_s=service.latencies_s,
    )


@case(Row(name="a job: 5 million customers in one file", measured="÷ bulk", required=0.5, target=1.0))
def job(environment: Environment) -> Run:
    """A job with 5 million customers in a CSV file, from the start of the upload until it is completed."""
    instance = environment.main
    fresh = issue_bulk(environment, instance)
    [audience] = environment.audiences(1, JOB_SIZE)
    file = ("customerId\n" + "\n".join(map(str, audience))).encode()
    parameters = {"badgeMetaId": instance.make_badge(), **TRIGGER}
    started = time.perf_counter()
    response = instance.client.post(
        "/customer/earnBulk/jobs", params=parameters, content=file, headers={"Content-Type": "text/csv"}
    )
    staged_s = time.perf_counter() - started
    while (current := response.json()["data"])["state"] in ("queued", "running"):
        time.sleep(JOB_POLL_S)
        response = instance.client.get(f"/customer/earnBulk/jobs/{current['jobId']}")
    seconds = time.perf_counter() - started
    assert (current["state"], current["counts"]["issued"]) == ("completed", JOB_SIZE), current
    return Run(
        values=(JOB_SIZE / seconds / fresh.customers_per_s,),
        figures={
            ISSUANCES: JOB_SIZE / seconds,
            "bulk, issuances/s": fresh.customers_per_s,
            "until the file was staged, s": staged_s,
        },
    )


@case(
    Row(
        name="small: 1 customer per call, 32 callers",
        measured="requests/s ÷ framework only",
        required=0.2,
        target=0.4,
    ),
    Row(name="small against pgbench", measured="requests/s ÷ pgbench", required=0.08, target=0.2),
    Row(
        name="small against the reference",
        measured="requests/s ÷ reference implementation",
        required=2.5,
        target=6,
    ),
)
def small(environment: Environment) -> Run:
    """Requests with one new customer; then framework only, pgbench and the reference implementation."""
    main, reference_server = environment.main.server, environment.reference
    options: dict[str, Any] = {"connections": SMALL_CONNECTIONS, "max_seconds": SMALL_SECONDS}
    audiences = environment.audiences(SMALL_MAX_REQUESTS, 1)
    requests = environment.earn_bulk(main, environment.main.make_badge(), audiences)
    service = environment.send(main, requests, **options)
    assert service.earned == service.requests, service
    framework_only = environment.send(environment.framework_only, requests, **options, repeat=True)
    pgbench = baselines.pgbench_tps(main.database_url, SMALL_CONNECTIONS, SMALL_SECONDS)
    reference_badge = baselines.make_reference_badge(reference_server)
    requests = environment.earn_bulk(reference_server, reference_badge, audiences, path=REFERENCE_EARN_BULK)
    reference = environment.send(reference_server, requests, **options)
    assert reference.earned == reference.requests, reference
    rates = (framework_only.requests_per_s, pgbench, reference.requests_per_s)
    return Run(
        values=tuple(service.requests_per_s / rate for rate in rates),
        figures={
            REQUESTS: service.requests_per_s,
            "framework only, requests/s": framework_only.requests_per_s,
            "pgbench, transactions/s": pgbench,
            "reference implementation, requests/s": reference.requests_per_s,
        },
        latencies_s=service.latencies_s,
    )


@case(Row(name="all refused: every customer already holds it", measured="÷ bulk", required=0.5, target=1.0))
def refused(environment: Environment) -> Run:
    """The audiences of a bulk again, with new request ids: every customer fails with 1040."""
    audiences = environment.audiences(BULK_REQUESTS, BULK_SIZE)
    badge_id = environment.main.make_badge()
    fresh = issue(environment, environment.main, badge_id, audiences)
    requests = environment.earn_bulk(environment.main.server, badge_id, audiences)
    repeated = environment.send(environment.main.server, requests, connections=BULK_CONNECTIONS)
    assert (repeated.earned, repeated.failed) == (0, fresh.earned), repeated
    return _compare_with_bulk(repeated, fresh)


@case(Row(name="second one after the first expired", measured="÷ bulk", required=0.4, target=0.8))
def second(environment: Environment) -> Run:
    """A badge that every customer earned a month ago and that expired after a day."""
    now = datetime.now(UTC)
    badge_id = environment.main.make_badge(
        startOn=(now - timedelta(days=60)).isoformat(),
        earnedBadgeExpiry={"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1},
    )
    audiences = environment.audiences(BULK_REQUESTS, BULK_SIZE)
    month_ago = (now - timedelta(days=30)).isoformat()
    server = environment.main.server
    requests = environment.earn_bulk(server, badge_id, audiences, earnEventDate=month_ago)
    first = environment.send(server, requests, connections=BULK_CONNECTIONS)
    assert first.failed == 0, first
    fresh = issue_bulk(environment, environment.main)
    return _compare_with_bulk(issue(environment, environment.main, badge_id, audiences), fresh)


@case(
    Row(
        name="with limits: a customer limit, a rolling window and a badge limit",
        measured="÷ bulk",
        required=0.5,
        target=0.8,
    )
)
def limits(environment: Environment) -> Run:
    """A badge with a customer limit, a rolling window and a badge limit, none of them reached."""
    badge_id = environment.main.make_badge(
        customerConstraints=[
            {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 3},
            {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForWeeks": 2, "rollForWeeks": 1},
        ],
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 10_000_000}],
    )
    fresh = issue_bulk(environment, environment.main)
    audiences = environment.audiences(BULK_REQUESTS, BULK_SIZE)
    return _compare_with_bulk(issue(environment, environment.main, badge_id, audiences), fresh)


def _compare_with_bulk(result: LoadResult, fresh: LoadResult) -> Run:
    return Run(
        values=(result.customers_per_s / fresh.customers_per_s,),
        figures={CUSTOMERS: result.customers_per_s, "bulk, issuances/s": fresh.customers_per_s},
        latencies_s=result.latencies_s,
    )


@case(
    Row(
        name="growth: 20 million of 100 badges already there",
        measured="bulk on seeded ÷ bulk on empty",
        required=0.8,
        target=1.0,
    )
)
def growth(environment: Environment) -> Run:
    """Bulks with 20 million existing earned badges: a new badge and an existing one; the slower counts."""
    environment.empty.delete_earned_badges()
    seeded = environment.seeded
    on_empty = issue_bulk(environment, environment.empty.instance)
    audiences = environment.audiences(BULK_REQUESTS, BULK_SIZE)
    badge_id = environment.rng.choice(seeded.badge_ids)
    existing = issue(environment, seeded.instance, badge_id, audiences)
    new = issue_bulk(environment, seeded.instance)
    return Run(
        values=(min(existing.customers_per_s, new.customers_per_s) / on_empty.customers_per_s,),
        figures={
            "empty, issuances/s": on_empty.customers_per_s,
            "seeded, new badge, issuances/s": new.customers_per_s,
            "seeded, existing badge, issuances/s": existing.customers_per_s,
        },
        latencies_s=existing.latencies_s + new.latencies_s,
    )


@case(
    Row(
        name="a customer's page at 20 million, 100 badges in the org",
        measured="time ÷ time on empty",
        required=2,
        target=1.2,
        at_most=True,
    )
)
def page(environment: Environment) -> Run:
    """A customer's EARNED and AVAILABLE badges with 20 million existing earned badges; the worse ratio counts."""
    environment.empty.delete_earned_badges()
    empty, seeded = environment.empty.instance, environment.seeded.instance
    empty_ms = {kind: _page_ms(environment, empty, kind, PAGE_REQUESTS) for kind in PAGE_TYPES}
    seeded_ms = {kind: _page_ms(environment, seeded, kind, PAGE_REQUESTS) for kind in PAGE_TYPES}
    return _compare_pages("empty", empty_ms, "seeded", seeded_ms)


@case(
    Row(
        name="a customer's page, 5,000 badges in the org",
        measured="time ÷ time at 100 badges",
        required=30,
        target=5,
        at_most=True,
    )
)
def badges(environment: Environment) -> Run:
    """A customer's EARNED and AVAILABLE badges in an org with 5,000 badges; the worse ratio counts."""
    environment.empty.delete_earned_badges()
    few, many = environment.empty.instance, environment.many_badges
    few_ms = {kind: _page_ms(environment, few, kind, PAGE_REQUESTS) for kind in PAGE_TYPES}
    many_ms = {kind: _page_ms(environment, many, kind, MANY_BADGES_PAGE_REQUESTS) for kind in PAGE_TYPES}
    return _compare_pages("100 badges", few_ms, "5,000 badges", many_ms)


def _page_ms(environment: Environment, instance: Instance, badge_type: str, requests: int) -> float:
    """Return the elapsed time per page in milliseconds, with two connections."""
    customers = environment.rng.sample(range(FIRST_HOLDER, FIRST_HOLDER + HOLDER_COUNT), requests)
    encoded = [
        get(f"{BASE_PATH}/customer/{customer}?badgeType={badge_type}", instance.server.authorization)
        for customer in customers
    ]
    result = environment.send(instance.server, encoded, connections=BULK_CONNECTIONS)
    return result.seconds / requests * 1000


def _compare_pages(base: str, base_ms: dict[str, float], other: str, other_ms: dict[str, float]) -> Run:
    figures = {f"{base}, {kind}, ms": base_ms[kind] for kind in PAGE_TYPES}
    figures |= {f"{other}, {kind}, ms": other_ms[kind] for kind in PAGE_TYPES}
    return Run(values=(max(other_ms[kind] / base_ms[kind] for kind in PAGE_TYPES),), figures=figures)


@case(
    Row(
        name="linear: cost per customer at 1,000, 10,000, 100,000 per call",
        measured="worst ÷ best",
        required=1.6,
        target=1.2,
        at_most=True,
    )
)
def linear(environment: Environment) -> Run:
    """The time per customer in requests with 1,000, 10,000 and 100,000; and raw COPY in the same batches."""
    costs: dict[int, float] = {}
    figures: dict[str, float] = {}
    for size, requests in LINEAR_REQUESTS.items():
        badge_id = environment.main.make_badge()
        audiences = environment.audiences(requests, size)
        costs[size] = 1e6 / issue(environment, environment.main, badge_id, audiences).customers_per_s
        copy_s = baselines.copy_seconds(environment.main.server.database_url, badge_id)
        figures[f"{size:,} per call, µs per customer"] = costs[size]
        figures[f"raw COPY, batches of {size:,}, µs per row"] = 1e6 * copy_s / (requests * size)
    return Run(values=(max(costs.values()) / min(costs.values()),), figures=figures)


@case(
    Row(
        name="memory: four calls of 100,000 at once",
        measured="peak PSS of all service processes, without PostgreSQL",
        required=600,
        target=300,
        at_most=True,
        unit="MB",
    )
)
def memory(environment: Environment) -> Run:
    """The peak memory of the service during four concurrent requests with 100,000 customers each."""
    instance = environment.main
    audiences = environment.audiences(4, LARGE_SIZE)
    requests = environment.earn_bulk(instance.server, instance.make_badge(), audiences)
    idle, peak = peak_pss_mb(
        instance.service, lambda: environment.send(instance.server, requests, connections=len(requests))
    )
    return Run(values=(peak,), figures={"before, MB": idle, "peak, MB": peak})


@case(
    Row(
        name="start: `cockade serve` on an existing embedded database until `/readyz`",
        measured="seconds",
        required=5,
        target=2,
        at_most=True,
        unit="s",
    )
)
def start(environment: Environment) -> Run:
    """The time from the command `cockade serve` until `/readyz` returns 200."""
    service = environment.stopped_service
    started = time.perf_counter()
    service.start()
    seconds = time.perf_counter() - started
    service.stop()
    return Run(values=(seconds,), figures={"seconds": seconds})
