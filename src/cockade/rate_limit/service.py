"""Bounds on guessing and on calling, shared by all processes through the database.

Guesses are written only when a proof has failed, and asked for only where a secret is about to be hashed: whoever is
remembered as verified pays nothing. Calls are counted only where the setting is on, and taken from the database some
at a time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta

import structlog

from cockade.clock import Clock
from cockade.ids import CredentialId
from cockade.rate_limit import rules, store
from cockade.rate_limit.model import RateLimitStatus, Reservation
from cockade.storage.database import Database
from cockade.times import whole_seconds

MINUTE_S = 60
log = structlog.get_logger()


class RateLimiter:
    """How many calls a credential may make in a minute of the clock; one per process.

    Together, processes never let more through than the limit. A process that runs out while another has some left
    refuses up to a hundredth of the limit too early for each of the others.
    """

    def __init__(self, database: Database, clock: Clock, limit: int) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit
        self._reservations: dict[CredentialId, Reservation] = {}
        self._locks: defaultdict[CredentialId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, credential_id: CredentialId) -> RateLimitStatus:
        """What is left after this call; `left` is -1 where there was nothing left for it."""
        now = self._clock()
        minute = now.replace(second=0, microsecond=0)
        if self._needs_reservation(credential_id, minute):
            async with self._locks[credential_id]:
                if self._needs_reservation(credential_id, minute):
                    self._reservations[credential_id] = await self._reserve(credential_id, minute)
        lease = self._reservations[credential_id]
        resets_in_s = whole_seconds(minute + timedelta(seconds=MINUTE_S) - now)
        if lease.left == 0:
            return RateLimitStatus(limit=self._limit, left=-1, resets_in_s=resets_in_s)
        left = lease.left - 1
        self._reservations[credential_id] = Reservation(minute=lease.minute, left=left, taken=lease.taken)
        return RateLimitStatus(
            limit=self._limit, left=left + self._limit - lease.taken, resets_in_s=resets_in_s
        )

    def _needs_reservation(self, credential_id: CredentialId, minute: datetime) -> bool:
        """Whether the database has to be asked; not where it said that the minute's calls are all taken."""
        lease = self._reservations.get(credential_id)
        if lease is None or lease.minute != minute:
            return True
        return lease.left == 0 and lease.taken < self._limit

    async def _reserve(self, credential_id: CredentialId, minute: datetime) -> Reservation:
        size = rules.reservation_size(self._limit)
        return await self._database.transaction(
            "rate_limit.reserve", lambda tx: store.reserve(tx, credential_id, minute, size, self._limit)
        )
