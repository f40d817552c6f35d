"""Carrying requests out, each exactly once, and asking what they did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Set
from datetime import datetime
from typing import TypeVar, cast

import structlog
from msgspec import Struct

from cockade import metrics
from cockade.auth.model import Caller
from cockade.clock import Clock
from cockade.errors import OutcomeUnknown, RequestIdUsed, RequestNotFound, Unavailable
from cockade.ids import RequestKey
from cockade.request import store
from cockade.request.model import (
    FailureReason,
    ImportOutcome,
    JobReference,
    Outcome,
    RequestKind,
    RequestOutcome,
)
from cockade.storage.database import Database, DuplicateRow, Tx

log = structlog.get_logger()


class NeedsExclusiveLock(Exception):
    """Work has to be alone with its badge and is not; it is undone and run again alone."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One run of a request's work, which may take a second one."""

    request_key: RequestKey
    now: datetime
    exclusive: bool
    """Whether to hold the badge exclusively: the first run met another request over a customer, or asked for it."""
    is_dry_run: bool = False
    """Whether to decide only: the transaction reads as of one moment, so nothing is held, and nothing can be written."""


NO_REQUEST_KEY = RequestKey(0)
"""The key of a dry run, which has none."""


T = TypeVar("T")
OutcomeT = TypeVar("OutcomeT", RequestOutcome, ImportOutcome)
Work = Callable[[Tx, Attempt], Awaitable[OutcomeT]]
"""What a request does with its turn; the outcome is stored in the same transaction."""


class RequestService:
    """Use cases of `request`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, caller: Caller, request_id: str) -> Outcome | JobReference:
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

    async def execute(
        self,
        name: str,
        caller: Caller,
        request_id: str,
        kind: RequestKind,
        work: Work[OutcomeT],
        earlier_keys: Set[RequestKey] = frozenset(),
    ) -> OutcomeT:
        """Take the request id, do the work, store its outcome: all in one transaction called `name`.

        `earlier_keys`: what the request was called in an earlier try whose commit was not answered. Whatever the work
        raises undoes all of it and leaves the id free. Raises RequestIdUsed, Unavailable (nothing was changed) or
        OutcomeUnknown.
        """
        keys = set(earlier_keys)

        async def attempt(tx: Tx, exclusive: bool) -> OutcomeT:
            now = self._clock()
            key = await store.begin(tx, caller.org_id, request_id, kind, now)
            if key is None:
                return cast("OutcomeT", await self._find_own_outcome(tx, caller, request_id, keys))
            keys.add(key)
            outcome = await work(tx, Attempt(request_key=key, now=now, exclusive=exclusive))
            await store.complete(tx, caller.org_id, outcome)
            return outcome

        try:
            # Requests on one badge run side by side. One that meets another over a customer runs again alone with the
            # badge: whoever it met has then finished, and nobody can meet it a second time.
            return await self._run_with_commit_recovery(name, lambda tx: attempt(tx, exclusive=False))
        except NeedsExclusiveLock:
            return await self._run_with_commit_recovery(name, lambda tx: attempt(tx, exclusive=True))
        except DuplicateRow:
            metrics.issue_conflicts.inc()
            log.info("collision", action=name, request_id=request_id)
            return await self._run_with_commit_recovery(name, lambda tx: attempt(tx, exclusive=True))
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
        work: Callable[[Tx, Attempt], Awaitable[RequestOutcome]],
    ) -> RequestOutcome:
        """What `carry_out` would come to if it were called now; nothing is changed and nobody waits for it.

        The database itself lets nothing be written. Raises RequestIdUsed, whatever the work raises, or Unavailable.
        """

        async def body(tx: Tx) -> RequestOutcome:
            if await store.is_used(tx, caller.org_id, request_id):
                raise RequestIdUsed(reference="requestId")
            turn = Attempt(request_key=NO_REQUEST_KEY, now=self._clock(), exclusive=False, is_dry_run=True)
            return await work(tx, turn)

        return await self._database.transaction(name, body, read_only=True)

    async def _run_with_commit_recovery(
        self, name: str, attempt: Callable[[Tx], Awaitable[OutcomeT]]
    ) -> OutcomeT:
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

    async def _find_own_outcome(
        self, tx: Tx, caller: Caller, request_id: str, keys: set[RequestKey]
    ) -> Outcome:
        """The outcome of an earlier attempt whose commit was not answered, or RequestIdUsed."""
        if keys:
            outcome = await store.find(tx, caller.org_id, request_id)
            if outcome is not None and not isinstance(outcome, JobReference) and outcome.request_key in keys:
                return outcome
        raise RequestIdUsed(reference="requestId")


async def run_shared_then_exclusive(
    database: Database, name: str, body: Callable[[Tx, bool], Awaitable[T]]
) -> T:
    """A transaction that is told whether to be alone with its badges: it is not, unless it raises Crowded."""
    try:
        return await database.transaction(name, lambda tx: body(tx, False))
    except NeedsExclusiveLock:
        return await database.transaction(name, lambda tx: body(tx, True))


def record_metrics(outcome: OutcomeT) -> OutcomeT:
    """The outcome, which has been committed, once it is counted."""
    match outcome:
        case RequestOutcome():
            # No hashing of enum members: there may be a hundred thousand.
            reasons = [refusal.reason for refusal in outcome.failures]
            refused: Mapping[int, int] = (
                {reason.value: reasons.count(reason) for reason in FailureReason} if reasons else {}
            )
            kind, asked = outcome.kind, len(outcome.customer_ids)
        case ImportOutcome():
            refused = Counter(refusal.field_errors[0].code for refusal in outcome.failures)
            kind, asked = RequestKind.IMPORT, len(outcome.customer_ids)
    metrics.count_issuances(kind, asked - len(outcome.failures), refused)
    return outcome
