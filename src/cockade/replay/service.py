"""Carrying out a call once, however often it is sent: its answer is kept in the transaction of what it does.

So there is never one without the other, whatever dies in between, and a caller whose connection broke learns from the same
call what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from cockade.access.model import Caller
from cockade.clock import Clock
from cockade.errors import KeyInUse, KeyReused, OutcomeUnknown, Unavailable
from cockade.replay import store
from cockade.replay.model import Answer, Call, Replay
from cockade.storage.database import Database, Tx
from cockade.worker import pause

FORGOTTEN_MAX = 10
"""A call that keeps an answer takes so many away that are out of date, so that they cannot pile up without a worker."""
FORGOTTEN_AT_ONCE = 10_000
SWEEP_S = 60.0
RETRY_AFTER_S = 2
"""What a killed worker had begun ends after that long."""
UNKNOWN = (
    "The database stopped answering during the commit, so the outcome is unknown. "
    "Send the same call with the same idempotency key again to learn it."
)

log = structlog.get_logger()


class NotKept(Exception):
    """A call that changed nothing: its transaction is undone, and it may be sent again as if for the first time."""


class ReplayService:
    """Use cases of `replay`."""

    def __init__(self, database: Database, clock: Clock, kept_s: int) -> None:
        self._database = database
        self._clock = clock
        self._kept = timedelta(seconds=kept_s)

    async def once(
        self, caller: Caller, call: Call, carry_out: Callable[[], Awaitable[Answer | None]]
    ) -> Replay | None:
        """Have the call carried out and its answer kept, or answer what the same call was answered before.

        `carry_out` answers None where it changed nothing that is to be kept, and may be run several times; whatever
        transactions it opens are parts of this one. Raises KeyReused, KeyInUse, Unavailable or OutcomeUnknown.
        """

        async def body(tx: Tx, waits: bool) -> Replay | None:
            if waits:
                await store.lock(tx, caller.org_id, call.key)
            elif not await store.try_lock(tx, caller.org_id, call.key):
                raise KeyInUse(retry_after_s=RETRY_AFTER_S)
            now = self._clock()
            found = await store.find(tx, caller.org_id, call.key, now - self._kept)
            if found is not None:
                fingerprint, answer = found
                if fingerprint != call.fingerprint:
                    raise KeyReused(reference=call.named_by)
                return Replay(answer)
            answer = await carry_out()
            if answer is None:
                raise NotKept
            await store.forget(tx, now - self._kept, FORGOTTEN_MAX)
            await store.keep(tx, caller.org_id, call, answer, now)
            return None

        try:
            return await self._settled(body)
        except NotKept:
            return None

    async def forget(self, at_once: int = FORGOTTEN_AT_ONCE) -> int:
        """Delete the answers that are out of date, so many in a transaction; answers how many there were."""
        before, forgotten = self._clock() - self._kept, 0
        while count := await self._database.transaction(
            "replay.forget", lambda tx: store.forget(tx, before, at_once)
        ):
            forgotten += count
        return forgotten

    async def forget_often(self, stop: asyncio.Event) -> None:
        """Until the event is set: so that what nobody calls for any more goes away too. Raises Unavailable."""
        while not stop.is_set():
            await self.forget()
            await pause(stop, SWEEP_S)

    async def _settled(self, body: Callable[[Tx, bool], Awaitable[Replay | None]]) -> Replay | None:
        """What the body comes to, also where its commit was not answered; then it waits for its key."""
        try:
            return await self._database.together("replay.once", lambda tx: body(tx, False))
        except OutcomeUnknown:
            # The key tells: if its answer is there, the commit happened; if not, this is the first one. If the database
            # is still busy with it, it holds the key.
            log.warning("commit of unknown outcome", action="replay.once")
        try:
            return await self._database.together("replay.once", lambda tx: body(tx, True))
        except Unavailable as error:
            raise OutcomeUnknown(UNKNOWN) from error
