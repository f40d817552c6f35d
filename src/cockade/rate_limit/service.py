"""Rate limits per credential, shared by all processes through the database.

Requests are counted only if the limit is configured. Each process reserves some of the limit at a time.
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
    """Limits the requests of a credential per clock minute. There is one instance per process.

    All processes together never allow more than the limit. A process without reservation may reject up to a
    hundredth of the limit too early for each other process that has requests left.
    """

    def __init__(self, database: Database, clock: Clock, limit: int) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit
        self._reservations: dict[CredentialId, Reservation] = {}
        self._locks: defaultdict[CredentialId, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def take(self, credential_id: CredentialId) -> RateLimitStatus:
        """Count this request and return what is left; `left` is -1 if the request exceeds the limit."""
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
        """Whether to reserve more. False if the database has reported that the minute's limit is used up."""
        lease = self._reservations.get(credential_id)
        if lease is None or lease.minute != minute:
            return True
        return lease.left == 0 and lease.taken < self._limit

    async def _reserve(self, credential_id: CredentialId, minute: datetime) -> Reservation:
        size = rules.reservation_size(self._limit)
        return await self._database.transaction(
            "rate_limit.reserve", lambda tx: store.reserve(tx, credential_id, minute, size, self._limit)
        )
