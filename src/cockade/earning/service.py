"""Issuing badges to customers, exactly once, and taking them back."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from cockade import ids
from cockade.access.model import Caller
from cockade.badge import store as badge_store
from cockade.badge.model import Hold
from cockade.clock import Clock
from cockade.earning import rules, store
from cockade.earning.model import EarnBulk
from cockade.errors import (
    AlreadyHeld,
    BadgeLimitReached,
    BadgeNotFound,
    CustomerLimitReached,
    LimitReached,
    NotEarned,
    NotEnrolled,
    Refused,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.request.model import RefusalReason, RequestKind, RequestOutcome
from cockade.request.service import RequestService, Turn
from cockade.storage.database import Database, Tx

REFUSED: dict[RefusalReason, type[Refused]] = {
    RefusalReason.NOT_ENROLLED: NotEnrolled,
    RefusalReason.ALREADY_HELD: AlreadyHeld,
    RefusalReason.CUSTOMER_LIMIT: CustomerLimitReached,
    RefusalReason.BADGE_LIMIT: BadgeLimitReached,
}
"""What a refusal is where one customer is the whole request."""


class EarningService:
    """Use cases of `earning`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._requests = RequestService(database, clock)

    async def earn_bulk(self, caller: Caller, command: EarnBulk) -> RequestOutcome:
        """Issue the badge to everybody whom the rules allow it; all of it is durable when this returns.

        Raises RequestIdUsed, BadgeNotFound, NotLive, OwnerNotAllowed, NotClaimed, EventInFuture, EventOutsideBadge
        (nothing was changed and the request id is still free), Unavailable or OutcomeUnknown.
        """

        async def work(tx: Tx, turn: Turn) -> tuple[BadgeKey, RequestOutcome]:
            return await _issue(tx, caller, command, turn, RequestKind.EARN_BULK)

        return await self._requests.carry_out(
            "earning.earn_bulk", caller, command.request_id, RequestKind.EARN_BULK, work
        )

    async def earn(self, caller: Caller, command: EarnBulk) -> RequestOutcome:
        """Issue the badge to the one customer of the command.

        As earn_bulk, but her refusal is the whole request's: raises NotEnrolled or AlreadyHeld, and the id stays free.
        """

        async def work(tx: Tx, turn: Turn) -> tuple[BadgeKey, RequestOutcome]:
            badge_key, outcome = await _issue(tx, caller, command, turn, RequestKind.EARN)
            for refusal in outcome.refusals:
                kind = REFUSED[refusal.reason]
                if issubclass(kind, LimitReached):
                    assert refusal.exceeded is not None
                    raise kind(refusal.exceeded)
                raise kind
            return badge_key, outcome

        return await self._requests.carry_out(
            "earning.earn", caller, command.request_id, RequestKind.EARN, work
        )

    async def revoke(
        self, caller: Caller, badge_id: BadgeId | None, customer: CustomerId, earned_badge_id: str
    ) -> None:
        """Take one earned badge back, if it is valid now or will be. Raises BadgeNotFound and NotEarned."""

        async def body(tx: Tx) -> None:
            _, hold = await _hold_badge(tx, caller, badge_id, alone=False)
            badge_key = hold.badge_key
            place = ids.earned_badge_place(earned_badge_id)
            if (
                place is None
                or place[1] > ids.LINE_MAX
                or not await store.revoke(tx, badge_key, customer, place, self._clock())
            ):
                raise NotEarned(reference="earnedBadgeId")
            await badge_store.add_count(tx, badge_key, earned=-1)

        await self._database.transaction("earning.revoke", body)


async def _issue(
    tx: Tx, caller: Caller, command: EarnBulk, turn: Turn, kind: RequestKind
) -> tuple[BadgeKey, RequestOutcome]:
    """Rules 3 to 8, in a fixed number of statements."""
    badge_id, hold = await _hold_badge(tx, caller, command.badge_id, alone=turn.alone)
    badge_key = hold.badge_key
    terms = await badge_store.earn_terms(tx, badge_key, command.owner_type, command.reference_id)
    zone = ZoneInfo(caller.time_zone)
    valid_from, valid_until = rules.validity(terms, command.owner_type, command.event_at, turn.now, zone)
    holders = await store.find_holders(tx, badge_key, command.customers, valid_from, valid_until)
    decision = rules.decide(command.customers, holders, terms, turn.now)
    await store.insert(tx, badge_key, turn.request_key, valid_from, valid_until, decision.entries)
    await badge_store.add_count(tx, badge_key, earned=len(decision.entries))
    return badge_key, RequestOutcome(
        request_id=command.request_id,
        request_key=turn.request_key,
        kind=kind,
        badge_id=badge_id,
        owner_type=command.owner_type,
        reference_id=command.reference_id,
        event_at=valid_from,
        valid_until=valid_until,
        decided_at=turn.now,
        audience=command.customers,
        refusals=decision.refusals,
    )


async def _hold_badge(
    tx: Tx, caller: Caller, badge_id: BadgeId | None, *, alone: bool
) -> tuple[BadgeId, Hold]:
    hold = None if badge_id is None else await badge_store.lock(tx, caller.org_id, badge_id, alone=alone)
    if badge_id is None or hold is None:
        raise BadgeNotFound(reference="badgeMetaId")
    return badge_id, hold
