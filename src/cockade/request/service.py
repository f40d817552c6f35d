"""Execute requests exactly once, and look up what they did."""

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
from cockade.storage.database import Database, DuplicateRow, Tx, with_commit_recovery

log = structlog.get_logger()


class NeedsExclusiveLock(Exception):
    """The transaction has to run again with the exclusive lock on its badge."""


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt to execute a request. There may be a second one, with the exclusive lock."""

    request_key: RequestKey
    now: datetime
    exclusive: bool
    """Whether to take the exclusive lock on the badge: the first attempt asked for it or met a concurrent request."""
    is_dry_run: bool = False
    """Whether to decide only. The transaction reads one snapshot, takes no lock and cannot write."""


NO_REQUEST_KEY = RequestKey(0)
"""The key of a dry run."""

T = TypeVar("T")
OutcomeT = TypeVar("OutcomeT", RequestOutcome, ImportOutcome)
Work = Callable[[Tx, Attempt], Awaitable[OutcomeT]]
"""The work of a request. Its outcome is stored in the same transaction."""


class RequestService:
    """Use cases of `request`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, caller: Caller, request_id: str) -> Outcome | JobReference:
        """Return what the request with this id did in the caller's org. Raises RequestNotFound."""
        outcome = await self._database.transaction(
            "request.get", lambda tx: store.find(tx, caller.org_id, request_id)
        )
        if outcome is None:
            raise RequestNotFound(reference="requestId")
        return outcome

    async def get_outcome(self, caller: Caller, request_id: str) -> RequestOutcome:
        """Like `get`, but not for imports and jobs."""
        outcome = await self.get(caller, request_id)
        assert isinstance(outcome, RequestOutcome)
        return outcome

    async def get_import(self, caller: Caller, request_id: str) -> ImportOutcome:
        """As get, for an import."""
        outcome = await self.get(caller, request_id)
        assert isinstance(outcome, ImportOutcome)
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
        """Insert the request id, do the work and store its outcome, all in one transaction called `name`.

        `earlier_keys` are the keys of an earlier attempt whose commit was not acknowledged. If the work raises, everything
        is rolled back and the id stays free. Raises RequestIdUsed, Unavailable (nothing was changed) or OutcomeUnknown.
        """
        keys = set(earlier_keys)

        async def attempt(tx: Tx, exclusive: bool) -> OutcomeT:
            now = self._clock()
            key = await store.begin(tx, caller.org_id, request_id, kind, now)
            if key is None:
                return cast("OutcomeT", await _find_own_outcome(tx, caller, request_id, keys))
            keys.add(key)
            outcome = await work(tx, Attempt(request_key=key, now=now, exclusive=exclusive))
            await store.complete(tx, caller.org_id, outcome)
            return outcome

        async def run(*, exclusive: bool) -> OutcomeT:
            # After a commit that was not acknowledged, the id shows what happened: if it is used under one of our keys,
            # the commit succeeded. If it is free, it failed. If it is being inserted, the insert waits for the result.
            return await with_commit_recovery(
                name, lambda _: self._database.transaction(name, lambda tx: attempt(tx, exclusive))
            )

        try:
            # Requests on one badge run concurrently. One that collides with another over a customer runs again with the
            # exclusive lock: the other one has committed by then, and no further one can collide.
            return await run(exclusive=False)
        except NeedsExclusiveLock:
            pass
        except DuplicateRow:
            metrics.issue_conflicts.inc()
            log.info("conflict with a concurrent request", action=name, request_id=request_id)
        except Unavailable as error:
            if earlier_keys and not isinstance(error, OutcomeUnknown):
                raise OutcomeUnknown from error  # this attempt changed nothing, but the earlier one is still unknown
            raise
        return await run(exclusive=True)

    async def dry_run(
        self,
        name: str,
        caller: Caller,
        request_id: str,
        work: Callable[[Tx, Attempt], Awaitable[RequestOutcome]],
    ) -> RequestOutcome:
        """Return what `execute` would do now, in a read-only transaction that takes no locks.

        Raises RequestIdUsed, Unavailable, and what the work raises.
        """

        async def body(tx: Tx) -> RequestOutcome:
            if await store.is_used(tx, caller.org_id, request_id):
                raise RequestIdUsed(reference="requestId")
            attempt = Attempt(request_key=NO_REQUEST_KEY, now=self._clock(), exclusive=False, is_dry_run=True)
            return await work(tx, attempt)

        return await self._database.transaction(name, body, read_only=True)


async def _find_own_outcome(tx: Tx, caller: Caller, request_id: str, keys: set[RequestKey]) -> Outcome:
    """Return the outcome if an earlier attempt of ours was committed. Raises RequestIdUsed."""
    if keys:
        outcome = await store.find(tx, caller.org_id, request_id)
        if outcome is not None and not isinstance(outcome, JobReference) and outcome.request_key in keys:
            return outcome
    raise RequestIdUsed(reference="requestId")


async def run_shared_then_exclusive(
    database: Database, name: str, body: Callable[[Tx, bool], Awaitable[T]]
) -> T:
    """Run a transaction with `exclusive=False`, and again with True if it raises NeedsExclusiveLock."""
    try:
        return await database.transaction(name, lambda tx: body(tx, False))
    except NeedsExclusiveLock:
        return await database.transaction(name, lambda tx: body(tx, True))


def record_metrics(outcome: OutcomeT) -> OutcomeT:
    """Count a committed outcome, and return it."""
    match outcome:
        case RequestOutcome():
            # list.count is faster than hashing enum members: there may be a hundred thousand.
            reasons = [failure.reason for failure in outcome.failures]
            failed: Mapping[int, int] = (
                {reason.value: reasons.count(reason) for reason in FailureReason} if reasons else {}
            )
            kind, total = outcome.kind, len(outcome.customer_ids)
        case ImportOutcome():
            failed = Counter(failure.field_errors[0].code for failure in outcome.failures)
            kind, total = RequestKind.IMPORT, len(outcome.customer_ids)
    metrics.count_issuances(kind, total - len(outcome.failures), failed)
    return outcome
