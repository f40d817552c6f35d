"""Carrying requests out, each exactly once, and asking what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Set
from datetime import datetime
from typing import TypeVar, cast

import structlog
from msgspec import Struct

from cockade import metrics
from cockade.access.model import Caller
from cockade.clock import Clock
from cockade.errors import OutcomeUnknown, RequestIdUsed, RequestNotFound, Unavailable
from cockade.ids import RequestKey
from cockade.request import store
from cockade.request.model import (
    ImportOutcome,
    JobRequest,
    Outcome,
    RefusalReason,
    RequestKind,
    RequestOutcome,
)
from cockade.storage.database import Database, DuplicateRow, Tx

log = structlog.get_logger()


class Crowded(Exception):
    """Work has to be alone with its badge and is not; it is undone and run again alone."""


class Turn(Struct, frozen=True, kw_only=True):
    """One run of a request's work, which may take a second one."""

    request_key: RequestKey
    now: datetime
    alone: bool
    """Whether to hold the badge exclusively: the first run met another request over a customer, or asked for it."""
    is_dry_run: bool = False
    """Whether to decide only: the transaction reads as of one moment, so nothing is held, and nothing can be written."""


NO_KEY = RequestKey(0)
"""The key of a dry run, which has none."""


T = TypeVar("T")
AnOutcome = TypeVar("AnOutcome", RequestOutcome, ImportOutcome)
Work = Callable[[Tx, Turn], Awaitable[AnOutcome]]
"""What a request does with its turn; the outcome is stored in the same transaction."""


class RequestService:
    """Use cases of `request`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, caller: Caller, request_id: str) -> Outcome | JobRequest:
        """What the request with this id did in the caller's org. Raises RequestNotFound."""
        outcome = await self._database.transaction(
            "request.get", lambda tx: store.find(tx, caller.org_id, request_id)
        )
        if outcome is None:
            raise RequestNotFound(reference="requestId")
        return outcome

    async def get_replayed(self, caller: Caller, request_id: str) -> RequestOutcome:
        """As get, of a request that was no import."""
        outcome = await self.get(caller, request_id)
        assert isinstance(outcome, RequestOutcome)
        return outcome

    async def carry_out(
        self,
        name: str,
        caller: Caller,
        request_id: str,
        kind: RequestKind,
        work: Work[AnOutcome],
        earlier_keys: Set[RequestKey] = frozenset(),
    ) -> AnOutcome:
        """Take the request id, do the work, store its outcome: all in one transaction called `name`.

        `earlier_keys`: what the request was called in an earlier try whose commit was not answered. Whatever the work
        raises undoes all of it and leaves the id free. Raises RequestIdUsed, Unavailable (nothing was changed) or
        OutcomeUnknown.
        """
        keys = set(earlier_keys)

        async def attempt(tx: Tx, alone: bool) -> AnOutcome:
            now = self._clock()
            key = await store.begin(tx, caller.org_id, request_id, kind, now)
            if key is None:
                return cast("AnOutcome", await self._own_outcome(tx, caller, request_id, keys))
            keys.add(key)
            outcome = await work(tx, Turn(request_key=key, now=now, alone=alone))
            await store.decide(tx, caller.org_id, outcome)
            return outcome

        try:
            # Requests on one badge run side by side. One that meets another over a customer runs again alone with the
            # badge: whoever it met has then finished, and nobody can meet it a second time.
            return await self._settled(name, lambda tx: attempt(tx, alone=False))
        except Crowded:
            return await self._settled(name, lambda tx: attempt(tx, alone=True))
        except DuplicateRow:
            metrics.collisions.inc()
            log.info("collision", action=name, request_id=request_id)
            return await self._settled(name, lambda tx: attempt(tx, alone=True))
        except Unavailable as error:
            # Nothing was changed by this try. What became of an earlier one, nobody could be asked.
            if earlier_keys and not isinstance(error, OutcomeUnknown):
                raise OutcomeUnknown from error
            raise

    async def dry_run(
        self,
        name: str,
        caller: Caller,
        request_id: str,
        work: Callable[[Tx, Turn], Awaitable[RequestOutcome]],
    ) -> RequestOutcome:
        """What `carry_out` would come to if it were called now; nothing is changed and nobody waits for it.

        The database itself lets nothing be written. Raises RequestIdUsed, whatever the work raises, or Unavailable.
        """

        async def body(tx: Tx) -> RequestOutcome:
            if await store.is_used(tx, caller.org_id, request_id):
                raise RequestIdUsed(reference="requestId")
            turn = Turn(request_key=NO_KEY, now=self._clock(), alone=False, is_dry_run=True)
            return await work(tx, turn)

        return await self._database.transaction(name, body, only_reads=True)

    async def _settled(self, name: str, attempt: Callable[[Tx], Awaitable[AnOutcome]]) -> AnOutcome:
        """The attempt's outcome, also where its commit was not answered."""
        try:
            return await self._database.transaction(name, attempt)
        except OutcomeUnknown:
            # The id tells: if it is taken by a key of ours, the commit happened, and its outcome is the answer. If it is
            # free, it did not, and this is the first commit. If it is still being taken, the insert waits to see.
            log.warning("commit of unknown outcome", action=name)
        try:
            return await self._database.transaction(name, attempt)
        except Unavailable as error:
            raise OutcomeUnknown from error

    async def _own_outcome(self, tx: Tx, caller: Caller, request_id: str, keys: set[RequestKey]) -> Outcome:
        """The outcome of an earlier attempt whose commit was not answered, or RequestIdUsed."""
        if keys:
            outcome = await store.find(tx, caller.org_id, request_id)
            if outcome is not None and not isinstance(outcome, JobRequest) and outcome.request_key in keys:
                return outcome
        raise RequestIdUsed(reference="requestId")


async def side_by_side(database: Database, name: str, body: Callable[[Tx, bool], Awaitable[T]]) -> T:
    """A transaction that is told whether to be alone with its badges: it is not, unless it raises Crowded."""
    try:
        return await database.transaction(name, lambda tx: body(tx, False))
    except Crowded:
        return await database.transaction(name, lambda tx: body(tx, True))


def counted(outcome: AnOutcome) -> AnOutcome:
    """The outcome, which has been committed, once it is counted."""
    match outcome:
        case RequestOutcome():
            # No hashing of enum members: there may be a hundred thousand.
            reasons = [refusal.reason for refusal in outcome.refusals]
            refused: Mapping[int, int] = (
                {reason.value: reasons.count(reason) for reason in RefusalReason} if reasons else {}
            )
            kind, asked = outcome.kind, len(outcome.audience)
        case ImportOutcome():
            refused = Counter(refusal.faults[0].code for refusal in outcome.refusals)
            kind, asked = RequestKind.IMPORT, len(outcome.customers)
    metrics.count_issuances(kind, asked - len(outcome.refusals), refused)
    return outcome
