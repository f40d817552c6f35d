"""Carrying out a call once, however often it is sent: its answer is kept in the transaction of what it does.

So there is never one without the other, whatever dies in between, and a caller whose connection broke learns from the same
call what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from cockade.auth.model import Caller
from cockade.clock import Clock
from cockade.errors import IdempotencyKeyInUse, IdempotencyKeyReused, OutcomeUnknown, Unavailable
from cockade.idempotency import store
from cockade.idempotency.model import IdempotentCall, Replay, StoredResponse
from cockade.storage.database import Database, Tx
from cockade.worker import sleep_or_stop

FORGOTTEN_MAX = 10
"""A call that keeps an answer takes so many away that are out of date, so that they cannot pile up without a worker."""
FORGOTTEN_AT_ONCE = 10_000
CLEANUP_INTERVAL_S = 60.0
RETRY_AFTER_S = 2
"""What a killed worker had begun ends after that long."""
UNKNOWN = (
    "The database stopped answering during the commit, so the outcome is unknown. "
    "Send the same call with the same idempotency key again to learn it."
)

log = structlog.get_logger()


class NothingToStore(Exception):
    """A call that changed nothing: its transaction is undone, and it may be sent again as if for the first time."""


class IdempotencyService:
    """Use cases of `replay`."""

    def __init__(self, database: Database, clock: Clock, kept_s: int) -> None:
        self._database = database
        self._clock = clock
        self._kept = timedelta(seconds=kept_s)

    async def run_once(
        self, caller: Caller, call: IdempotentCall, carry_out: Callable[[], Awaitable[StoredResponse | None]]
    ) -> Replay | None:
        """Have the call carried out and its answer kept, or answer what the same call was answered before.

        `carry_out` answers None where it changed nothing that is to be kept, and may be run several times; whatever
        transactions it opens are parts of this one. Raises KeyReused, KeyInUse, Unavailable or OutcomeUnknown.
        """

        async def body(tx: Tx, waits: bool) -> Replay | None:
            if waits:
                await store.lock(tx, caller.org_id, call.key)
            elif not await store.try_lock(tx, caller.org_id, call.key):
                raise IdempotencyKeyInUse(retry_after_s=RETRY_AFTER_S)
            now = self._clock()
            found = await store.find(tx, caller.org_id, call.key, now - self._kept)
            if found is not None:
                fingerprint, answer = found
                if fingerprint != call.fingerprint:
                    raise IdempotencyKeyReused(reference=call.key_source)
                return Replay(answer)
            answer = await carry_out()
            if answer is None:
                raise NothingToStore
            await store.delete_expired(tx, now - self._kept, FORGOTTEN_MAX)
            await store.insert(tx, caller.org_id, call, answer, now)
            return None

        try:
            return await self._settled(body)
        except NothingToStore:
            return None

    async def delete_expired(self, at_once: int = FORGOTTEN_AT_ONCE) -> int:
        """Delete the answers that are out of date, so many in a transaction; answers how many there were."""
        before, forgotten = self._clock() - self._kept, 0
        while count := await self._database.transaction(
            "idempotency.cleanup", lambda tx: store.delete_expired(tx, before, at_once)
        ):
            forgotten += count
        return forgotten

    async def run_cleanup(self, stop: asyncio.Event) -> None:
        """Until the event is set: so that what nobody calls for any more goes away too. Raises Unavailable."""
        while not stop.is_set():
            await self.delete_expired()
            await sleep_or_stop(stop, CLEANUP_INTERVAL_S)

    async def _settled(self, body: Callable[[Tx, bool], Awaitable[Replay | None]]) -> Replay | None:
        """What the body comes to, also where its commit was not answered; then it waits for its key."""
        try:
            return await self._database.savepoints("idempotency.run", lambda tx: body(tx, False))
        except OutcomeUnknown:
            # The key tells: if its answer is there, the commit happened; if not, this is the first one. If the database
            # is still busy with it, it holds the key.
            log.warning("commit of unknown outcome", action="idempotency.run")
        try:
            return await self._database.savepoints("idempotency.run", lambda tx: body(tx, True))
        except Unavailable as error:
            raise OutcomeUnknown(UNKNOWN) from error
