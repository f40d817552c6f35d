"""Promises broken on purpose, one at a time, so that the checker of the storm can be seen to find each.

A break changes the database, in a transaction that is rolled back afterwards, or a copy of the diary. All else is kept
in order: whoever smuggles in an earned badge also adds it to the counts, the tally and the diary.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from chaos.checker import Promise
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
from tests.support import REFERENCE

T = TypeVar("T")
Connection = Any
"""asyncpg.Connection, whose type parameter is in nobody's way here."""
Mutation = Callable[["Corruptor"], Awaitable[None]]

_numbers = itertools.count(1)
DAY = timedelta(days=1)
CENTURY = timedelta(days=36525)
REQUEST = (
    "insert into request (org_id, request_id, request_key, kind, completed_at, badge_key, owner_type, reference_id,"
    " event_at, valid_until, customer_ids, failures)"
    " values ($1, $2, $3, 'EARN_BULK', $4, $5, 'Loyalty', $6, $7, $8, $9, '[]')"
)
LEDGER = (
    "insert into earned_badge (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)"
    " select customer, $1, $2, $3, $4, $5, line - 1 from unnest($6::bigint[]) with ordinality as a (customer, line)"
)
COUNT = (
    "insert into badge_count (badge_key, shard, issued, earned) values ($1, 0, 0, $2)"
    " on conflict (badge_key, shard) do update set earned = badge_count.earned + excluded.earned"
)
TALLY = (
    "insert into badge_limit_counter (badge_key, bucket_s, bucket_start, earned) values ($1, $2, $3, $4)"
    " on conflict (badge_key, bucket_s, bucket_start) do update set earned = badge_limit_counter.earned + excluded.earned"
)


class Corruptor:
    """Whoever breaks a promise: in the database, and in a diary of their own."""

    def __init__(self, connection: Connection, history: History) -> None:
        self.connection = connection
        self.history = history
        self.customers = range(10**12, 10**12 + 5000)
        """Customers who have nothing yet."""

    async def issue(
        self,
        name: str,
        customers: Sequence[int],
        event: datetime,
        *,
        decided_at: datetime | None = None,
        outcome: Outcome | None = Outcome.ACKNOWLEDGED,
    ) -> None:
        """Smuggle a request in, complete in itself; its caller was told `fate`, and None never sent it."""
        badge = self.badge(name)
        key = await self.connection.fetchval(
            "select badge_key from badge where badge_id = $1", badge.badge_id
        )
        number = next(_numbers)
        request_id, request_key, until = f"forged-{number}", (7 << 32) | number, event + CENTURY
        await self.connection.execute(
            REQUEST, self.history.of(RunInfo)[0].org_id, request_id, request_key, decided_at or datetime.now(UTC), key,
            REFERENCE, event, until, list(customers),
        )  # fmt: skip
        await self.connection.execute(LEDGER, request_key, event, until, key, number, list(customers))
        await self.recount(key, [event] * len(customers))
        if outcome is not None:
            looked_up = outcome is Outcome.ACKNOWLEDGED
            earned = {each: f"{request_key:016x}{line:08x}" for line, each in enumerate(customers)}
            self.history.note(
                Call(
                    request_id=request_id, badge_id=badge.badge_id, audience=list(customers), event=event.timestamp(),
                    answer=answer(outcome), earned=earned if looked_up else {}, until=until.timestamp() if looked_up else None,
                )
            )  # fmt: skip

    async def recount(self, key: int, events: Sequence[datetime], sign: int = 1) -> None:
        """Count so many more, or fewer, as earned."""
        await self.connection.execute(COUNT, key, sign * len(events))
        for event in events[:1]:
            hour = event.replace(minute=0, second=0, microsecond=0)
            for grain, at in ((3600, hour), (0, event)):
                await self.connection.execute(TALLY, key, grain, at, sign * len(events))

    def badge(self, name: str) -> Badge:
        """One of the storm's."""
        return next(badge for badge in self.history.of(Badge) if badge.name == name)

    def first(self, kind: type[T], test: Callable[[T], object] = bool) -> T:
        """The first entry of the diary that passes the test."""
        return next(entry for entry in self.history.of(kind) if test(entry))

    def replace(self, entry: Any, **changes: Any) -> None:
        """Change an entry of the diary."""
        place = self.history.entries.index(entry)
        self.history.entries[place] = msgspec.structs.replace(entry, **changes)

    def acknowledged(self) -> Call:
        """A call that issued to several customers, and whose earned badges nobody took back."""
        taken = {each.earned_id for each in self.history.of(Revocation)}
        return self.first(
            Call,
            lambda call: (
                len(call.earned) > 1 and not call.looked_up and not taken & set(call.earned.values())
            ),
        )

    async def take_away(self, call: Call, customers: Sequence[int]) -> None:
        """Delete what a call issued to these, and count it no longer."""
        for customer in customers:
            earned_id = call.earned[customer]
            key, event = await self.connection.fetchrow(
                "delete from earned_badge where request_key = $1 and line = $2 returning badge_key, valid_from",
                *_place(earned_id),
            )
            await self.recount(key, [event], sign=-1)


def answer(outcome: Outcome, *, seconds: float = 0.01, **more: Any) -> Answer:
    """An answer of just now."""
    now = time.time()
    return Answer(outcome=outcome, sent_at=now - seconds, answered_at=now, **more)


def _without_success(call: Call, given: Answer, request_id: str | None = None) -> Call:
    """The call, answered otherwise."""
    return msgspec.structs.replace(
        call, request_id=request_id or call.request_id, answer=given, earned={}, failed={}, until=None
    )


def _place(earned_id: str) -> tuple[int, int]:
    """Request key and line."""
    key = int(earned_id[:16], 16)
    return key - 2**64 if key >= 2**63 else key, int(earned_id[16:], 16)


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - days * DAY


# The breaks


async def lose_an_acknowledged_one(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    await corruptor.take_away(call, list(call.earned)[:1])


async def change_an_id(corruptor: Corruptor) -> None:
    earned_id = next(iter(corruptor.acknowledged().earned.values()))
    await corruptor.connection.execute(
        "update earned_badge set line = line + 1000000 where request_key = $1 and line = $2",
        *_place(earned_id),
    )


async def move_a_validity(corruptor: Corruptor) -> None:
    earned_id = next(iter(corruptor.acknowledged().earned.values()))
    await corruptor.connection.execute(
        "update earned_badge set valid_until = valid_until + interval '1 second'"
        " where request_key = $1 and line = $2",
        *_place(earned_id),
    )


async def keep_half_of_an_unknown_request(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    await corruptor.take_away(call, list(call.earned)[:1])
    for each in [each for each in corruptor.history.of(Call) if each.request_id == call.request_id]:
        corruptor.history.entries.remove(each)
    given = (answer(Outcome.UNKNOWN), answer(Outcome.REFUSED, status=409, code=815))
    corruptor.history.entries += [_without_success(call, each) for each in given]


async def lose_the_request_and_keep_the_rows(corruptor: Corruptor) -> None:
    request_id = corruptor.acknowledged().request_id
    org_id = corruptor.history.of(RunInfo)[0].org_id
    await corruptor.connection.execute(
        "delete from request where org_id = $1 and request_id = $2", org_id, request_id
    )


async def issue_unasked(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=None)


async def issue_to_others(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=Outcome.UNKNOWN)
    call = corruptor.history.of(Call)[-1]
    corruptor.replace(call, audience=[corruptor.customers[1]])
    corruptor.history.note(
        msgspec.structs.replace(call, answer=answer(Outcome.REFUSED, status=409, code=815))
    )


async def keep_what_was_refused(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=Outcome.REFUSED)


async def keep_what_was_said_to_have_changed_nothing(corruptor: Corruptor) -> None:
    await corruptor.issue("plain", corruptor.customers[:1], _days_ago(1), outcome=Outcome.UNAVAILABLE)


async def refuse_an_id_that_was_never_used(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    failed = answer(Outcome.REFUSED, status=400, code=809)
    corruptor.history.note(_without_success(call, failed, "never"))


async def issue_one_request_twice(corruptor: Corruptor) -> None:
    corruptor.history.note(corruptor.acknowledged())


async def tell_it_differently(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    less = dict(list(call.earned.items())[1:])
    corruptor.history.note(msgspec.structs.replace(call, looked_up=True, earned=less))


async def leave_it_unknown(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    corruptor.history.note(_without_success(call, answer(Outcome.UNKNOWN), "lost"))


async def issue_a_second_valid_one(corruptor: Corruptor) -> None:
    for days in (2, 1):
        await corruptor.issue("plain", corruptor.customers[:1], _days_ago(days))


async def exceed_a_fixed_value(corruptor: Corruptor) -> None:
    for days in (4, 3, 2, 1):
        await corruptor.issue("three ever", corruptor.customers[:1], _days_ago(days))


async def exceed_a_rolling_window(corruptor: Corruptor) -> None:
    for days in (10, 8, 6):
        await corruptor.issue("rolling", corruptor.customers[:1], _days_ago(days))


async def exceed_a_rolling_window_of_months(corruptor: Corruptor) -> None:
    """Five in 27 days and 8 hours, never three in 7 days."""
    for hours in (0, 82, 246, 328, 492):
        await corruptor.issue(
            "rolling", corruptor.customers[:1], _days_ago(60) + timedelta(hours=hours + hours // 3)
        )


async def exceed_a_cycle_of_weeks(corruptor: Corruptor) -> None:
    noon = _days_ago(30).replace(hour=12)
    thursday = noon - timedelta(days=(noon.weekday() - 3) % 7)
    for days in (0, 5):
        await corruptor.issue("cycles", corruptor.customers[:1], thursday + days * DAY)


async def exceed_a_cycle_of_months(corruptor: Corruptor) -> None:
    first = (_days_ago(0).replace(day=1) - 40 * DAY).replace(day=1, hour=12)
    for days in (1, 8, 15, 22):
        await corruptor.issue("cycles", corruptor.customers[:1], first + days * DAY)


async def exceed_a_cycle_of_days(corruptor: Corruptor) -> None:
    """Two at the same hour: they would be valid at once as well, so the first is on loan from another badge's rules."""
    await corruptor.issue("cycles of days", corruptor.customers[:1], _days_ago(2))
    corruptor.replace(
        corruptor.badge("cycles of days"),
        fields=corruptor.badge("cycles of days").fields | {"overlapPolicy": "ALLOW"},
    )
    await corruptor.issue("cycles of days", corruptor.customers[:1], _days_ago(2) + timedelta(microseconds=1))


async def exceed_the_whole(corruptor: Corruptor) -> None:
    await corruptor.issue("so many as a whole", corruptor.customers[:4001], _days_ago(1))


async def exceed_a_rolling_window_of_the_whole(corruptor: Corruptor) -> None:
    await corruptor.issue("rolling as a whole", corruptor.customers[:30], _days_ago(1.5))
    await corruptor.issue("rolling as a whole", corruptor.customers[30:61], _days_ago(1))


async def exceed_a_cycle_of_the_whole(corruptor: Corruptor) -> None:
    await corruptor.issue("cycles as a whole", corruptor.customers[:41], _days_ago(1))


async def exceed_a_limit_that_was_lowered(corruptor: Corruptor) -> None:
    limit_interval = corruptor.first(LimitInterval)
    corruptor.replace(
        limit_interval, sound=True, rows_at_first=limit_interval.limit, rows_at_last=limit_interval.limit + 1
    )


async def issue_inside_a_deactivation(corruptor: Corruptor) -> None:
    await _issue_inside(corruptor, "switched", "switched off")


async def issue_late_inside_a_deactivation(corruptor: Corruptor) -> None:
    pause = corruptor.first(InactiveInterval, lambda pause: pause.why == "switched off")
    corruptor.replace(pause, sound=True, rows_at_first=5, rows_at_last=6)


async def issue_what_is_unclaimed(corruptor: Corruptor) -> None:
    await _issue_inside(corruptor, "claimed", "unclaimed")


async def _issue_inside(corruptor: Corruptor, name: str, why: str) -> None:
    pause = corruptor.first(InactiveInterval, lambda pause: pause.why == why)
    inside = datetime.fromtimestamp((pause.begun_at + pause.ended_at) / 2, UTC)
    corruptor.replace(pause, sound=True)
    await corruptor.issue(name, corruptor.customers[:1], _days_ago(1), decided_at=inside)
    call = corruptor.history.of(Call)[-1]
    times = {"sent_at": pause.begun_at - 1, "answered_at": inside.timestamp()}
    corruptor.replace(call, answer=msgspec.structs.replace(call.answer, **times))


async def forget_a_revocation(corruptor: Corruptor) -> None:
    """Of a customer who has not earned the badge again since: else she would hold two as well."""
    for done in corruptor.history.of(Revocation):
        if done.answer.outcome is not Outcome.ACKNOWLEDGED:
            continue
        row = await corruptor.connection.fetchrow(
            "update earned_badge e set revoked_at = null where request_key = $1 and line = $2 and not exists"
            " (select from earned_badge o where o.badge_key = e.badge_key and o.customer_id = e.customer_id"
            " and o.revoked_at is null) returning badge_key, valid_from",
            *_place(done.earned_id),
        )
        if row is not None:
            await corruptor.recount(row[0], [row[1]])
            return
    raise AssertionError("whoever was revoked has earned again")


async def revoke_unasked(corruptor: Corruptor) -> None:
    key, event = await corruptor.connection.fetchrow(
        "update earned_badge set revoked_at = now() where request_key = $1 and line = $2"
        " returning badge_key, valid_from",
        *_place(next(iter(corruptor.acknowledged().earned.values()))),
    )
    await corruptor.recount(key, [event], sign=-1)


async def revoke_twice(corruptor: Corruptor) -> None:
    corruptor.history.note(
        corruptor.first(Revocation, lambda each: each.answer.outcome is Outcome.ACKNOWLEDGED)
    )


async def miscount(corruptor: Corruptor) -> None:
    key = await corruptor.connection.fetchval(
        "select badge_key from badge where badge_id = $1", corruptor.badge("plain").badge_id
    )
    await corruptor.connection.execute(COUNT, key, 1)


async def mistally(corruptor: Corruptor) -> None:
    key = await corruptor.connection.fetchval(
        "select badge_key from badge where badge_id = $1", corruptor.badge("rolling as a whole").badge_id
    )
    await corruptor.connection.execute(TALLY, key, 0, _days_ago(3), 1)


async def hang(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    corruptor.replace(call, answer=msgspec.structs.replace(call.answer, answered_at=call.answer.sent_at + 60))


async def answer_500(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    faulty = answer(Outcome.FAULTY, status=500, note="Unexpected error.")
    corruptor.history.note(_without_success(call, faulty, "500"))


async def answer_503_without_saying_when(corruptor: Corruptor) -> None:
    call = corruptor.acknowledged()
    corruptor.history.note(_without_success(call, answer(Outcome.UNAVAILABLE, status=503), "503"))


async def stay_away(corruptor: Corruptor) -> None:
    corruptor.history.note(InjectedFault(kind="worker killed", killed=1, at=time.time(), recovery_s=None))


BREAKS: list[tuple[Mutation, Promise]] = [
    (lose_an_acknowledged_one, Promise.ACKNOWLEDGED),
    (change_an_id, Promise.ACKNOWLEDGED),
    (move_a_validity, Promise.ACKNOWLEDGED),
    (keep_half_of_an_unknown_request, Promise.WHOLE),
    (lose_the_request_and_keep_the_rows, Promise.WHOLE),
    (issue_unasked, Promise.REQUESTED),
    (issue_to_others, Promise.REQUESTED),
    (keep_what_was_refused, Promise.NOTHING_STORED),
    (keep_what_was_said_to_have_changed_nothing, Promise.NOTHING_STORED),
    (refuse_an_id_that_was_never_used, Promise.NOTHING_STORED),
    (issue_one_request_twice, Promise.ONE_SET),
    (tell_it_differently, Promise.ONE_SET),
    (leave_it_unknown, Promise.ONE_SET),
    (issue_a_second_valid_one, Promise.ONE_AT_A_TIME),
    (exceed_a_fixed_value, Promise.CUSTOMER_LIMITS),
    (exceed_a_rolling_window, Promise.CUSTOMER_LIMITS),
    (exceed_a_rolling_window_of_months, Promise.CUSTOMER_LIMITS),
    (exceed_a_cycle_of_weeks, Promise.CUSTOMER_LIMITS),
    (exceed_a_cycle_of_months, Promise.CUSTOMER_LIMITS),
    (exceed_a_cycle_of_days, Promise.CUSTOMER_LIMITS),
    (exceed_the_whole, Promise.BADGE_LIMITS),
    (exceed_a_rolling_window_of_the_whole, Promise.BADGE_LIMITS),
    (exceed_a_cycle_of_the_whole, Promise.BADGE_LIMITS),
    (exceed_a_limit_that_was_lowered, Promise.CHANGED_LIMITS),
    (issue_inside_a_deactivation, Promise.DEACTIVATED),
    (issue_late_inside_a_deactivation, Promise.DEACTIVATED),
    (issue_what_is_unclaimed, Promise.UNCLAIMED),
    (forget_a_revocation, Promise.REVOKED_ONCE),
    (revoke_unasked, Promise.REVOKED_ONCE),
    (revoke_twice, Promise.REVOKED_ONCE),
    (miscount, Promise.COUNTED),
    (mistally, Promise.LIMIT_COUNTERS),
    (hang, Promise.BOUNDED),
    (answer_500, Promise.ANSWERED),
    (answer_503_without_saying_when, Promise.ANSWERED),
    (stay_away, Promise.RECOVERS),
]
"""Each break, and the one promise that it breaks."""
