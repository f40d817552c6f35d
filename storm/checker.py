"""The checker: reads the database after a storm and holds it against the diary and the contract.

It is written against docs/api/contract.md, shares no code with cockade, and knows of the service no more than what its
tables are called. Where one fault breaks several promises it is reported under the first of them that tells all of it.
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

from storm.diary import Act, Answer, Badge, Call, Cap, Diary, Fate, Pause, Revocation, Storm
from storm.windows import Limit, limits_of

if TYPE_CHECKING:
    import asyncpg

NOT_A_SECOND_ONE = {"EARN_BULK", "EARN"}
MICROSECOND = 1e-6


class Promise(StrEnum):
    """What must hold after any storm, in the order in which it is checked."""

    ACKNOWLEDGED = "every acknowledged issuance is there, with its id and validity"
    WHOLE = "a request is there as a whole, with all of its outcome, or not at all"
    ASKED_FOR = "nothing is there that nobody asked for"
    NOTHING_KEPT = "a request that was refused or answered 'nothing was changed' has left nothing"
    ONE_SET = "a request id sent again ends in exactly one set of issuances"
    ONE_AT_A_TIME = "no customer holds two valid ones at once where that is refused"
    CUSTOMER_LIMITS = "no limit per customer is exceeded"
    BADGE_LIMITS = "no limit of a badge as a whole is exceeded"
    CHANGED_LIMITS = "a limit holds from the answer that set it to the call that changes it"
    SWITCHED_OFF = "nothing is issued between the answer to a deactivation and the next activation"
    UNCLAIMED = "nothing is issued between the answer to an unclaim and the next claim"
    REVOKED_ONCE = "what was revoked is revoked, once, and nothing else is"
    COUNTED = "the stored counts agree with the ledger"
    TALLIED = "the tally agrees with the ledger"
    BOUNDED = "no call takes longer than its bound"
    ANSWERED = "no answer is a fault of the service, and each 503 says when to come again"
    COMES_BACK = "the service serves again by itself after everything that was done to it"


class Violation(Struct, frozen=True):
    """One promise that was not kept."""

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
        """What callers know it by."""
        return f"{self.request_key % 2**64:016x}{self.line:08x}"


class Request(Struct, frozen=True):
    """A row of the requests."""

    request_id: str
    request_key: int
    decided_at: datetime | None
    badge_key: int | None
    audience: list[int]
    refused: dict[int, int]
    """Line to code."""


class Facts(Struct, frozen=True):
    """What the database says of the storm's org."""

    keys: dict[str, int]
    """Badge id to key."""
    requests: dict[str, Request]
    rows: dict[int, list[Row]]
    """By badge key."""
    counts: dict[int, int]
    tally: dict[tuple[int, int], dict[datetime, int]]
    """By badge key and grain."""


async def check(connection: asyncpg.Connection[Any], diary: Diary) -> list[Violation]:
    """Every promise that was not kept; an empty list is what we hope for."""
    [storm] = diary.of(Storm)
    facts = await _facts(connection, storm.org_id)
    explained: set[str] = set()
    found: list[Violation] = []
    for promise, faults in (
        (Promise.ACKNOWLEDGED, _acknowledged(diary, facts, explained)),
        (Promise.WHOLE, _whole(facts, explained)),
        (Promise.ASKED_FOR, _asked_for(diary, facts)),
        (Promise.NOTHING_KEPT, _nothing_kept(diary, facts)),
        (Promise.ONE_SET, _one_set(diary, facts)),
        (Promise.ONE_AT_A_TIME, _one_at_a_time(diary, facts)),
        (Promise.CUSTOMER_LIMITS, _customer_limits(diary, facts, ZoneInfo(storm.zone))),
        (Promise.BADGE_LIMITS, _badge_limits(diary, facts, ZoneInfo(storm.zone))),
        (Promise.CHANGED_LIMITS, _changed_limits(diary)),
        (Promise.SWITCHED_OFF, _paused(diary, facts, "switched off")),
        (Promise.UNCLAIMED, _paused(diary, facts, "unclaimed")),
        (Promise.REVOKED_ONCE, _revoked_once(diary, facts)),
        (Promise.COUNTED, _counted(facts)),
        (Promise.TALLIED, _tallied(diary, facts)),
        (Promise.BOUNDED, _bounded(diary, storm.call_s_max)),
        (Promise.ANSWERED, _answered(diary)),
        (Promise.COMES_BACK, _comes_back(diary)),
    ):
        found += [Violation(promise, fault) for fault in faults]
    return found


# What the database says


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
        "select request_id, request_key, decided_at, badge_key, audience, refusals::text"
        " from request where org_id = $1",
        org_id,
    )
    counts = await connection.fetch(
        "select badge_key, sum(earned) from badge_count where badge_key = any($1) group by badge_key", wanted
    )
    tally: defaultdict[tuple[int, int], dict[datetime, int]] = defaultdict(dict)
    for key, grain, at, earned in await connection.fetch(
        "select badge_key, grain_s, at, earned from tally where badge_key = any($1) and earned <> 0", wanted
    ):
        tally[key, grain][at] = earned
    return Facts(
        keys,
        {row[0]: _request(row) for row in requests},
        rows,
        {row[0]: int(row[1]) for row in counts},
        tally,
    )


def _request(row: Any) -> Request:
    refusals: list[list[Any]] = msgspec.json.decode(row[5]) if row[5] else []
    return Request(row[0], row[1], row[2], row[3], row[4] or [], {each[0]: each[1] for each in refusals})


def _rows(facts: Facts, badge: Badge) -> list[Row]:
    return facts.rows.get(facts.keys[badge.badge_id], [])


def _unrevoked(rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if not row.revoked)


# Requests


def _calls(diary: Diary, *, told: bool | None = None) -> dict[str, list[Call]]:
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in diary.of(Call):
        if told is None or call.told is told:
            calls[call.request_id].append(call)
    return calls


def _acknowledged(diary: Diary, facts: Facts, explained: set[str]) -> Iterator[str]:
    """What callers were told, against the ledger; notes whose requests are told of here already."""
    ledger = {row.earned_id: row for rows in facts.rows.values() for row in rows}
    for call in diary.of(Call):
        if call.answer.fate is not Fate.ACKNOWLEDGED:
            continue
        for fault in _missing(call, facts.keys[call.badge_id], ledger):
            explained.add(call.request_id)
            yield f"request {call.request_id}: {fault}"


def _missing(call: Call, badge_key: int, ledger: dict[str, Row]) -> Iterator[str]:
    for customer, earned_id in call.earned.items():
        row = ledger.get(earned_id)
        if row is None or (row.badge_key, row.customer) != (badge_key, customer):
            yield f"{earned_id} of customer {customer} is not there"
        elif call.event is not None and abs(row.valid_from.timestamp() - call.event) > MICROSECOND:
            yield f"{earned_id} is valid from {row.valid_from}, and its event was another"
        elif call.until is not None and abs(row.valid_until.timestamp() - call.until) > MICROSECOND:
            yield f"{earned_id} is valid until {row.valid_until}, and was acknowledged otherwise"


def _whole(facts: Facts, explained: set[str]) -> Iterator[str]:
    """Each line of each request is either in the ledger or among the refusals, and each row belongs to a request."""
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
            if line not in request.refused
        ]
        if request.decided_at is None or there != due:
            yield f"request {request.request_id}: {len(there)} rows in the ledger, {len(due)} are due"
    for key, rows in by_key.items():
        # A row whose id was changed has been told of where it is missed.
        if not explained:
            yield f"{len(rows)} rows of request key {key}, which no request has"


def _asked_for(diary: Diary, facts: Facts) -> Iterator[str]:
    """Each request that is there was sent, for this badge and these customers."""
    calls = _calls(diary, told=False)
    for request in facts.requests.values():
        sent = calls.get(request.request_id)
        if sent is None:
            yield f"request {request.request_id} was never sent"
        elif request.audience != sent[0].audience or facts.keys[sent[0].badge_id] != request.badge_key:
            yield f"request {request.request_id} was sent for others"


def _nothing_kept(diary: Diary, facts: Facts) -> Iterator[str]:
    """Where each sending was answered, and none with success, there is no request; nor was there one for an 809."""
    for request_id, sent in _calls(diary, told=False).items():
        fates = {call.answer.fate for call in sent}
        if fates <= {Fate.REFUSED, Fate.UNAVAILABLE} and request_id in facts.requests:
            yield f"request {request_id} is there, and was only ever answered {sorted(fates)}"
        if request_id not in facts.requests and any(call.answer.code == 809 for call in sent):
            yield f"request {request_id} is not there, and was answered 809"


def _one_set(diary: Diary, facts: Facts) -> Iterator[str]:
    """At most one success; whatever was told of a request, the same; and no unknown outcome is left unknown."""
    for request_id, calls in _calls(diary).items():
        answers = [call for call in calls if call.answer.fate is Fate.ACKNOWLEDGED]
        if sum(not call.told for call in answers) > 1:
            yield f"request {request_id} was issued more than once"
        if any((call.earned, call.refused) != (answers[0].earned, answers[0].refused) for call in answers):
            yield f"request {request_id} was told differently"
        if answers and request_id in facts.requests:
            request = facts.requests[request_id]
            codes = {request.audience[line]: code for line, code in request.refused.items()}
            if codes != answers[0].refused:
                yield f"request {request_id} was told other refusals than are stored"
        if not answers and {call.answer.fate for call in calls} & {Fate.UNKNOWN}:
            last = max(calls, key=lambda call: call.answer.sent_at)
            if last.answer.fate is not Fate.REFUSED or last.answer.code == 809:
                yield f"request {request_id} is of unknown outcome still"


# Rules


def _one_at_a_time(diary: Diary, facts: Facts) -> Iterator[str]:
    for badge in diary.of(Badge):
        if _may_hold_several(badge):
            continue
        last: Row | None = None
        for row in _unrevoked(_rows(facts, badge)):
            if last is not None and last.customer == row.customer and row.valid_from < last.valid_until:
                yield f"{badge.name}: customer {row.customer} holds {last.earned_id} and {row.earned_id}"
            last = row


def _may_hold_several(badge: Badge) -> bool:
    """Contract, "Holding several"."""
    policy = badge.fields.get("overlapPolicy")
    if policy is not None:
        return policy == "ALLOW"
    only_one = ("CUSTOMER_BADGE_FIXED_VALUE", 1)
    constraints = badge.fields.get("customerConstraints", [])
    return any((each["constraintType"], each.get("maxEarnLimit")) != only_one for each in constraints)


def _limits(badge: Badge, field: str, zone: ZoneInfo) -> list[Limit]:
    starts_on = datetime.fromisoformat(badge.fields["startOn"])
    return limits_of(badge.fields.get(field, []), starts_on, zone)


def _customer_limits(diary: Diary, facts: Facts, zone: ZoneInfo) -> Iterator[str]:
    for badge in diary.of(Badge):
        limits = _limits(badge, "customerConstraints", zone)
        events: defaultdict[int, list[datetime]] = defaultdict(list)
        for row in _unrevoked(_rows(facts, badge) if limits else []):
            events[row.customer].append(row.valid_from)
        for limit in limits:
            for customer, hers in events.items():
                if excess := limit.exceeded(hers):
                    yield f"{badge.name}, {limit.says}: customer {customer} has {excess}"


def _badge_limits(diary: Diary, facts: Facts, zone: ZoneInfo) -> Iterator[str]:
    for badge in diary.of(Badge):
        if badge.changing:
            continue
        events = sorted(row.valid_from for row in _unrevoked(_rows(facts, badge)))
        for limit in _limits(badge, "badgeConstraints", zone):
            if excess := limit.exceeded(events):
                yield f"{badge.name}, {limit.says}: {excess}"


def _changed_limits(diary: Diary) -> Iterator[str]:
    for cap in diary.of(Cap):
        if cap.sound and cap.rows_at_first is not None and cap.rows_at_last is not None:
            most = max(cap.limit, cap.rows_at_first)
            if cap.rows_at_last > most:
                yield f"badge {cap.badge_id}: {cap.rows_at_last} issued where no more than {most} might be"


def _paused(diary: Diary, facts: Facts, why: str) -> Iterator[str]:
    successes: defaultdict[str, list[tuple[float, Call]]] = defaultdict(list)
    for call in diary.of(Call):
        if call.earned and not call.told:
            successes[call.badge_id].append((_begun_at(call, facts), call))
    for pause in diary.of(Pause):
        if pause.why != why or not pause.sound:
            continue
        first, last = pause.rows_at_first, pause.rows_at_last
        if first is not None and last is not None and first != last:
            yield f"badge {pause.badge_id}: from {first} to {last} rows meanwhile"
        for begun_at, call in successes[pause.badge_id]:
            if pause.begun_at < begun_at and call.answer.answered_at < pause.ended_at:
                yield f"badge {pause.badge_id}: request {call.request_id} was decided and answered meanwhile"


def _begun_at(call: Call, facts: Facts) -> float:
    """When it was decided by its own word, or sent. One that is not answered yet may be decided again, later."""
    request = facts.requests.get(call.request_id)
    decided_at = request.decided_at if request is not None else None
    return call.answer.sent_at if decided_at is None else max(call.answer.sent_at, decided_at.timestamp())


def _revoked_once(diary: Diary, facts: Facts) -> Iterator[str]:
    sent: defaultdict[str, list[Answer]] = defaultdict(list)
    for revocation in diary.of(Revocation):
        sent[revocation.earned_id].append(revocation.answer)
    revoked = {row.earned_id for rows in facts.rows.values() for row in rows if row.revoked}
    for earned_id, answers in sent.items():
        fates = [answer.fate for answer in answers]
        if fates.count(Fate.ACKNOWLEDGED) > 1:
            yield f"{earned_id} was revoked more than once"
        done = Fate.ACKNOWLEDGED in fates or any(answer.code == 814 for answer in answers)
        if done and earned_id not in revoked:
            yield f"{earned_id} was revoked and is not"
        if set(fates) <= {Fate.UNAVAILABLE} and earned_id in revoked:
            yield f"{earned_id} is revoked, and was only ever answered that nothing was changed"
    for earned_id in revoked - set(sent):
        yield f"{earned_id} is revoked, and nobody asked for it"


# What is stored beside the ledger


def _counted(facts: Facts) -> Iterator[str]:
    for badge_id, key in facts.keys.items():
        earned, stored = sum(1 for _ in _unrevoked(facts.rows.get(key, []))), facts.counts.get(key, 0)
        if earned != stored:
            yield f"badge {badge_id}: {earned} are earned, and {stored} are counted"


def _tallied(diary: Diary, facts: Facts) -> Iterator[str]:
    """Badges with a limit as a whole have a tally: unrevoked ones by the hour, and by the instant, of their events."""
    for badge in diary.of(Badge):
        capped = any(
            each["constraintType"] != "BADGE_NO_LIMIT" for each in badge.fields.get("badgeConstraints", [])
        )
        for grain in (3600, 0) if capped else ():
            due: defaultdict[datetime, int] = defaultdict(int)
            for row in _unrevoked(_rows(facts, badge)):
                due[_at_grain(row.valid_from, grain)] += 1
            if dict(due) != facts.tally.get((facts.keys[badge.badge_id], grain), {}):
                yield f"{badge.name}: another tally by {grain} s than the ledger has"


def _at_grain(at: datetime, grain: int) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // grain * grain, UTC) if grain else at


# Answers


def _answers(diary: Diary) -> Iterator[tuple[str, Answer]]:
    for call in diary.of(Call):
        yield f"request {call.request_id}", call.answer
    for revocation in diary.of(Revocation):
        yield f"revocation of {revocation.earned_id}", revocation.answer


def _bounded(diary: Diary, call_s_max: float) -> Iterator[str]:
    for what, answer in _answers(diary):
        took = answer.answered_at - answer.sent_at
        if took > call_s_max:
            yield f"{what} took {took:.1f} s"


def _answered(diary: Diary) -> Iterator[str]:
    for what, answer in _answers(diary):
        if answer.fate is Fate.FAULTY:
            yield f"{what} was answered {answer.status}: {answer.note}"
        if answer.status == 503 and not answer.retry_after:
            yield f"{what} was answered 503 without Retry-After"


def _comes_back(diary: Diary) -> Iterator[str]:
    for act in diary.of(Act):
        if act.back_s is None:
            yield f"not within a minute and a half after {act.kind}"
