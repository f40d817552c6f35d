"""Issuing a badge to many customers, exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter

from cockade.access.model import Caller
from cockade.badge import store as badge_store
from cockade.clock import Clock
from cockade.earning import rules, store
from cockade.earning.model import EarnBulk
from cockade.errors import BadgeNotFound, OutcomeUnknown, RequestIdUsed, Unavailable
from cockade.ids import BadgeId, BadgeKey, RequestKey
from cockade.request import store as request_store
from cockade.request.model import RequestKind, RequestOutcome
from cockade.storage.database import Database, DuplicateRow, Tx

collisions = Counter(
    "cockade_earning_collisions", "Requests decided again because another one met their customers"
)
log = structlog.get_logger()


class EarningService:
    """Use cases of `earning`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def earn_bulk(self, caller: Caller, command: EarnBulk) -> RequestOutcome:
        """Issue the badge to everybody whom the rules allow it; all of it is durable when this returns.

        Raises RequestIdUsed, BadgeNotFound, NotLive, OwnerNotAllowed, NotClaimed, EventInFuture, EventOutsideBadge
        (nothing was changed and the request id is still free), Unavailable or OutcomeUnknown.
        """
        attempt = _Attempt(caller, command, self._clock)
        try:
            # Requests on one badge run side by side. One that meets another over a customer runs again alone with the
            # badge: whoever it met has then finished, and nobody can meet it a second time.
            return await self._attempt(attempt, alone=False)
        except DuplicateRow:
            collisions.inc()
            log.info("collision", action="earning.earn_bulk", request_id=command.request_id)
            return await self._attempt(attempt, alone=True)

    async def count_earned(self, badge_keys: Sequence[BadgeKey]) -> dict[BadgeKey, int]:
        """How many unrevoked earned badges there are of each badge that has any."""
        return await self._database.transaction(
            "earning.count", lambda tx: store.count_earned(tx, badge_keys)
        )

    async def _attempt(self, attempt: _Attempt, *, alone: bool) -> RequestOutcome:
        try:
            return await self._database.transaction(
                "earning.earn_bulk", lambda tx: attempt.run(tx, alone=alone)
            )
        except OutcomeUnknown:
            # The id tells: if it is taken by a key of ours, the commit happened, and its outcome is the answer. If it is
            # free, it did not, and this is the first commit. If it is still being taken, the insert waits to see.
            log.warning(
                "commit of unknown outcome", action="earning.earn_bulk", request_id=attempt.command.request_id
            )
            try:
                return await self._database.transaction(
                    "earning.resolve", lambda tx: attempt.run(tx, alone=alone)
                )
            except Unavailable as error:
                raise OutcomeUnknown from error


class _Attempt:
    """One call on its way through the database, more than once if need be."""

    def __init__(self, caller: Caller, command: EarnBulk, clock: Clock) -> None:
        self.caller = caller
        self.command = command
        self._clock = clock
        self._keys: set[RequestKey] = set()

    async def run(self, tx: Tx, *, alone: bool) -> RequestOutcome:
        """The whole of an earnBulk, in a fixed number of statements."""
        caller, command, now = self.caller, self.command, self._clock()
        key = await request_store.begin(tx, caller.org_id, command.request_id, RequestKind.EARN_BULK, now)
        if key is None:
            return await self._own_outcome(tx)
        self._keys.add(key)
        badge_id, badge_key = await self._lock_badge(tx, alone=alone)
        terms = await badge_store.earn_terms(tx, badge_key, command.owner_type, command.reference_id)
        valid_from, valid_until = rules.validity(
            terms, command.owner_type, command.event_at, now, ZoneInfo(caller.time_zone)
        )
        holders = await store.find_holders(tx, badge_key, command.customers, valid_from, valid_until)
        decision = rules.decide(command.customers, holders, terms, now)
        await store.insert(tx, badge_key, key, valid_from, valid_until, decision.entries)
        outcome = RequestOutcome(
            request_id=command.request_id,
            request_key=key,
            kind=RequestKind.EARN_BULK,
            badge_id=badge_id,
            owner_type=command.owner_type,
            reference_id=command.reference_id,
            event_at=valid_from,
            valid_until=valid_until,
            decided_at=now,
            audience=command.customers,
            refusals=decision.refusals,
        )
        await request_store.decide(tx, caller.org_id, badge_key, outcome)
        return outcome

    async def _own_outcome(self, tx: Tx) -> RequestOutcome:
        """The outcome of an earlier attempt of this call whose commit was not answered, or RequestIdUsed."""
        if self._keys:
            outcome = await request_store.find(tx, self.caller.org_id, self.command.request_id)
            if outcome is not None and outcome.request_key in self._keys:
                return outcome
        raise RequestIdUsed(reference="requestId")

    async def _lock_badge(self, tx: Tx, *, alone: bool) -> tuple[BadgeId, BadgeKey]:
        lock = badge_store.lock_exclusive if alone else badge_store.lock_shared
        badge_id = self.command.badge_id
        badge_key = None if badge_id is None else await lock(tx, self.caller.org_id, badge_id)
        if badge_id is None or badge_key is None:
            raise BadgeNotFound(reference="badgeMetaId")
        return badge_id, badge_key
