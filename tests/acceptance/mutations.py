"""Mutations that each violate one guarantee, to test that the checker finds every kind of violation.

A mutation changes a copy of the history, or the database in a transaction that is rolled back afterwards. Everything
else stays consistent: an inserted row of the ledger, for example, is also added to the counts and to the history.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from chaos.checker import Guarantee
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
from tests.support import REFERENCE

T = TypeVar("T")
Connection = Any
"""asyncpg.Connection, without its type parameter."""
Mutation = Callable[["Corruptor"], Awaitable[None]]

_numbers = itertools.count(1)
DAY = timedelta(days=1)
CENTURY = timedelta(days=36525)
INSERT_REQUEST = (
    "insert into request (org_id, request_id, request_key, kind, completed_at, badge_key, owner_type, reference_id,"
    " event_at, valid_until, customer_ids, failures)"
    " values ($1, $2, $3, 'EARN_BULK', $4, $5, 'Loyalty', $6, $7, $8, $9, '[]')"
)
INSERT_ROWS = (
    "insert into earned_badge (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)"
    " select customer, $1, $2, $3, $4, $5, line - 1 from unnest($6::bigint[]) with ordinality as a (customer, line)"
)
ADD_TO_COUNT = (
    "insert into badge_count (badge_key, shard, issued, earned) values ($1, 0, 0, $2)"
    " on conflict (badge_key, shard) do update set earned = badge_count.earned + excluded.earned"
)
ADD_TO_LIMIT_COUNTER = (
    "insert into badge_limit_counter (badge_key, bucket_s, bucket_start, earned) values ($1, $2, $3, $4)"
    " on conflict (badge_key, bucket_s, bucket_start)"
    " do update set earned = badge_limit_counter.earned + excluded.earned"
)


class Corruptor:
    """Changes the database and a copy of the history."""

    def __init__(self, connection: Connection, history: History) -> None:
        self.connection = connection
        self.history = history
        self.customers = range(10**12, 10**12 + 5000)
        """Customers without any badges."""

    async def issue(
        self,
        name: str,
        customers: Sequence[int],
        event_at: datetime,
        *,
        completed_at: datetime | None = None,
        outcome: Outcome | None = Outcome.ACKNOWLEDGED,
    ) -> None:
        """Store a complete request, and record it with this outcome. With None, it is not recorded."""
        badge = self.badge(name)
        key = await self.badge_key(name)
        number = next(_numbers)
        request_id, request_key, valid_until = f"mutation-{number}", (7 << 32) | number, event_at + CENTURY
        await self.connection.execute(
            INSERT_REQUEST, self.history.of_type(Run)[0].org_id, request_id, request_key,
            completed_at or datetime.now(UTC), key, REFERENCE, event_at, valid_until, list(customers),
        )  # fmt: skip
        await self.connection.execute(
            INSERT_ROWS, request_key, event_at, valid_until, key, number, list(customers)
        )
        await self.add_to_counts(key, [event_at] * len(customers))
        if outcome is not None:
            is_acknowledged = outcome is Outcome.ACKNOWLEDGED
            earned = {customer: f"{request_key:016x}{line:08x}" for line, customer in enumerate(customers)}
            self.history.append(
                Attempt(
                    request_id=request_id,
                    badge_id=badge.badge_id,
                    audience=list(customers),
                    event_at=event_at.timestamp(),
                    response=response(outcome),
                    earned=earned if is_acknowledged else {},
                    valid_until=valid_until.timestamp() if is_acknowledged else None,
                )
            )

    async def add_to_counts(self, key: int, events: Sequence[datetime], sign: int = 1) -> None:
        """Add events at the same instant to the stored counts of a badge. With sign -1, subtract them."""
        await self.connection.execute(ADD_TO_COUNT, key, sign * len(events))
        for event_at in events[:1]:
            hour = event_at.replace(minute=0, second=0, microsecond=0)
            for bucket_s, bucket_start in ((3600, hour), (0, event_at)):
                await self.connection.execute(
                    ADD_TO_LIMIT_COUNTER, key, bucket_s, bucket_start, sign * len(events)
                )

    def badge(self, name: str) -> Badge:
        """Return the badge of this scenario."""
        return next(badge for badge in self.history.of_type(Badge) if badge.name == name)

    async def badge_key(self, name: str) -> int:
        """Return the key of the badge of this scenario."""
        return await self.connection.fetchval(
            "select badge_key from badge where badge_id = $1", self.badge(name).badge_id
        )

    def first(self, kind: type[T], condition: Callable[[T], object] = bool) -> T:
        """Return the first entry of the history that fulfils the condition."""
        return next(entry for entry in self.history.of_type(kind) if condition(entry))

    def replace(self, entry: Any, **changes: Any) -> None:
        """Change an entry of the history."""
        index = self.history.entries.index(entry)
        self.history.entries[index] = msgspec.structs.replace(entry, **changes)

    def acknowledged(self) -> Attempt:
        """Return the only attempt of a request that issued to several customers, without later revocations."""
        attempts = [attempt for attempt in self.history.of_type(Attempt) if not attempt.is_lookup]
        sent = Counter(attempt.request_id for attempt in attempts)
        revoked = {revocation.earned_badge_id for revocation in self.history.of_type(Revocation)}
        return next(
            attempt
            for attempt in attempts
            if len(attempt.earned) > 1
            and sent[attempt.request_id] == 1
            and not revoked & set(attempt.earned.values())
        )

    async def delete_rows(self, attempt: Attempt, customers: Sequence[int]) -> None:
        """Delete the rows that the attempt issued to these customers, and subtract them from the counts."""
        for customer in customers:
            key, event_at = await self.connection.fetchrow(
                "delete from earned_badge where request_key = $1 and line = $2 returning badge_key, valid_from",
                *_row_key(attempt.earned[customer]),
            )
            await self.add_to_counts(key, [event_at], sign=-1)


def response(outcome: Outcome, **fields: Any) -> Response:
    """Return a response that was received now, after 10 ms."""
    now = time.time()
    return Response(outcome=outcome, sent_at=now - 0.01, received_at=now, **fields)


def _with_response(attempt: Attempt, response: Response, request_id: str | None = None) -> Attempt:
    """Return the attempt with this response, and without results."""
    return msgspec.structs.replace(
        attempt,
        request_id=request_id or attempt.request_id,
        response=response,
        earned={},
        failed={},
        valid_until=None,
    )


def _row_key(earned_badge_id: str) -> tuple[int, int]:
    """Return request key and line of an earned badge."""
    key = int(earned_badge_id[:16], 16)
    return key - 2**64 if key >= 2**63 else key, int(earned_badge_id[16:], 16)


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - days * DAY


# Requests


async def delete_acknowledged_row(corruptor: Corruptor) -> None:
    attempt = corruptor.acknowledged()
    await corruptor.delete_rows(attempt, list(attempt.earned)[:1])


async def change_earned_badge_id(corruptor: Corruptor) -> None:
    earned_badge_id = next(iter(corruptor.acknowledged().earned.values()))
    await corruptor.connection.execute(
        "update earned_badge set line = line + 1000000 where request_key = $1 and line = $2",
        *_row_key(earned_badge_id),
    )


async def change_validity(corruptor: Corruptor) -> None:
    earned_badge_id = next(iter(corruptor.acknowledged().earned.values()))
    await corruptor.connection.execute(
        "update earned_badge set valid_until = valid_until + interval '1 second'"
        " where request_key = $1 and line = $2",
        *_row_key(earned_badge_id),
    )


async def delete_row_of_unknown_request(corruptor: Corruptor) -> None:
    attempt = corruptor.acknowledged()
    await corruptor.delete_rows(attempt, list(attempt.earned)[:1])
    for other in corruptor.history.of_type(Attempt):
        if other.request_id == attempt.request_id:
            corruptor.history.entries.remove(other)
    responses = (response(Outcome.UNKNOWN), response(Outcome.REJECTED, status=409, error_code=815))
    corruptor.history.entries += [_with_response(attempt, each) for each in responses]


async def delete_request_without_its_rows(corruptor: Corruptor) -> None:
    await corruptor.connection.execute(
        "delete from request where org_id = $1 and request_id = $2",
        corruptor.history.of_type(Run)[0].org_id,
        corruptor.acknowledged().request_id,
    )


async def store_request_that_was_not_sent(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=None)


async def issue_to_other_customers(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=Outcome.UNKNOWN)
    attempt = corruptor.history.of_type(Attempt)[-1]
    corruptor.replace(attempt, audience=[corruptor.customers[1]])
    corruptor.history.append(_with_response(attempt, response(Outcome.REJECTED, status=409, error_code=815)))


async def store_rejected_request(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=Outcome.REJECTED)


async def store_unavailable_request(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=Outcome.UNAVAILABLE)


async def return_809_for_unused_id(corruptor: Corruptor) -> None:
    rejected = response(Outcome.REJECTED, status=400, error_code=809)
    corruptor.history.append(_with_response(corruptor.acknowledged(), rejected, "unused"))


async def acknowledge_request_twice(corruptor: Corruptor) -> None:
    corruptor.history.append(corruptor.acknowledged())


async def return_different_lookup_result(corruptor: Corruptor) -> None:
    attempt = corruptor.acknowledged()
    fewer = dict(list(attempt.earned.items())[1:])
    corruptor.history.append(msgspec.structs.replace(attempt, is_lookup=True, earned=fewer))


async def leave_outcome_unknown(corruptor: Corruptor) -> None:
    corruptor.history.append(_with_response(corruptor.acknowledged(), response(Outcome.UNKNOWN), "unknown"))


# Rules


async def issue_second_valid_badge(corruptor: Corruptor) -> None:
    for days in (2, 1):
        await corruptor.issue("plain", corruptor.customers[:1], _days_ago(days))


async def exceed_customer_fixed_value(corruptor: Corruptor) -> None:
    for days in (4, 3, 2, 1):
        await corruptor.issue("customer fixed value", corruptor.customers[:1], _days_ago(days))


async def exceed_customer_rolling_window_of_days(corruptor: Corruptor) -> None:
    for days in (10, 8, 6):
        await corruptor.issue("customer rolling window", corruptor.customers[:1], _days_ago(days))


async def exceed_customer_rolling_window_of_months(corruptor: Corruptor) -> None:
    """Issue five badges in 27 days and 8 hours, but never three in 7 days."""
    for hours in (0, 82, 246, 328, 492):
        event_at = _days_ago(60) + timedelta(hours=hours + hours // 3)
        await corruptor.issue("customer rolling window", corruptor.customers[:1], event_at)


async def exceed_customer_cycle_of_weeks(corruptor: Corruptor) -> None:
    noon = _days_ago(30).replace(hour=12)
    thursday = noon - timedelta(days=(noon.weekday() - 3) % 7)
    for days in (0, 5):
        await corruptor.issue("customer cycle", corruptor.customers[:1], thursday + days * DAY)


async def exceed_customer_cycle_of_months(corruptor: Corruptor) -> None:
    first = (_days_ago(0).replace(day=1) - 40 * DAY).replace(day=1, hour=12)
    for days in (1, 8, 15, 22):
        await corruptor.issue("customer cycle", corruptor.customers[:1], first + days * DAY)


async def exceed_customer_cycle_of_days(corruptor: Corruptor) -> None:
    """Issue two badges on the same day.

    Both are valid at the same time, so the badge must allow that. Otherwise the mutation would violate another
    guarantee too.
    """
    name = "customer cycle of days"
    badge = corruptor.badge(name)
    corruptor.replace(badge, body=badge.body | {"overlapPolicy": "ALLOW"})
    for event_at in (_days_ago(2), _days_ago(2) + timedelta(microseconds=1)):
        await corruptor.issue(name, corruptor.customers[:1], event_at)


async def exceed_badge_fixed_value(corruptor: Corruptor) -> None:
    await corruptor.issue("badge fixed value", corruptor.customers[:4001], _days_ago(1))


async def exceed_badge_rolling_window(corruptor: Corruptor) -> None:
    await corruptor.issue("badge rolling window", corruptor.customers[:30], _days_ago(1.5))
    await corruptor.issue("badge rolling window", corruptor.customers[30:61], _days_ago(1))


async def exceed_badge_cycle(corruptor: Corruptor) -> None:
    await corruptor.issue("badge cycle", corruptor.customers[:41], _days_ago(1))


async def exceed_changed_limit(corruptor: Corruptor) -> None:
    interval = corruptor.first(LimitInterval)
    corruptor.replace(
        interval, is_conclusive=True, rows_at_start=interval.limit, rows_at_end=interval.limit + 1
    )


async def acknowledge_request_while_deactivated(corruptor: Corruptor) -> None:
    await _issue_while_inactive(corruptor, "deactivated")


async def add_row_while_deactivated(corruptor: Corruptor) -> None:
    interval = corruptor.first(InactiveInterval, lambda interval: interval.state == "deactivated")
    corruptor.replace(interval, is_conclusive=True, rows_at_start=5, rows_at_end=6)


async def acknowledge_request_while_unclaimed(corruptor: Corruptor) -> None:
    await _issue_while_inactive(corruptor, "unclaimed")


async def _issue_while_inactive(corruptor: Corruptor, state: InactiveState) -> None:
    """Issue the badge of the scenario of this name in the middle of an interval."""
    interval = corruptor.first(InactiveInterval, lambda interval: interval.state == state)
    middle = datetime.fromtimestamp((interval.started_at + interval.ended_at) / 2, UTC)
    corruptor.replace(interval, is_conclusive=True)
    await corruptor.issue(state, corruptor.customers[:1], _days_ago(1), completed_at=middle)
    attempt = corruptor.history.of_type(Attempt)[-1]
    times = {"sent_at": interval.started_at - 1, "received_at": middle.timestamp()}
    corruptor.replace(attempt, response=msgspec.structs.replace(attempt.response, **times))


async def lose_revocation(corruptor: Corruptor) -> None:
    """Reset a revocation of a customer who has no other valid earned badge, which would violate another guarantee."""
    for revocation in corruptor.history.of_type(Revocation):
        if revocation.response.outcome is not Outcome.ACKNOWLEDGED:
            continue
        row = await corruptor.connection.fetchrow(
            "update earned_badge e set revoked_at = null where request_key = $1 and line = $2 and not exists"
            " (select from earned_badge o where o.badge_key = e.badge_key and o.customer_id = e.customer_id"
            " and o.revoked_at is null) returning badge_key, valid_from",
            *_row_key(revocation.earned_badge_id),
        )
        if row is not None:
            await corruptor.add_to_counts(row[0], [row[1]])
            return
    raise AssertionError("every customer with a revocation has earned the badge again")


async def revoke_without_request(corruptor: Corruptor) -> None:
    key, event_at = await corruptor.connection.fetchrow(
        "update earned_badge set revoked_at = now() where request_key = $1 and line = $2"
        " returning badge_key, valid_from",
        *_row_key(next(iter(corruptor.acknowledged().earned.values()))),
    )
    await corruptor.add_to_counts(key, [event_at], sign=-1)


async def acknowledge_revocation_twice(corruptor: Corruptor) -> None:
    corruptor.history.append(
        corruptor.first(Revocation, lambda revocation: revocation.response.outcome is Outcome.ACKNOWLEDGED)
    )


# Counts that are stored in addition to the ledger


async def change_badge_count(corruptor: Corruptor) -> None:
    await corruptor.connection.execute(ADD_TO_COUNT, await corruptor.badge_key("plain"), 1)


async def change_limit_counter(corruptor: Corruptor) -> None:
    key = await corruptor.badge_key("badge rolling window")
    await corruptor.connection.execute(ADD_TO_LIMIT_COUNTER, key, 0, _days_ago(3), 1)


# Responses and recovery


async def exceed_timeout(corruptor: Corruptor) -> None:
    attempt = corruptor.acknowledged()
    late = msgspec.structs.replace(attempt.response, received_at=attempt.response.sent_at + 60)
    corruptor.replace(attempt, response=late)


async def return_500(corruptor: Corruptor) -> None:
    unexpected = response(Outcome.UNEXPECTED, status=500, detail="Unexpected error.")
    corruptor.history.append(_with_response(corruptor.acknowledged(), unexpected, "500"))


async def return_503_without_retry_after(corruptor: Corruptor) -> None:
    unavailable = response(Outcome.UNAVAILABLE, status=503)
    corruptor.history.append(_with_response(corruptor.acknowledged(), unavailable, "503"))


async def never_recover(corruptor: Corruptor) -> None:
    corruptor.history.append(Fault(kind="worker killed", killed=1, injected_at=time.time(), recovery_s=None))


MUTATIONS: list[tuple[Mutation, Guarantee]] = [
    (delete_acknowledged_row, Guarantee.ACKNOWLEDGED),
    (change_earned_badge_id, Guarantee.ACKNOWLEDGED),
    (change_validity, Guarantee.ACKNOWLEDGED),
    (delete_row_of_unknown_request, Guarantee.COMPLETE),
    (delete_request_without_its_rows, Guarantee.COMPLETE),
    (store_request_that_was_not_sent, Guarantee.REQUESTED),
    (issue_to_other_customers, Guarantee.REQUESTED),
    (store_rejected_request, Guarantee.NOTHING_STORED),
    (store_unavailable_request, Guarantee.NOTHING_STORED),
    (return_809_for_unused_id, Guarantee.NOTHING_STORED),
    (acknowledge_request_twice, Guarantee.ISSUED_ONCE),
    (return_different_lookup_result, Guarantee.ISSUED_ONCE),
    (leave_outcome_unknown, Guarantee.ISSUED_ONCE),
    (issue_second_valid_badge, Guarantee.ONE_VALID),
    (exceed_customer_fixed_value, Guarantee.CUSTOMER_LIMITS),
    (exceed_customer_rolling_window_of_days, Guarantee.CUSTOMER_LIMITS),
    (exceed_customer_rolling_window_of_months, Guarantee.CUSTOMER_LIMITS),
    (exceed_customer_cycle_of_weeks, Guarantee.CUSTOMER_LIMITS),
    (exceed_customer_cycle_of_months, Guarantee.CUSTOMER_LIMITS),
    (exceed_customer_cycle_of_days, Guarantee.CUSTOMER_LIMITS),
    (exceed_badge_fixed_value, Guarantee.BADGE_LIMITS),
    (exceed_badge_rolling_window, Guarantee.BADGE_LIMITS),
    (exceed_badge_cycle, Guarantee.BADGE_LIMITS),
    (exceed_changed_limit, Guarantee.CHANGED_LIMITS),
    (acknowledge_request_while_deactivated, Guarantee.DEACTIVATED),
    (add_row_while_deactivated, Guarantee.DEACTIVATED),
    (acknowledge_request_while_unclaimed, Guarantee.UNCLAIMED),
    (lose_revocation, Guarantee.REVOKED_ONCE),
    (revoke_without_request, Guarantee.REVOKED_ONCE),
    (acknowledge_revocation_twice, Guarantee.REVOKED_ONCE),
    (change_badge_count, Guarantee.BADGE_COUNTS),
    (change_limit_counter, Guarantee.LIMIT_COUNTERS),
    (exceed_timeout, Guarantee.TIMEOUT),
    (return_500, Guarantee.RESPONSES),
    (return_503_without_retry_after, Guarantee.RESPONSES),
    (never_recover, Guarantee.RECOVERY),
]
"""Each mutation with the only guarantee that it violates."""
