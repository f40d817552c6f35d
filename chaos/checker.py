"""The checker: compares the database after a run with the history and the contract.

It follows docs/reference/api/contract.md, shares no code with cockade, and depends only on the names of its tables
and columns. A defect that violates several guarantees is reported under the first one that describes it fully.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from chaos.history import (
    Attempt,
    Badge,
    Fault,
    History,
    InactiveInterval,
    InactiveState,
    LimitInterval,
    Outcome,
    Response,
    Revocation,
    Run,
)
from chaos.windows import Limit, limits_of

if TYPE_CHECKING:
    import asyncpg

MICROSECOND = 1e-6
REQUEST_ID_USED = 809
NOTHING_TO_REVOKE = 814


class Guarantee(StrEnum):
    """A guarantee that must hold after every run. They are checked in this order."""

    ACKNOWLEDGED = "every acknowledged issuance exists, with its id and validity"
    COMPLETE = "a request is stored completely, with its whole outcome, or not at all"
    REQUESTED = "nothing exists that was not requested"
    NOTHING_STORED = "a rejected or unavailable request left nothing in the database"
    ISSUED_ONCE = "a request id that is sent again results in exactly one set of issuances"
    ONE_VALID = "no customer has two valid earned badges if the badge allows only one"
    CUSTOMER_LIMITS = "no limit per customer is exceeded"
    BADGE_LIMITS = "no limit of a badge as a whole is exceeded"
    CHANGED_LIMITS = "a changed limit holds from the response that set it until the next change"
    DEACTIVATED = "nothing is issued between the response to a deactivation and the next activation"
    UNCLAIMED = "nothing is issued between the response to an unclaim and the next claim"
    REVOKED_ONCE = "an acknowledged revocation took effect once, and nothing else is revoked"
    BADGE_COUNTS = "the stored counts agree with the ledger"
    LIMIT_COUNTERS = "the limit counters agree with the ledger"
    TIMEOUT = "no request takes longer than its timeout"
    RESPONSES = "no response is a server error, and each 503 has Retry-After"
    RECOVERY = "the service recovers by itself from every fault"


class Violation(Struct, frozen=True):
    """A violation of a guarantee."""

    guarantee: Guarantee
    detail: str


class Row(Struct, frozen=True):
    """A row of the ledger (table earned_badge)."""

    badge_key: int
    customer_id: int
    request_key: int
    line: int
    valid_from: datetime
    valid_until: datetime
    is_revoked: bool

    @property
    def earned_badge_id(self) -> str:
        """The id of the earned badge in the API."""
        return f"{self.request_key % 2**64:016x}{self.line:08x}"


class StoredRequest(Struct, frozen=True):
    """A row of the table request."""

    request_id: str
    request_key: int
    completed_at: datetime | None
    badge_key: int | None
    audience: list[int]
    failed: dict[int, int]
    """Error code by index in the audience."""


class Stored(Struct, frozen=True):
    """All data of the org of the run."""

    badge_keys: dict[str, int]
    """Badge key by badge id."""
    requests: dict[str, StoredRequest]
    """By request id."""
    rows: dict[int, list[Row]]
    """By badge key. Ordered by customer, then by start of the validity."""
    counts: dict[int, int]
    """Stored number of earned badges by badge key."""
    limit_counters: dict[tuple[int, int], dict[datetime, int]]
    """Stored number of earned badges by start of the bucket, for each badge key and bucket size."""


async def check(connection: asyncpg.Connection[Any], history: History) -> list[Violation]:
    """Return all violations. The run passed if there are none."""
    [run] = history.of_type(Run)
    zone = ZoneInfo(run.time_zone)
    stored = await _read_database(connection, run.org_id)
    reported: set[str] = set()
    checks: list[tuple[Guarantee, Iterator[str]]] = [
        (Guarantee.ACKNOWLEDGED, _acknowledged(history, stored, reported)),
        (Guarantee.COMPLETE, _complete(stored, reported)),
        (Guarantee.REQUESTED, _requested(history, stored)),
        (Guarantee.NOTHING_STORED, _nothing_stored(history, stored)),
        (Guarantee.ISSUED_ONCE, _issued_once(history, stored)),
        (Guarantee.ONE_VALID, _one_valid(history, stored)),
        (Guarantee.CUSTOMER_LIMITS, _customer_limits(history, stored, zone)),
        (Guarantee.BADGE_LIMITS, _badge_limits(history, stored, zone)),
        (Guarantee.CHANGED_LIMITS, _changed_limits(history)),
        (Guarantee.DEACTIVATED, _inactive(history, stored, "deactivated")),
        (Guarantee.UNCLAIMED, _inactive(history, stored, "unclaimed")),
        (Guarantee.REVOKED_ONCE, _revoked_once(history, stored)),
        (Guarantee.BADGE_COUNTS, _badge_counts(stored)),
        (Guarantee.LIMIT_COUNTERS, _limit_counters(history, stored)),
        (Guarantee.TIMEOUT, _timeout(history, run.max_response_s)),
        (Guarantee.RESPONSES, _valid_responses(history)),
        (Guarantee.RECOVERY, _recovery(history)),
    ]
    return [Violation(guarantee, detail) for guarantee, details in checks for detail in details]


# Reading the database


async def _read_database(connection: asyncpg.Connection[Any], org_id: int) -> Stored:
    await connection.execute("set statement_timeout = 0")
    badges = await connection.fetch("select badge_id, badge_key from badge where org_id = $1", org_id)
    badge_keys = {row[0]: row[1] for row in badges}
    keys = list(badge_keys.values())
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    for row in await connection.fetch(
        "select badge_key, customer_id, request_key, line, valid_from, valid_until, revoked_at is not null"
        " from earned_badge where badge_key = any($1) order by badge_key, customer_id, valid_from",
        keys,
    ):
        rows[row[0]].append(Row(*row))
    requests = await connection.fetch(
        "select request_id, request_key, completed_at, badge_key, customer_ids, failures::text"
        " from request where org_id = $1",
        org_id,
    )
    counts = await connection.fetch(
        "select badge_key, sum(earned) from badge_count where badge_key = any($1) group by badge_key", keys
    )
    limit_counters: defaultdict[tuple[int, int], dict[datetime, int]] = defaultdict(dict)
    for key, bucket_s, bucket_start, earned in await connection.fetch(
        "select badge_key, bucket_s, bucket_start, earned from badge_limit_counter"
        " where badge_key = any($1) and earned <> 0",
        keys,
    ):
        limit_counters[key, bucket_s][bucket_start] = earned
    return Stored(
        badge_keys,
        {row[0]: _stored_request(row) for row in requests},
        rows,
        {row[0]: int(row[1]) for row in counts},
        limit_counters,
    )


def _stored_request(row: Any) -> StoredRequest:
    failures: list[list[Any]] = msgspec.json.decode(row[5]) if row[5] else []
    failed = {failure[0]: failure[1] for failure in failures}
    return StoredRequest(row[0], row[1], row[2], row[3], row[4] or [], failed)


def _rows(stored: Stored, badge: Badge) -> list[Row]:
    return stored.rows.get(stored.badge_keys[badge.badge_id], [])


def _unrevoked(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if not row.is_revoked)


# Requests


def _attempts(history: History, *, with_lookups: bool = True) -> dict[str, list[Attempt]]:
    """Return the attempts of each request id."""
    attempts: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in history.of_type(Attempt):
        if with_lookups or not attempt.is_lookup:
            attempts[attempt.request_id].append(attempt)
    return attempts


def _acknowledged(history: History, stored: Stored, reported: set[str]) -> Iterator[str]:
    """Check that the ledger has every acknowledged issuance. Add the ids of requests with violations to `reported`."""
    ledger = {row.earned_badge_id: row for rows in stored.rows.values() for row in rows}
    for attempt in history.of_type(Attempt):
        if attempt.response.outcome is not Outcome.ACKNOWLEDGED:
            continue
        for difference in _differences(attempt, stored.badge_keys[attempt.badge_id], ledger):
            reported.add(attempt.request_id)
            yield f"request {attempt.request_id}: {difference}"


def _differences(attempt: Attempt, badge_key: int, ledger: dict[str, Row]) -> Iterator[str]:
    event_at, valid_until = attempt.event_at, attempt.valid_until
    for customer_id, earned_badge_id in attempt.earned.items():
        row = ledger.get(earned_badge_id)
        if row is None or (row.badge_key, row.customer_id) != (badge_key, customer_id):
            yield f"{earned_badge_id} of customer {customer_id} is missing"
        elif event_at is not None and abs(row.valid_from.timestamp() - event_at) > MICROSECOND:
            yield f"{earned_badge_id} is valid from {row.valid_from}, which is not the event date"
        elif valid_until is not None and abs(row.valid_until.timestamp() - valid_until) > MICROSECOND:
            yield f"{earned_badge_id} is valid until {row.valid_until}, which is not the acknowledged end"


def _complete(stored: Stored, reported: set[str]) -> Iterator[str]:
    """Check that each customer of a request has a row or a failure, and that each row belongs to a request."""
    rows_by_request: defaultdict[int, list[Row]] = defaultdict(list)
    for rows in stored.rows.values():
        for row in rows:
            rows_by_request[row.request_key].append(row)
    for request in stored.requests.values():
        rows = rows_by_request.pop(request.request_key, [])
        if request.request_id in reported:
            continue
        actual = sorted([(row.line, row.customer_id, row.badge_key) for row in rows])
        expected = [
            (line, customer_id, request.badge_key)
            for line, customer_id in enumerate(request.audience)
            if line not in request.failed
        ]
        if request.completed_at is None:
            yield f"request {request.request_id} is not completed"
        elif actual != expected:
            yield (
                f"request {request.request_id}: the ledger has {len(actual)} rows,"
                f" which are not the {len(expected)} expected ones"
            )
    # If an acknowledged issuance is missing, these rows may be the same defect: a row whose id was changed.
    if not reported:
        for key, rows in rows_by_request.items():
            yield f"{len(rows)} rows have request key {key}, which no request has"


def _requested(history: History, stored: Stored) -> Iterator[str]:
    """Check that each stored request was sent, for this badge and these customers."""
    attempts = _attempts(history, with_lookups=False)
    for request in stored.requests.values():
        sent = attempts.get(request.request_id)
        if sent is None:
            yield f"request {request.request_id} was never sent"
        elif request.audience != sent[0].audience or stored.badge_keys[sent[0].badge_id] != request.badge_key:
            yield f"request {request.request_id} was sent for another badge or other customers"


def _nothing_stored(history: History, stored: Stored) -> Iterator[str]:
    """Check that a request whose attempts all failed is not stored, and that one with response 809 is stored."""
    for request_id, sent in _attempts(history, with_lookups=False).items():
        outcomes = {attempt.response.outcome for attempt in sent}
        if outcomes <= {Outcome.REJECTED, Outcome.UNAVAILABLE} and request_id in stored.requests:
            yield f"request {request_id} is stored, but all its responses were {' or '.join(sorted(outcomes))}"
        is_used = any(attempt.response.error_code == REQUEST_ID_USED for attempt in sent)
        if is_used and request_id not in stored.requests:
            yield f"request {request_id} is not stored, but a response was {REQUEST_ID_USED}"


def _issued_once(history: History, stored: Stored) -> Iterator[str]:
    """Check that at most one attempt was acknowledged, that all results agree, and that the outcome is known."""
    for request_id, attempts in _attempts(history).items():
        acknowledged = [attempt for attempt in attempts if attempt.response.outcome is Outcome.ACKNOWLEDGED]
        if sum(not attempt.is_lookup for attempt in acknowledged) > 1:
            yield f"request {request_id} was acknowledged more than once"
        if any(
            (attempt.earned, attempt.failed) != (acknowledged[0].earned, acknowledged[0].failed)
            for attempt in acknowledged
        ):
            yield f"request {request_id} has different results in different responses"
        if acknowledged and request_id in stored.requests:
            request = stored.requests[request_id]
            failed = {request.audience[line]: code for line, code in request.failed.items()}
            if failed != acknowledged[0].failed:
                yield f"request {request_id}: the stored failures differ from those in the response"
        if not acknowledged and Outcome.UNKNOWN in {attempt.response.outcome for attempt in attempts}:
            last = max(attempts, key=lambda attempt: attempt.response.sent_at).response
            if last.outcome is not Outcome.REJECTED or last.error_code == REQUEST_ID_USED:
                yield f"request {request_id} still has an unknown outcome"


# Rules


def _one_valid(history: History, stored: Stored) -> Iterator[str]:
    for badge in history.of_type(Badge):
        if _allows_several(badge):
            continue
        last: Row | None = None
        for row in _unrevoked(_rows(stored, badge)):
            if last is not None and last.customer_id == row.customer_id and row.valid_from < last.valid_until:
                yield (
                    f"badge '{badge.name}': {last.earned_badge_id} and {row.earned_badge_id}"
                    f" of customer {row.customer_id} overlap"
                )
            last = row


def _allows_several(badge: Badge) -> bool:
    """Whether a customer can have several valid earned badges of the badge. See the contract."""
    policy = badge.body.get("overlapPolicy")
    if policy is not None:
        return policy == "ALLOW"
    only_one = ("CUSTOMER_BADGE_FIXED_VALUE", 1)
    constraints = badge.body.get("customerConstraints", [])
    return any((each["constraintType"], each.get("maxEarnLimit")) != only_one for each in constraints)


def _limits(badge: Badge, field: str, zone: ZoneInfo) -> list[Limit]:
    starts_on = datetime.fromisoformat(badge.body["startOn"])
    return limits_of(badge.body.get(field, []), starts_on, zone)


def _customer_limits(history: History, stored: Stored, zone: ZoneInfo) -> Iterator[str]:
    for badge in history.of_type(Badge):
        limits = _limits(badge, "customerConstraints", zone)
        events_by_customer: defaultdict[int, list[datetime]] = defaultdict(list)
        for row in _unrevoked(_rows(stored, badge) if limits else []):
            events_by_customer[row.customer_id].append(row.valid_from)
        for limit in limits:
            for customer_id, events in events_by_customer.items():
                if excess := limit.find_excess(events):
                    yield f"badge '{badge.name}', {limit.description}: customer {customer_id} has {excess}"


def _badge_limits(history: History, stored: Stored, zone: ZoneInfo) -> Iterator[str]:
    for badge in history.of_type(Badge):
        if badge.has_changing_limit:
            continue
        events = sorted(row.valid_from for row in _unrevoked(_rows(stored, badge)))
        for limit in _limits(badge, "badgeConstraints", zone):
            if excess := limit.find_excess(events):
                yield f"badge '{badge.name}', {limit.description}: {excess}"


def _changed_limits(history: History) -> Iterator[str]:
    """Check that no rows were added above the limit. It may be set below the number of existing rows."""
    for interval in history.of_type(LimitInterval):
        at_start, at_end = interval.rows_at_start, interval.rows_at_end
        if not interval.is_conclusive or at_start is None or at_end is None:
            continue
        maximum = max(interval.limit, at_start)
        if at_end > maximum:
            yield f"badge {interval.badge_id} has {at_end} rows, at most {maximum} were allowed"


def _inactive(history: History, stored: Stored, state: InactiveState) -> Iterator[str]:
    issuing: defaultdict[str, list[tuple[float, Attempt]]] = defaultdict(list)
    for attempt in history.of_type(Attempt):
        if attempt.earned and not attempt.is_lookup:
            issuing[attempt.badge_id].append((_decided_at(attempt, stored), attempt))
    for interval in history.of_type(InactiveInterval):
        if interval.state != state or not interval.is_conclusive:
            continue
        at_start, at_end = interval.rows_at_start, interval.rows_at_end
        if at_start is not None and at_end is not None and at_start != at_end:
            yield f"badge {interval.badge_id}: the number of rows changed from {at_start} to {at_end}"
        for decided_at, attempt in issuing[interval.badge_id]:
            if interval.started_at < decided_at and attempt.response.received_at < interval.ended_at:
                yield f"badge {interval.badge_id}: request {attempt.request_id} was issued while {state}"


def _decided_at(attempt: Attempt, stored: Stored) -> float:
    """Return when the service decided the request, at the earliest.

    That is the stored time or, if it is later, the time at which the attempt was sent.
    """
    request = stored.requests.get(attempt.request_id)
    if request is None or request.completed_at is None:
        return attempt.response.sent_at
    return max(attempt.response.sent_at, request.completed_at.timestamp())


def _revoked_once(history: History, stored: Stored) -> Iterator[str]:
    sent: defaultdict[str, list[Response]] = defaultdict(list)
    for revocation in history.of_type(Revocation):
        sent[revocation.earned_badge_id].append(revocation.response)
    revoked = {row.earned_badge_id for rows in stored.rows.values() for row in rows if row.is_revoked}
    for earned_badge_id, responses in sent.items():
        outcomes = [response.outcome for response in responses]
        if outcomes.count(Outcome.ACKNOWLEDGED) > 1:
            yield f"the revocation of {earned_badge_id} was acknowledged more than once"
        must_be_revoked = Outcome.ACKNOWLEDGED in outcomes or any(
            response.error_code == NOTHING_TO_REVOKE for response in responses
        )
        if must_be_revoked and earned_badge_id not in revoked:
            yield f"{earned_badge_id} is not revoked, but a response reported that it is"
        if set(outcomes) <= {Outcome.UNAVAILABLE} and earned_badge_id in revoked:
            yield f"{earned_badge_id} is revoked, but all responses were unavailable"
    for earned_badge_id in revoked - set(sent):
        yield f"{earned_badge_id} is revoked, but no revocation was sent"


# Counts that are stored in addition to the ledger


def _badge_counts(stored: Stored) -> Iterator[str]:
    for badge_id, key in stored.badge_keys.items():
        expected, actual = sum(1 for _ in _unrevoked(stored.rows.get(key, []))), stored.counts.get(key, 0)
        if expected != actual:
            yield f"badge {badge_id}: the stored count is {actual}, the ledger has {expected} unrevoked rows"


def _limit_counters(history: History, stored: Stored) -> Iterator[str]:
    """Check the counters of badges with a limit as a whole: unrevoked rows per hour, and per instant, of the event."""
    for badge in history.of_type(Badge):
        has_limit = any(
            each["constraintType"] != "BADGE_NO_LIMIT" for each in badge.body.get("badgeConstraints", [])
        )
        for bucket_s in (3600, 0) if has_limit else ():
            expected: defaultdict[datetime, int] = defaultdict(int)
            for row in _unrevoked(_rows(stored, badge)):
                expected[_bucket_start(row.valid_from, bucket_s)] += 1
            key = stored.badge_keys[badge.badge_id]
            if dict(expected) != stored.limit_counters.get((key, bucket_s), {}):
                yield f"badge '{badge.name}': the counters with buckets of {bucket_s} s differ from the ledger"


def _bucket_start(at: datetime, bucket_s: int) -> datetime:
    """Return the start of the bucket. A bucket of 0 s is a single instant."""
    return datetime.fromtimestamp(int(at.timestamp()) // bucket_s * bucket_s, UTC) if bucket_s else at


# Responses and recovery


def _responses(history: History) -> Iterator[tuple[str, Response]]:
    for attempt in history.of_type(Attempt):
        yield f"request {attempt.request_id}", attempt.response
    for revocation in history.of_type(Revocation):
        yield f"revocation of {revocation.earned_badge_id}", revocation.response


def _timeout(history: History, max_response_s: float) -> Iterator[str]:
    for name, response in _responses(history):
        duration_s = response.received_at - response.sent_at
        if duration_s > max_response_s:
            yield f"{name} took {duration_s:.1f} s"


def _valid_responses(history: History) -> Iterator[str]:
    for name, response in _responses(history):
        if response.outcome is Outcome.UNEXPECTED:
            yield f"{name} returned {response.status}: {response.detail}"
        if response.status == 503 and not response.has_retry_after:
            yield f"{name} returned 503 without Retry-After"


def _recovery(history: History) -> Iterator[str]:
    for fault in history.of_type(Fault):
        if fault.recovery_s is None:
            yield f"the services did not become ready again after: {fault.kind}"
