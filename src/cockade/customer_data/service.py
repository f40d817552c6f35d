"""Erase a customer, and merge two customers.

Both lock every badge of the customer exclusively, as changes of a badge do. A badge that is issued at the same
time is either issued before, and then erased or moved too, or issued afterwards to a customer without badges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence, Set
from functools import partial

import msgspec

from cockade.audit.model import Action
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts
from cockade.clock import Clock
from cockade.customer import store as customer_store
from cockade.customer_data import store
from cockade.customer_data.model import ERASED_CUSTOMER, CustomerDataResult
from cockade.earning import store as earning_store
from cockade.enrolment import store as enrolment_store
from cockade.errors import ServiceBusy
from cockade.ids import BadgeKey, CustomerId
from cockade.job import store as job_store
from cockade.limit import store as limit_store
from cockade.outbox import store as outbox_store
from cockade.request import store as request_store
from cockade.storage.database import Database, Tx

ATTEMPTS_MAX = 20
"""Maximum number of attempts if new badges are issued to the customer during the transaction."""

Work = Callable[[Tx, Sequence[BadgeKey], int], Awaitable[CustomerDataResult]]
"""Changes the customer's rows of the locked badges. The last argument is the number of changed requests."""


class _BadgesAdded(Exception):
    """The customer got a badge that is not locked. Roll back and retry, with the badge locked from the start.

    Each attempt locks at least one badge more.
    """

    def __init__(self, badge_keys: Set[BadgeKey]) -> None:
        self.badge_keys = badge_keys
        super().__init__()


class CustomerDataService:
    """Erase and merge customers of the caller's org, in one transaction each."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def erase(self, caller: Caller, customer: CustomerId) -> CustomerDataResult:
        """Delete everything that names the customer and reduce the counters. Idempotent.

        Raises ServiceBusy if badges are issued to the customer in every attempt.
        """

        async def work(tx: Tx, locked: Sequence[BadgeKey], requests: int) -> CustomerDataResult:
            terms = await badge_store.import_terms(tx, locked)
            earned = await earning_store.erase(tx, locked, customer)
            enrolled = await enrolment_store.erase(tx, locked, customer)
            unrevoked = [row for row in earned if row.is_unrevoked]
            limit_counts = Counter(
                (row.badge_key, row.event_at) for row in unrevoked if terms[row.badge_key].has_badge_limit
            )
            if limit_counts:
                await limit_store.add_counts(tx, {event: -count for event, count in limit_counts.items()})
            identifiers = await customer_store.erase(tx, caller.org_id, customer)
            await _reduce_counts(
                tx,
                earned=Counter(row.badge_key for row in unrevoked),
                issued=Counter(badge_key for badge_key, is_unrevoked in enrolled if is_unrevoked),
            )
            return CustomerDataResult(
                earned_badges=len(earned),
                enrolments=len(enrolled),
                identifiers=identifiers,
                requests=requests,
            )

        return await self._run(caller, Action.CUSTOMER_ERASE, customer, ERASED_CUSTOMER, work)

    async def merge(self, caller: Caller, customer: CustomerId, into: CustomerId) -> CustomerDataResult:
        """Move everything from one customer to another, ordered after what the other already has. Idempotent.

        Rules of badges are not checked: they only apply to new events.

        Raises ServiceBusy if badges are issued to `customer` in every attempt.
        """

        async def work(tx: Tx, locked: Sequence[BadgeKey], requests: int) -> CustomerDataResult:
            return CustomerDataResult(
                earned_badges=await earning_store.move(tx, locked, customer, into),
                enrolments=await enrolment_store.move(tx, locked, customer, into),
                identifiers=await customer_store.move(tx, caller.org_id, customer, into),
                requests=requests,
            )

        return await self._run(caller, Action.CUSTOMER_MERGE, customer, into, work)

    async def _run(
        self, caller: Caller, action: Action, customer: CustomerId, into: CustomerId, work: Work
    ) -> CustomerDataResult:
        async def body(tx: Tx, known: Set[BadgeKey]) -> CustomerDataResult:
            locked = await store.list_badges_of(tx, caller.org_id, customer) | known
            await badge_store.lock_keys(tx, sorted(locked))
            # Order matters: a request that commits between the two statements keeps its customer list, but
            # the second statement finds what it issued. In the other order its list would be changed and its
            # badges missed.
            requests = await request_store.replace_customer(tx, caller.org_id, customer, into)
            await outbox_store.replace_customer(tx, caller.org_id, customer, into)
            requests += await job_store.replace_customer(tx, caller.org_id, customer, into)
            added = await store.list_badges_of(tx, caller.org_id, customer) - locked
            if added:
                raise _BadgesAdded(locked | added)
            result = await work(tx, sorted(locked), requests)
            if any(msgspec.structs.astuple(result)):
                details = _audit_details(result) | ({} if into is ERASED_CUSTOMER else {"into": into})
                await record(tx, caller, self._clock(), action, str(customer), details)
            return result

        known: Set[BadgeKey] = frozenset()
        for _ in range(ATTEMPTS_MAX):
            try:
                return await self._database.transaction(action.value, partial(body, known=known))
            except _BadgesAdded as error:
                known = error.badge_keys
        raise ServiceBusy


def _audit_details(result: CustomerDataResult) -> dict[str, int]:
    return {
        "earnedBadgeCount": result.earned_badges,
        "enrolmentCount": result.enrolments,
        "identifierCount": result.identifiers,
        "requestCount": result.requests,
    }


async def _reduce_counts(tx: Tx, *, earned: Counter[BadgeKey], issued: Counter[BadgeKey]) -> None:
    if changes := {key: BadgeCounts(-issued[key], -earned[key]) for key in sorted(earned | issued)}:
        await badge_store.add_counts(tx, changes)
