"""Run a request once, however often it is sent: its response is stored in the transaction of what it changes.

There is never one without the other, whatever fails, and a caller that lost the connection learns the outcome by sending
the same request again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from cockade.auth.model import Caller
from cockade.clock import Clock
from cockade.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from cockade.idempotency import store
from cockade.idempotency.model import IdempotentCall, StoredResponse
from cockade.storage.database import Database, Tx, with_commit_recovery
from cockade.worker import sleep_or_stop

DELETED_PER_REQUEST = 10
"""Expired responses that a request with a key deletes, so that they cannot pile up without a worker."""
DELETED_PER_TRANSACTION = 10_000
CLEANUP_INTERVAL_S = 60.0
RETRY_AFTER_S = 2
"""By then, the database has rolled back what a killed worker had begun."""
UNKNOWN = (
    "The database did not acknowledge the commit, so the outcome is unknown. "
    "Send the same request with the same idempotency key again to find out."
)


class NothingToStore(Exception):
    """The request changed nothing: its transaction is rolled back, and its key stays free."""


class IdempotencyService:
    """Use cases of `idempotency`."""

    def __init__(self, database: Database, clock: Clock, ttl_s: int) -> None:
        self._database = database
        self._clock = clock
        self._ttl = timedelta(seconds=ttl_s)

    async def run_once(
        self, caller: Caller, call: IdempotentCall, execute: Callable[[], Awaitable[StoredResponse | None]]
    ) -> StoredResponse | None:
        """Execute the request and store its response. Return the stored response if it was executed before, else None.

        `execute` returns None if nothing is to be stored, and may run several times. The transactions that it opens are
        nested in this one. Raises IdempotencyKeyReused, IdempotencyKeyInUse, Unavailable or OutcomeUnknown.
        """

        async def body(tx: Tx, *, wait: bool) -> StoredResponse | None:
            if wait:
                await store.lock(tx, caller.org_id, call.key)
            elif not await store.try_lock(tx, caller.org_id, call.key):
                raise IdempotencyKeyInUse(retry_after_s=RETRY_AFTER_S)
            now = self._clock()
            found = await store.find(tx, caller.org_id, call.key, now - self._ttl)
            if found is not None:
                fingerprint, response = found
                if fingerprint != call.fingerprint:
                    raise IdempotencyKeyReused(reference=call.key_source)
                return response
            response = await execute()
            if response is None:
                raise NothingToStore
            await store.delete_expired(tx, now - self._ttl, DELETED_PER_REQUEST)
            await store.insert(tx, caller.org_id, call, response, now)
            return None

        try:
            # After a commit that was not acknowledged, the key shows what happened: if its response is there, the commit
            # succeeded. If the database is still busy with it, it holds the lock on the key.
            return await with_commit_recovery(
                "idempotency.run",
                lambda is_retry: self._database.savepoints(
                    "idempotency.run", lambda tx: body(tx, wait=is_retry)
                ),
                UNKNOWN,
            )
        except NothingToStore:
            return None

    async def delete_expired(self, per_transaction: int = DELETED_PER_TRANSACTION) -> int:
        """Delete all expired responses, and return how many."""
        before, deleted = self._clock() - self._ttl, 0
        while count := await self._database.transaction(
            "idempotency.cleanup", lambda tx: store.delete_expired(tx, before, per_transaction)
        ):
            deleted += count
        return deleted

    async def run_cleanup(self, stop: asyncio.Event) -> None:
        """Delete expired responses every minute until `stop` is set. Raises Unavailable."""
        while not stop.is_set():
            await self.delete_expired()
            await sleep_or_stop(stop, CLEANUP_INTERVAL_S)
