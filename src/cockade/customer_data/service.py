"""Erase a customer, and merge two customers.

Both lock every badge that the customer ever had, exclusively. A concurrent issuance to the customer is either
committed before and included, or decided afterwards for a customer who has nothing.
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
"""Maximum number of retries, each because of a concurrent issuance of a new badge."""

Work = Callable[[Tx, Sequence[BadgeKey], int], Awaitable[CustomerDataResult]]
"""Changes the customer's issuances of these badges, after the audiences of this number of requests."""


class _Gained(Exception):
    """The customer got an issuance of a badge that is not locked. Retried with this badge locked as well.

    The set of badges grows with each attempt, so it ends.
    """

    def __init__(self, badge_keys: Set[BadgeKey]) -> None:
        self.badge_keys = badge_keys
        super().__init__()


class CustomerDataService:
    """Use cases of `customer_data`. Each one is a transaction in the caller's org."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def erase(self, caller: Caller, customer: CustomerId) -> CustomerDataResult:
        """Erase the customer from the org. Repeating it has no effect. Erased issuances count towards no
        limit.

        Raises Busy if concurrent issuances to the customer continue.
        """

        async def work(tx: Tx, held: Sequence[BadgeKey], requests: int) -> CustomerDataResult:
            terms = await badge_store.import_terms(tx, held)
            earned = await earning_store.erase(tx, held, customer)
            enrolled = await enrolment_store.erase(tx, held, customer)
            standing = [row for row in earned if row.is_unrevoked]
            capped = Counter(
                (row.badge_key, row.event_at) for row in standing if terms[row.badge_key].has_badge_limit
            )
            if capped:
                await limit_store.add_counts(tx, {place: -count for place, count in capped.items()})
            identifiers = await customer_store.erase(tx, caller.org_id, customer)
            await _discount(
                tx,
                earned=Counter(row.badge_key for row in standing),
                issued=Counter(badge_key for badge_key, is_unrevoked in enrolled if is_unrevoked),
            )
            return CustomerDataResult(
                earned_badges=len(earned),
                enrolments=len(enrolled),
                identifiers=identifiers,
                requests=requests,
            )

        return await self._rewrite(caller, Action.CUSTOMER_ERASE, customer, ERASED_CUSTOMER, work)

    async def merge(self, caller: Caller, customer: CustomerId, into: CustomerId) -> CustomerDataResult:
        """Move everything of one customer to another, after what that customer has. Repeating it has no
        effect.

        History is kept: of a badge that both hold, the other customer then holds both, whatever the badge's
        rules. Raises Busy if concurrent issuances to the first customer continue.
        """

        async def work(tx: Tx, held: Sequence[BadgeKey], requests: int) -> CustomerDataResult:
            return CustomerDataResult(
                earned_badges=await earning_store.move(tx, held, customer, into),
                enrolments=await enrolment_store.move(tx, held, customer, into),
                identifiers=await customer_store.move(tx, caller.org_id, customer, into),
                requests=requests,
            )

        return await self._rewrite(caller, Action.CUSTOMER_MERGE, customer, into, work)

    async def _rewrite(
        self, caller: Caller, action: Action, customer: CustomerId, into: CustomerId, work: Work
    ) -> CustomerDataResult:
        async def body(tx: Tx, also: Set[BadgeKey]) -> CustomerDataResult:
            held = await store.list_badges_of(tx, caller.org_id, customer) | also
            await badge_store.lock_keys(tx, sorted(held))
            # The order matters. A request that commits between the two statements keeps its audience, and the
            # second statement finds its issuances. In the reverse order, its audience would change and its
            # issuances would be missed.
            requests = await request_store.replace_customer(tx, caller.org_id, customer, into)
            await outbox_store.replace_customer(tx, caller.org_id, customer, into)
            requests += await job_store.replace_customer(tx, caller.org_id, customer, into)
            gained = await store.list_badges_of(tx, caller.org_id, customer) - held
            if gained:
                raise _Gained(held | gained)
            rewritten = await work(tx, sorted(held), requests)
            if any(msgspec.structs.astuple(rewritten)):
                details = _told(rewritten) | ({} if into is ERASED_CUSTOMER else {"into": into})
                await record(tx, caller, self._clock(), action, str(customer), details)
            return rewritten

        also: Set[BadgeKey] = frozenset()
        for _ in range(ATTEMPTS_MAX):
            try:
                return await self._database.transaction(action.value, partial(body, also=also))
            except _Gained as error:
                also = error.badge_keys
        raise ServiceBusy


def _told(rewritten: CustomerDataResult) -> dict[str, int]:
    return {
        "earnedBadgeCount": rewritten.earned_badges,
        "enrolmentCount": rewritten.enrolments,
        "identifierCount": rewritten.identifiers,
        "requestCount": rewritten.requests,
    }


async def _discount(tx: Tx, *, earned: Counter[BadgeKey], issued: Counter[BadgeKey]) -> None:
    if less := {key: BadgeCounts(-issued[key], -earned[key]) for key in sorted(earned | issued)}:
        await badge_store.add_counts(tx, less)
