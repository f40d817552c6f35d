"""Small requests that arrive together are carried out together: one transaction and one COPY for all of them.

Each keeps what it would have alone: its id, its outcome, its answer after the commit. What is not plain (a refusal, a limit,
an enrolment, a history) is left out and goes alone, as does everything where the transaction fails. Nobody waits for company:
a request that comes while nothing is running is carried out at once, and those that come meanwhile make up the next lot.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from contextvars import Context
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

from cockade import times
from cockade.auth.model import Caller
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts, EarnTerms
from cockade.clock import Clock
from cockade.earning import rules, store
from cockade.earning.model import LedgerColumns
from cockade.errors import CockadeError, OutcomeUnknown, RequestIdUsed, ServiceBusy, Unavailable
from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId, RequestKey
from cockade.request import store as request_store
from cockade.request.model import IssueCommand, RequestKind, RequestOutcome
from cockade.storage.database import Database, DuplicateRow, Tx

REQUESTS_MAX = 64
"""So many are carried out together."""
CUSTOMERS_MAX = 100
"""A request with more customers is carried out alone."""
LOCK_TIMEOUT_MS = 100
"""Where one of them has to wait for somebody else longer than that, all go alone, so that it holds up nobody."""


class Asked:
    """A request on its way."""

    def __init__(self, caller: Caller, command: IssueCommand, kind: RequestKind) -> None:
        self.caller = caller
        self.command = command
        self.badge_id = command.badge_id or BadgeId("")
        self.kind = kind
        self.keys: set[RequestKey] = set()
        """What it may be on record as: by these it is known again where a commit was not answered."""
        self.outcome: asyncio.Future[RequestOutcome | None] | None = None

    @property
    def id(self) -> tuple[OrgId, str]:
        """What no two requests of a lot have in common."""
        return self.caller.org_id, self.command.request_id

    @property
    def wanted(self) -> set[tuple[OrgId, BadgeId, CustomerId]]:
        """Nor any of these."""
        return {(self.caller.org_id, self.badge_id, customer) for customer in self.command.customers}

    @property
    def is_settled(self) -> bool:
        """Whether there is nobody left to tell."""
        return self.outcome is not None and self.outcome.done()

    def settle(self, result: RequestOutcome | BaseException | None) -> None:
        """Tell whoever waits, if anybody still does."""
        assert self.outcome is not None
        if self.is_settled:
            return
        if isinstance(result, BaseException):
            self.outcome.set_exception(result)
        else:
            self.outcome.set_result(result)

    def give_up(self) -> None:
        """The call's time is up. A lot that has not written yet leaves out who is settled."""
        self.settle(OutcomeUnknown() if self.keys else Unavailable())


class Plain(Struct, frozen=True):
    """A request in which everybody earns, and the ordinals that they earn with."""

    asked: Asked
    outcome: RequestOutcome
    ordinals: Sequence[int]


class NothingPlain(Exception):
    """Nothing of a lot can be carried out together: its transaction is undone."""

    def __init__(self, results: list[RequestOutcome | RequestIdUsed | None]) -> None:
        self.results = results
        super().__init__()


class Gathering:
    """The small requests of this process that wait to be carried out."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: deque[Asked] = deque()
        self._lot: asyncio.Task[None] | None = None

    async def try_issue(self, asked: Asked) -> RequestOutcome | None:
        """The outcome, all of it durable, or None where the request has to go alone.

        Raises RequestIdUsed, Unavailable (nothing was changed) or OutcomeUnknown: at the latest when the call's time is up,
        however long the lot before takes, or its own.
        """
        if asked.command.badge_id is None or len(asked.command.customers) > CUSTOMERS_MAX:
            return None
        loop = asyncio.get_running_loop()
        asked.outcome = loop.create_future()
        self._waiting.append(asked)
        if self._lot is None or self._lot.done():
            # In a context of its own: what it logs is of many requests, not of the one that happens to start it.
            self._lot = asyncio.create_task(self._carry_out_waiting(), context=Context())
        with self._database.time_budget() as left_s:
            # Cheaper than a timeout of asyncio, which every small call would pay for.
            giving_up = loop.call_later(left_s, asked.give_up)
            try:
                return await asked.outcome
            finally:
                giving_up.cancel()

    async def _carry_out_waiting(self) -> None:
        while lot := self._next_lot():
            await self._carry_out(lot)

    def _next_lot(self) -> list[Asked]:
        """The next ones that have neither an id nor a customer in common; the others stay in line."""
        lot: list[Asked] = []
        stays: list[Asked] = []
        ids: set[tuple[OrgId, str]] = set()
        wanted: set[tuple[OrgId, BadgeId, CustomerId]] = set()
        while self._waiting and len(lot) < REQUESTS_MAX:
            asked = self._waiting.popleft()
            if asked.is_settled:  # whoever asked has gone
                continue
            if asked.id in ids or not wanted.isdisjoint(asked.wanted):
                stays.append(asked)
                continue
            ids.add(asked.id)
            wanted |= asked.wanted
            lot.append(asked)
        self._waiting.extendleft(reversed(stays))
        return lot

    async def _carry_out(self, lot: list[Asked]) -> None:
        try:
            results = await self._database.transaction(
                "earning.batch",
                lambda tx: _issue_together(tx, lot, self._clock),
                lock_timeout_ms=LOCK_TIMEOUT_MS,
            )
        except NothingPlain as found:
            results = found.results
        except (DuplicateRow, ServiceBusy, OutcomeUnknown) as error:
            results = [None] * len(lot)
            if not isinstance(error, OutcomeUnknown):
                for asked in lot:
                    asked.keys.clear()
        except BaseException as error:
            for asked in lot:
                asked.settle(error)
            if not isinstance(error, Exception):
                raise
            return
        for asked, result in zip(lot, results, strict=True):
            asked.settle(result)


async def _issue_together(
    tx: Tx, lot: Sequence[Asked], clock: Clock
) -> list[RequestOutcome | RequestIdUsed | None]:
    """Of each its outcome, or that its id is used, or None where it has to go alone. In a fixed number of statements."""
    now = clock()
    keys = await request_store.begin_many(tx, [(*asked.id, asked.kind) for asked in lot], now)
    begun = [(asked, key) for asked, key in zip(lot, keys, strict=True) if key is not None]
    found = await _find_plain(tx, begun, now)
    plain = {item.asked.id: item for item in found if not item.asked.is_settled}
    if not plain:
        raise NothingPlain([RequestIdUsed(reference="requestId") if key is None else None for key in keys])
    for item in plain.values():  # from here on, whoever goes cannot know what became of her
        item.asked.keys.add(item.outcome.request_key)
    await _write(tx, list(plain.values()))
    if left_out := [asked.id for asked, _ in begun if asked.id not in plain]:
        await request_store.release_many(tx, left_out)
    return [
        RequestIdUsed(reference="requestId") if key is None
        else plain[asked.id].outcome if asked.id in plain
        else None
        for asked, key in zip(lot, keys, strict=True)
    ]  # fmt: skip


async def _find_plain(tx: Tx, begun: Sequence[tuple[Asked, RequestKey]], now: datetime) -> list[Plain]:
    """Those in which everybody earns, as far as that can be told for all of them at once."""
    badge_keys = await badge_store.try_lock_without_badge_limit(
        tx, {(asked.caller.org_id, asked.badge_id) for asked, _ in begun}
    )
    held = [
        (asked, key, badge_keys[asked.caller.org_id, asked.badge_id])
        for asked, key in begun
        if (asked.caller.org_id, asked.badge_id) in badge_keys
    ]
    if not held:
        return []
    terms = await badge_store.earn_terms_of_many(
        tx,
        [(badge_key, asked.command.owner_type, asked.command.reference_id) for asked, _, badge_key in held],
    )
    last_ordinals = await store.find_last_ordinals_of_many(
        tx, [(badge_key, customer) for asked, _, badge_key in held for customer in asked.command.customers]
    )
    plain: list[Plain] = []
    for (asked, key, badge_key), their_terms in zip(held, terms, strict=True):
        lasts = [last_ordinals.get((badge_key, customer), 0) for customer in asked.command.customers]
        validity = _plain_validity(asked, their_terms, now)
        if validity is not None and (their_terms.holds_several or not any(lasts)):
            outcome = _outcome(asked, key, badge_key, validity, now)
            plain.append(Plain(asked, outcome, [last + 1 for last in lasts]))
    return plain


def _plain_validity(asked: Asked, terms: EarnTerms, now: datetime) -> tuple[datetime, datetime] | None:
    """The validity of what is earned, if rules 4 to 7 let it pass and rule 8 asks only whether she has it already."""
    command, zone = asked.command, ZoneInfo(asked.caller.time_zone)
    try:
        validity = rules.validity(terms, command.owner_type, command.event_at, now, zone)
    except CockadeError:
        return None
    rule = rules.eligibility_rules(terms, validity[0], now, zone)
    return None if rule.needs_enrolment or rule.customer_checks or rule.badge_checks else validity


def _outcome(
    asked: Asked, key: RequestKey, badge_key: BadgeKey, validity: tuple[datetime, datetime], now: datetime
) -> RequestOutcome:
    command = asked.command
    return RequestOutcome(
        request_id=command.request_id,
        request_key=key,
        kind=asked.kind,
        badge_key=badge_key,
        badge_id=asked.badge_id,
        owner_type=command.owner_type,
        reference_id=command.reference_id,
        event_at=validity[0],
        valid_until=validity[1],
        completed_at=now,
        customer_ids=command.customers,
        failures=[],
    )


async def _write(tx: Tx, plain: Sequence[Plain]) -> None:
    """The ledger, what is counted of it, and the outcomes."""
    rows = sorted(
        (
            item.outcome.badge_key,
            customer,
            ordinal,
            item.outcome.request_key,
            line,
            times.microseconds(item.outcome.event_at),
            times.microseconds(item.outcome.valid_until),
        )
        for item in plain
        for line, (customer, ordinal) in enumerate(zip(item.outcome.customer_ids, item.ordinals, strict=True))
    )
    badge_keys, customers, ordinals, request_keys, lines, valid_from, valid_until = np.array(
        rows, dtype=np.int64
    ).T
    await store.insert(
        tx,
        LedgerColumns(
            customers=customers,
            request_keys=request_keys,
            valid_from=valid_from,
            valid_until=valid_until,
            counted_at=None,
            badge_keys=badge_keys,
            ordinals=ordinals,
            lines=lines,
        ),
    )
    await request_store.complete_many(
        tx, [(item.asked.caller.org_id, item.outcome) for item in plain], plain[0].outcome.completed_at
    )
    earned = Counter(row[0] for row in rows)
    await badge_store.add_counts(tx, {key: BadgeCounts(earned=count) for key, count in earned.items()})
