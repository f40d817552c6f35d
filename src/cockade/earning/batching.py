"""Micro-batching (group commit): small requests that arrive together run in one transaction with one COPY.

Each request keeps its own id, outcome and response. A request that arrives while no batch is running starts at once;
requests that arrive meanwhile form the next batch. What cannot be decided in a batch (limits, enrolments, locks that are
not free) runs alone, and so do all requests of a batch whose transaction fails.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context

from cockade.auth.model import Caller
from cockade.clock import Clock
from cockade.earning.issuing import BatchItem, Decided, decide_batch, write_batch
from cockade.errors import CockadeError, OutcomeUnknown, RequestIdUsed, ServiceBusy, Unavailable
from cockade.ids import BadgeId, CustomerId, OrgId, RequestKey
from cockade.request import store as request_store
from cockade.request.model import IssueCommand, RequestKind, RequestOutcome
from cockade.storage.database import Database, DuplicateRow, Tx

BATCH_REQUESTS_MAX = 64
REQUEST_CUSTOMERS_MAX = 100
"""A request with more customers runs alone."""
LOCK_TIMEOUT_MS = 100
"""If one request has to wait longer than this for another transaction, all run alone, so that it delays no other."""

Result = RequestOutcome | CockadeError | None
"""None: the request has to run alone."""


class PendingRequest:
    """A request that waits for its batch."""

    def __init__(self, caller: Caller, command: IssueCommand, kind: RequestKind) -> None:
        self.caller = caller
        self.command = command
        self.badge_id = command.badge_id or BadgeId("")
        self.kind = kind
        self.keys: set[RequestKey] = set()
        """Keys under which it may have been committed, if the outcome of a commit is unknown."""
        self.result: asyncio.Future[RequestOutcome | None] | None = None

    @property
    def id(self) -> tuple[OrgId, str]:
        """The request id, unique over all orgs."""
        return self.caller.org_id, self.command.request_id

    @property
    def rows(self) -> set[tuple[OrgId, BadgeId, CustomerId]]:
        """The badge and customers, which no other request of a batch may have."""
        return {(self.caller.org_id, self.badge_id, customer) for customer in self.command.customers}

    @property
    def is_resolved(self) -> bool:
        """Whether the caller no longer waits."""
        return self.result is not None and self.result.done()

    def resolve(self, result: RequestOutcome | BaseException | None) -> None:
        """Pass the result to the caller, unless it no longer waits."""
        assert self.result is not None
        if self.is_resolved:
            return
        if isinstance(result, BaseException):
            self.result.set_exception(result)
        else:
            self.result.set_result(result)

    def expire(self) -> None:
        """Stop waiting because the request timeout is reached. A batch that has not written yet leaves it out."""
        self.resolve(OutcomeUnknown() if self.keys else Unavailable())


class NothingToWrite(Exception):
    """A batch in which no request can be written: its transaction is rolled back."""

    def __init__(self, results: list[Result]) -> None:
        self.results = results
        super().__init__()


class BatchIssuer:
    """Runs the small requests of this process in batches, one batch at a time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: deque[PendingRequest] = deque()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, request: PendingRequest) -> RequestOutcome | None:
        """Return the committed outcome, or None if the request has to run alone.

        Raises RequestIdUsed, BadgeNotFound and the other errors of `EarningService.earn`, Unavailable (nothing was changed)
        or OutcomeUnknown, at the latest when the request timeout is reached.
        """
        if request.command.badge_id is None or len(request.command.customers) > REQUEST_CUSTOMERS_MAX:
            return None
        loop = asyncio.get_running_loop()
        request.result = loop.create_future()
        self._waiting.append(request)
        if self._running is None or self._running.done():
            # In a context of its own: its log lines belong to many requests, not to the one that starts it.
            self._running = asyncio.create_task(self._run_batches(), context=Context())
        with self._database.time_budget() as left_s:
            # Cheaper than asyncio.timeout, for which every small request would pay.
            timeout = loop.call_later(left_s, request.expire)
            try:
                return await request.result
            finally:
                timeout.cancel()

    async def _run_batches(self) -> None:
        while batch := self._next_batch():
            await self._run(batch)

    def _next_batch(self) -> list[PendingRequest]:
        """Take the next requests that have no request id or customer in common; the others keep their place."""
        batch: list[PendingRequest] = []
        skipped: list[PendingRequest] = []
        ids: set[tuple[OrgId, str]] = set()
        rows: set[tuple[OrgId, BadgeId, CustomerId]] = set()
        while self._waiting and len(batch) < BATCH_REQUESTS_MAX:
            request = self._waiting.popleft()
            if request.is_resolved:  # the caller has disconnected
                continue
            if request.id in ids or not rows.isdisjoint(request.rows):
                skipped.append(request)
                continue
            ids.add(request.id)
            rows |= request.rows
            batch.append(request)
        self._waiting.extendleft(reversed(skipped))
        return batch

    async def _run(self, batch: list[PendingRequest]) -> None:
        try:
            results = await self._database.transaction(
                "earning.batch",
                lambda tx: _issue_batch(tx, batch, self._clock),
                lock_timeout_ms=LOCK_TIMEOUT_MS,
            )
        except NothingToWrite as found:
            results = found.results
        except (DuplicateRow, ServiceBusy, OutcomeUnknown) as error:
            results = [None] * len(batch)
            if not isinstance(error, OutcomeUnknown):
                for request in batch:
                    request.keys.clear()
        except BaseException as error:
            for request in batch:
                request.resolve(error)
            if not isinstance(error, Exception):
                raise
            return
        for request, result in zip(batch, results, strict=True):
            request.resolve(result)


async def _issue_batch(tx: Tx, batch: Sequence[PendingRequest], clock: Clock) -> list[Result]:
    """Issue the requests that can be decided together. Request ids of the others are released."""
    now = clock()
    keys = await request_store.begin_many(tx, [(*request.id, request.kind) for request in batch], now)
    begun = [
        BatchItem(request.caller, request.command, request.kind, request.badge_id, key)
        for request, key in zip(batch, keys, strict=True)
        if key is not None
    ]
    decided = await decide_batch(tx, begun, now)
    written: dict[RequestKey, Decided] = {}
    results: list[Result] = []
    for request, key in zip(batch, keys, strict=True):
        found = RequestIdUsed(reference="requestId") if key is None else decided.get(key)
        if isinstance(found, Decided):
            if key is not None and not request.is_resolved:
                # From here on, a caller whose time is up cannot know whether the request was committed.
                request.keys.add(key)
                written[key] = found
            results.append(found.outcome)
        else:
            results.append(found)
    if not written:
        raise NothingToWrite(results)
    await write_batch(tx, list(written.values()))
    await request_store.complete_many(
        tx, [(item.issuance.caller.org_id, item.outcome) for item in written.values()], now
    )
    if released := [
        (item.caller.org_id, item.command.request_id) for item in begun if item.request_key not in written
    ]:
        await request_store.release_many(tx, released)
    return results
