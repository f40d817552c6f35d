"""Bounds on guessing and on calling, shared by all processes through the database.

Guesses are written only when a proof has failed, and asked for only where a secret is about to be hashed: whoever is
remembered as verified pays nothing. Calls are counted only where the setting is on, and taken from the database some
at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from datetime import datetime, timedelta

import structlog

from cockade.clock import Clock
from cockade.config import Config
from cockade.errors import TooManyGuesses
from cockade.ids import CredentialId
from cockade.storage.database import Database, Tx
from cockade.throttle import rules, store
from cockade.throttle.model import Allowance, Attempt, Lease

KNOWN_FOR = timedelta(days=30)
"""How long an address is known after a name has proved itself from it."""
NOTED_FOR = timedelta(hours=1)
MINUTE_S = 60
log = structlog.get_logger()


class GuessThrottle:
    """How often one may guess, per name and per address."""

    def __init__(self, database: Database, clock: Clock, settings: Config) -> None:
        self._database = database
        self._clock = clock
        self._window = timedelta(seconds=settings.guess_window_s)
        self._per_name_max = settings.guesses_per_name_max
        self._per_address_max = settings.guesses_per_address_max

    async def require_room(self, name: str, address: str) -> Attempt:
        """The attempt to prove `name` from `address`. Raises TooManyGuesses."""
        now = self._clock()
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        guesses = await self._database.transaction(
            "guess.find",
            lambda tx: store.find_guesses(
                tx,
                digest,
                address,
                since=now - self._window,
                per_name_max=self._per_name_max,
                per_address_max=self._per_address_max,
                known_since=now - KNOWN_FOR,
            ),
        )
        free_at = rules.free_at(guesses, self._window)
        if free_at is not None and free_at > now:
            log.warning("guessing is throttled", action="guess.refuse", address=address)
            raise TooManyGuesses(retry_after_s=_seconds(free_at - now))
        return Attempt(name_digest=digest, address=address, guesses=guesses)

    async def note_guess(self, attempt: Attempt) -> None:
        """The attempt has failed."""
        now = self._clock()

        async def body(tx: Tx) -> None:
            await store.delete_old_guesses(tx, now - self._window)
            await store.insert_guess(tx, attempt, now)

        await self._database.transaction("guess.note", body)
        log.warning("a wrong credential", action="guess.note", address=attempt.address)

    async def note_proof(self, attempt: Attempt) -> None:
        """The attempt has succeeded: its name is known from its address, and its guesses from there are forgiven."""
        now = self._clock()
        if not rules.is_to_be_noted(attempt.guesses, now, NOTED_FOR):
            return

        async def body(tx: Tx) -> None:
            await store.clear_guesses(tx, attempt)
            await store.upsert_known_address(tx, attempt, now)
            await store.delete_old_known_addresses(tx, now - KNOWN_FOR)

        await self._database.transaction("guess.clear", body)


class CallThrottle:
    """How many calls a credential may make in a minute of the clock; one per process.

    Together, processes never let more through than the limit. A process that runs out while another has some left
    refuses up to a hundredth of the limit too early for each of the others.
    """

    def __init__(self, database: Database, clock: Clock, limit: int) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit
        self._leases: dict[CredentialId, Lease] = {}
        self._turns: defaultdict[CredentialId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take_call(self, credential_id: CredentialId) -> Allowance:
        """What is left after this call; `left` is -1 where there was nothing left for it."""
        now = self._clock()
        minute = now.replace(second=0, microsecond=0)
        if self._is_used_up(credential_id, minute):
            async with self._turns[credential_id]:
                if self._is_used_up(credential_id, minute):
                    self._leases[credential_id] = await self._take_lease(credential_id, minute)
        lease = self._leases[credential_id]
        resets_in_s = _seconds(minute + timedelta(seconds=MINUTE_S) - now)
        if lease.left == 0:
            return Allowance(limit=self._limit, left=-1, resets_in_s=resets_in_s)
        left = lease.left - 1
        self._leases[credential_id] = Lease(minute=lease.minute, left=left, taken=lease.taken)
        return Allowance(limit=self._limit, left=left + self._limit - lease.taken, resets_in_s=resets_in_s)

    def _is_used_up(self, credential_id: CredentialId, minute: datetime) -> bool:
        """Whether the database has to be asked; not where it said that the minute's calls are all taken."""
        lease = self._leases.get(credential_id)
        if lease is None or lease.minute != minute:
            return True
        return lease.left == 0 and lease.taken < self._limit

    async def _take_lease(self, credential_id: CredentialId, minute: datetime) -> Lease:
        size = rules.lease_size(self._limit)
        return await self._database.transaction(
            "call_lease.take", lambda tx: store.take_lease(tx, credential_id, minute, size, self._limit)
        )


def _seconds(span: timedelta) -> int:
    """Whole seconds, rounded up."""
    return -(-span // timedelta(seconds=1))
