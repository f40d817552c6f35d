"""The checker: compares the database after a run with the history and the contract.

It follows docs/reference/api/contract.md, shares no code with cockade, and knows only its table names. If a
fault breaks several promises, it is reported once, under the first promise that explains it.
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
    Answer,
    Badge,
    Call,
    History,
    InactiveInterval,
    InjectedFault,
    LimitInterval,
    Outcome,
    Revocation,
    RunInfo,
)
from chaos.windows import Limit, limits_of

if TYPE_CHECKING:
    import asyncpg

NOT_A_SECOND_ONE = {"EARN_BULK", "EARN"}
MICROSECOND = 1e-6


class Promise(StrEnum):
    """What must hold after any run, in the order in which it is checked."""

    ACKNOWLEDGED = "every acknowledged issuance exists, with its id and validity"
    WHOLE = "a request is stored completely, with its whole outcome, or not at all"
    REQUESTED = "nothing exists that was not requested"
    NOTHING_STORED = "a request that was rejected or got 'nothing was changed' left nothing"
    ONE_SET = "a request id that is sent again results in exactly one set of issuances"
    ONE_AT_A_TIME = "no customer has two valid earned badges where the badge allows one"
    CUSTOMER_LIMITS = "no limit per customer is exceeded"
    BADGE_LIMITS = "no limit of a badge as a whole is exceeded"
    CHANGED_LIMITS = "a changed limit holds from the response that set it until the next change"
    DEACTIVATED = "nothing is issued between the response to a deactivation and the next activation"
    UNCLAIMED = "nothing is issued between the response to an unclaim and the next claim"
    REVOKED_ONCE = "what was revoked is revoked once, and nothing else is revoked"
    COUNTED = "the stored counts agree with the ledger"
    LIMIT_COUNTERS = "the limit counters agree with the ledger"
    BOUNDED = "no request takes longer than its timeout"
    ANSWERED = "no response is a server error, and each 503 has Retry-After"
    RECOVERS = "the service recovers by itself from every fault"


class Violation(Struct, frozen=True):
    """A promise that was broken."""

    promise: Promise
    what: str


class Row(Struct, frozen=True):
    """A row of the ledger."""

    badge_key: int
    customer: int
    request_key: int
    line: int
    valid_from: datetime
    valid_until: datetime
    revoked: bool

    @property
    def earned_id(self) -> str:
        """The id in the API."""
        return f"{self.request_key % 2**64:016x}{self.line:08x}"


class Request(Struct, frozen=True):
    """A row of the request table."""

    request_id: str
    request_key: int
    decided_at: datetime | None
    badge_key: int | None
    audience: list[int]
    failed: dict[int, int]
    """Error code by line."""


class Facts(Struct, frozen=True):
    """What the database contains for the org of the run."""

    keys: dict[str, int]
    """Badge key by badge id."""
    requests: dict[str, Request]
    rows: dict[int, list[Row]]
    """By badge key."""
    counts: dict[int, int]
    limit_counters: dict[tuple[int, int], dict[datetime, int]]
    """By badge key and bucket size."""


async def check(connection: asyncpg.Connection[Any], history: History) -> list[Violation]:
    """Return all violations. An empty list means that the run passed."""
    [run_info] = history.of(RunInfo)
    facts = await _facts(connection, run_info.org_id)
    explained: set[str] = set()
    found: list[Violation] = []
    for promise, faults in (
        (Promise.ACKNOWLEDGED, _acknowledged(history, facts, explained)),
        (Promise.WHOLE, _whole(facts, explained)),
        (Promise.REQUESTED, _requested(history, facts)),
        (Promise.NOTHING_STORED, _nothing_stored(history, facts)),
        (Promise.ONE_SET, _one_set(history, facts)),
        (Promise.ONE_AT_A_TIME, _one_at_a_time(history, facts)),
        (Promise.CUSTOMER_LIMITS, _customer_limits(history, facts, ZoneInfo(run_info.zone))),
        (Promise.BADGE_LIMITS, _badge_limits(history, facts, ZoneInfo(run_info.zone))),
        (Promise.CHANGED_LIMITS, _changed_limits(history)),
        (Promise.DEACTIVATED, _paused(history, facts, "switched off")),
        (Promise.UNCLAIMED, _paused(history, facts, "unclaimed")),
        (Promise.REVOKED_ONCE, _revoked_once(history, facts)),
        (Promise.COUNTED, _stored_counts(facts)),
        (Promise.LIMIT_COUNTERS, _limit_counters(history, facts)),
        (Promise.BOUNDED, _bounded(history, run_info.request_timeout_s)),
        (Promise.ANSWERED, _answered(history)),
        (Promise.RECOVERS, _recovers(history)),
    ):
        found += [Violation(promise, fault) for fault in faults]
    return found


# Reading the database


async def _facts(connection: asyncpg.Connection[Any], org_id: int) -> Facts:
    await connection.execute("set statement_timeout = 0")
    badges = await connection.fetch("select badge_id, badge_key from badge where org_id = $1", org_id)
    keys = {row[0]: row[1] for row in badges}
    wanted = list(keys.values())
    rows: defaultdict[int, list[Row]] = defaultdict(list)
    for row in await connection.fetch(
        "select badge_key, customer_id, request_key, line, valid_from, valid_until, revoked_at is not null"
        " from earned_badge where badge_key = any($1) order by badge_key, customer_id, valid_from",
        wanted,
    ):
        rows[row[0]].append(Row(*row))
    requests = await connection.fetch(
        "select request_id, request_key, completed_at, badge_key, customer_ids, failures::text"
        " from request where org_id = $1",
        org_id,
    )
    counts = await connection.fetch(
        "select badge_key, sum(earned) from badge_count where badge_key = any($1) group by badge_key", wanted
    )
    limit_counters: defaultdict[tuple[int, int], dict[datetime, int]] = defaultdict(dict)
    for key, grain, at, earned in await connection.fetch(
        "select badge_key, bucket_s, bucket_start, earned from badge_limit_counter where badge_key = any($1) and earned <> 0",
        wanted,
    ):
        limit_counters[key, grain][at] = earned
    return Facts(
        keys,
        {row[0]: _request(row) for row in requests},
        rows,
        {row[0]: int(row[1]) for row in counts},
        limit_counters,
    )


def _request(row: Any) -> Request:
    refusals: list[list[Any]] = msgspec.json.decode(row[5]) if row[5] else []
    return Request(row[0], row[1], row[2], row[3], row[4] or [], {each[0]: each[1] for each in refusals})


def _rows(facts: Facts, badge: Badge) -> list[Row]:
    return facts.rows.get(facts.keys[badge.badge_id], [])


def _unrevoked(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if not row.revoked)


# Requests


def _calls(history: History, *, looked_up: bool | None = None) -> dict[str, list[Call]]:
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in history.of(Call):
        if looked_up is None or call.looked_up is looked_up:
            calls[call.request_id].append(call)
    return calls


def _acknowledged(history: History, facts: Facts, explained: set[str]) -> Iterator[str]:
    """Acknowledged issuances against the ledger. Adds the keys of requests reported here to `explained`."""
    ledger = {row.earned_id: row for rows in facts.rows.values() for row in rows}
    for call in history.of(Call):
        if call.answer.outcome is not Outcome.ACKNOWLEDGED:
            continue
        for fault in _missing(call, facts.keys[call.badge_id], ledger):
            explained.add(call.request_id)
            yield f"request {call.request_id}: {fault}"


def _missing(call: Call, badge_key: int, ledger: dict[str, Row]) -> Iterator[str]:
    for customer, earned_id in call.earned.items():
        row = ledger.get(earned_id)
        if row is None or (row.badge_key, row.customer) != (badge_key, customer):
            yield f"{earned_id} of customer {customer} is missing"
        elif call.event is not None and abs(row.valid_from.timestamp() - call.event) > MICROSECOND:
            yield f"{earned_id} is valid from {row.valid_from}, which is not the event date"
        elif call.until is not None and abs(row.valid_until.timestamp() - call.until) > MICROSECOND:
            yield f"{earned_id} is valid until {row.valid_until}, which is not the acknowledged instant"


def _whole(facts: Facts, explained: set[str]) -> Iterator[str]:
    """Each line of a request is in the ledger or among its failures, and each row belongs to a request."""
    by_key: defaultdict[int, list[Row]] = defaultdict(list)
    for rows in facts.rows.values():
        for row in rows:
            by_key[row.request_key].append(row)
    for request in facts.requests.values():
        rows = by_key.pop(request.request_key, [])
        if request.request_id in explained:
            continue
        there = sorted([(row.line, row.customer, row.badge_key) for row in rows])
        due = [
            (line, customer, request.badge_key)
            for line, customer in enumerate(request.audience)
            if line not in request.failed
        ]
        if request.decided_at is None or there != due:
            yield f"request {request.request_id}: {len(there)} rows in the ledger, expected {len(due)}"
    for key, rows in by_key.items():
        # A row whose id was changed is reported where it is missing.
        if not explained:
            yield f"{len(rows)} rows have request key {key}, which no request has"


def _requested(history: History, facts: Facts) -> Iterator[str]:
    """Each stored request was sent, for this badge and these customers."""
    calls = _calls(history, looked_up=False)
    for request in facts.requests.values():
        sent = calls.get(request.request_id)
        if sent is None:
            yield f"request {request.request_id} was never sent"
        elif request.audience != sent[0].audience or facts.keys[sent[0].badge_id] != request.badge_key:
            yield f"request {request.request_id} was sent for other customers"


def _nothing_stored(history: History, facts: Facts) -> Iterator[str]:
    """A request without any acknowledged attempt is not stored, unless it was answered with 809."""
    for request_id, sent in _calls(history, looked_up=False).items():
        outcomes = {call.answer.outcome for call in sent}
        if outcomes <= {Outcome.REFUSED, Outcome.UNAVAILABLE} and request_id in facts.requests:
            yield f"request {request_id} is stored, but was only answered with {sorted(outcomes)}"
        if request_id not in facts.requests and any(call.answer.code == 809 for call in sent):
            yield f"request {request_id} is not stored, but was answered with 809"


def _one_set(history: History, facts: Facts) -> Iterator[str]:
    """At most one attempt succeeds, all responses agree, and no outcome stays unknown."""
    for request_id, calls in _calls(history).items():
        answers = [call for call in calls if call.answer.outcome is Outcome.ACKNOWLEDGED]
        if sum(not call.looked_up for call in answers) > 1:
            yield f"request {request_id} was issued more than once"
        if any((call.earned, call.failed) != (answers[0].earned, answers[0].failed) for call in answers):
            yield f"request {request_id} got different responses"
        if answers and request_id in facts.requests:
            request = facts.requests[request_id]
            codes = {request.audience[line]: code for line, code in request.failed.items()}
            if codes != answers[0].failed:
                yield f"request {request_id} got other failures than are stored"
        if not answers and {call.answer.outcome for call in calls} & {Outcome.UNKNOWN}:
            last = max(calls, key=lambda call: call.answer.sent_at)
            if last.answer.outcome is not Outcome.REFUSED or last.answer.code == 809:
                yield f"request {request_id} still has an unknown outcome"


# Rules


def _one_at_a_time(history: History, facts: Facts) -> Iterator[str]:
    for badge in history.of(Badge):
        if _may_hold_several(badge):
            continue
        last: Row | None = None
        for row in _unrevoked(_rows(facts, badge)):
            if last is not None and last.customer == row.customer and row.valid_from < last.valid_until:
                yield f"{badge.name}: customer {row.customer} holds {last.earned_id} and {row.earned_id}"
            last = row


def _may_hold_several(badge: Badge) -> bool:
    """docs/reference/api/contract.md, "Holding several"."""
    policy = badge.fields.get("overlapPolicy")
    if policy is not None:
        return policy == "ALLOW"
    only_one = ("CUSTOMER_BADGE_FIXED_VALUE", 1)
    constraints = badge.fields.get("customerConstraints", [])
    return any((each["constraintType"], each.get("maxEarnLimit")) != only_one for each in constraints)


def _limits(badge: Badge, field: str, zone: ZoneInfo) -> list[Limit]:
    starts_on = datetime.fromisoformat(badge.fields["startOn"])
    return limits_of(badge.fields.get(field, []), starts_on, zone)


def _customer_limits(history: History, facts: Facts, zone: ZoneInfo) -> Iterator[str]:
    for badge in history.of(Badge):
        limits = _limits(badge, "customerConstraints", zone)
        events: defaultdict[int, list[datetime]] = defaultdict(list)
        for row in _unrevoked(_rows(facts, badge) if limits else []):
            events[row.customer].append(row.valid_from)
        for limit in limits:
            for customer, hers in events.items():
                if excess := limit.exceeded(hers):
                    yield f"{badge.name}, {limit.says}: customer {customer} has {excess}"


def _badge_limits(history: History, facts: Facts, zone: ZoneInfo) -> Iterator[str]:
    for badge in history.of(Badge):
        if badge.changing:
            continue
        events = sorted(row.valid_from for row in _unrevoked(_rows(facts, badge)))
        for limit in _limits(badge, "badgeConstraints", zone):
            if excess := limit.exceeded(events):
                yield f"{badge.name}, {limit.says}: {excess}"


def _changed_limits(history: History) -> Iterator[str]:
    for limit_interval in history.of(LimitInterval):
        if (
            limit_interval.sound
            and limit_interval.rows_at_first is not None
            and limit_interval.rows_at_last is not None
        ):
            most = max(limit_interval.limit, limit_interval.rows_at_first)
            if limit_interval.rows_at_last > most:
                yield f"badge {limit_interval.badge_id}: {limit_interval.rows_at_last} issued, at most {most} allowed"


def _paused(history: History, facts: Facts, why: str) -> Iterator[str]:
    successes: defaultdict[str, list[tuple[float, Call]]] = defaultdict(list)
    for call in history.of(Call):
        if call.earned and not call.looked_up:
            successes[call.badge_id].append((_begun_at(call, facts), call))
    for pause in history.of(InactiveInterval):
        if pause.why != why or not pause.sound:
            continue
        first, last = pause.rows_at_first, pause.rows_at_last
        if first is not None and last is not None and first != last:
            yield f"badge {pause.badge_id}: between {first} and {last} rows were added meanwhile"
        for begun_at, call in successes[pause.badge_id]:
            if pause.begun_at < begun_at and call.answer.answered_at < pause.ended_at:
                yield f"badge {pause.badge_id}: request {call.request_id} was decided and answered meanwhile"


def _begun_at(call: Call, facts: Facts) -> float:
    """Return when the request was decided, or sent. One that is not answered may be decided later."""
    request = facts.requests.get(call.request_id)
    decided_at = request.decided_at if request is not None else None
    return call.answer.sent_at if decided_at is None else max(call.answer.sent_at, decided_at.timestamp())


def _revoked_once(history: History, facts: Facts) -> Iterator[str]:
    sent: defaultdict[str, list[Answer]] = defaultdict(list)
    for revocation in history.of(Revocation):
        sent[revocation.earned_id].append(revocation.answer)
    revoked = {row.earned_id for rows in facts.rows.values() for row in rows if row.revoked}
    for earned_id, answers in sent.items():
        outcomes = [answer.outcome for answer in answers]
        if outcomes.count(Outcome.ACKNOWLEDGED) > 1:
            yield f"{earned_id} was revoked more than once"
        done = Outcome.ACKNOWLEDGED in outcomes or any(answer.code == 814 for answer in answers)
        if done and earned_id not in revoked:
            yield f"{earned_id} was revoked, but is not marked as revoked"
        if set(outcomes) <= {Outcome.UNAVAILABLE} and earned_id in revoked:
            yield f"{earned_id} is revoked, but every response said that nothing was changed"
    for earned_id in revoked - set(sent):
        yield f"{earned_id} is revoked, but no revocation was sent"


# Stored besides the ledger


def _stored_counts(facts: Facts) -> Iterator[str]:
    for badge_id, key in facts.keys.items():
        earned, stored = sum(1 for _ in _unrevoked(facts.rows.get(key, []))), facts.counts.get(key, 0)
        if earned != stored:
            yield f"badge {badge_id}: {earned} rows in the ledger, counted {stored}"


def _limit_counters(history: History, facts: Facts) -> Iterator[str]:
    """Badges with a limit as a whole have counters: unrevoked rows per hour and per instant of their events."""
    for badge in history.of(Badge):
        capped = any(
            each["constraintType"] != "BADGE_NO_LIMIT" for each in badge.fields.get("badgeConstraints", [])
        )
        for grain in (3600, 0) if capped else ():
            due: defaultdict[datetime, int] = defaultdict(int)
            for row in _unrevoked(_rows(facts, badge)):
                due[_at_grain(row.valid_from, grain)] += 1
            if dict(due) != facts.limit_counters.get((facts.keys[badge.badge_id], grain), {}):
                yield f"{badge.name}: the counters of bucket size {grain} s differ from the ledger"


def _at_grain(at: datetime, grain: int) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // grain * grain, UTC) if grain else at


# Responses


def _answers(history: History) -> Iterator[tuple[str, Answer]]:
    for call in history.of(Call):
        yield f"request {call.request_id}", call.answer
    for revocation in history.of(Revocation):
        yield f"revocation of {revocation.earned_id}", revocation.answer


def _bounded(history: History, request_timeout_s: float) -> Iterator[str]:
    for what, answer in _answers(history):
        took = answer.answered_at - answer.sent_at
        if took > request_timeout_s:
            yield f"{what} took {took:.1f} s"


def _answered(history: History) -> Iterator[str]:
    for what, answer in _answers(history):
        if answer.outcome is Outcome.FAULTY:
            yield f"{what} got {answer.status}: {answer.note}"
        if answer.status == 503 and not answer.retry_after:
            yield f"{what} got 503 without Retry-After"


def _recovers(history: History) -> Iterator[str]:
    for fault in history.of(InjectedFault):
        if fault.recovery_s is None:
            yield f"not within a minute and a half after {fault.kind}"
