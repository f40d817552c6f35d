"""Issue badges to customers, exactly once, and revoke them."""

from __future__ import annotations

from collections.abc import Sequence

from cockade import ids, metrics
from cockade.audit.model import Action
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.badge import rules as badge_rules
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeDraft
from cockade.clock import Clock
from cockade.earning import store
from cockade.earning.batching import BatchIssuer, PendingRequest
from cockade.earning.importing import import_rows
from cockade.earning.issuing import FAILURE_ERRORS, issue
from cockade.earning.model import ImportRow
from cockade.errors import FieldError, NotEarned
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit import store as limit_store
from cockade.outbox.model import Ledger
from cockade.outbox.store import enqueue_revocations
from cockade.request.model import ImportOutcome, IssueCommand, RequestKind, RequestOutcome
from cockade.request.service import (
    Attempt,
    NeedsExclusiveLock,
    RequestService,
    record_metrics,
    run_shared_then_exclusive,
)
from cockade.storage.database import Database, Tx


class EarningService:
    """Use cases of `earning`; one per process, because it batches small requests."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._requests = RequestService(database, clock)
        self._batches = BatchIssuer(database, clock)

    async def earn_bulk(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Issue the badge to all customers that the rules allow. The outcome is durable when this returns.

        Raises RequestIdUsed, BadgeNotFound, NotLive, OwnerNotAllowed, NotClaimed, EventInFuture, EventOutsideBadge
        (nothing was changed and the request id is still free), Unavailable or OutcomeUnknown.
        """
        return record_metrics(await self._issue(caller, command, RequestKind.EARN_BULK))

    async def earn(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Issue the badge to the one customer of the command.

        As earn_bulk, but if the customer fails, the request is rejected and its id stays free: raises NotEnrolled,
        AlreadyHeld, CustomerLimitReached or BadgeLimitReached.
        """
        try:
            return record_metrics(await self._issue(caller, command, RequestKind.EARN))
        except tuple(FAILURE_ERRORS.values()) as error:
            metrics.count_issuances(RequestKind.EARN, 0, {error.code: 1})
            raise

    async def _issue(self, caller: Caller, command: IssueCommand, kind: RequestKind) -> RequestOutcome:
        request = PendingRequest(caller, command, kind)
        if not self._database.in_nested and (outcome := await self._batches.submit(request)):
            return outcome

        async def work(tx: Tx, attempt: Attempt) -> RequestOutcome:
            return await issue(tx, caller, command, kind, attempt)

        name = f"earning.{kind.value.lower()}"
        return await self._requests.execute(name, caller, command.request_id, kind, work, request.keys)

    async def dry_run_earn_bulk(self, caller: Caller, command: IssueCommand) -> RequestOutcome:
        """Return what earn_bulk would do now. Changes nothing; the request id stays free. Raises what earn_bulk raises."""

        async def work(tx: Tx, attempt: Attempt) -> RequestOutcome:
            return await issue(tx, caller, command, RequestKind.EARN_BULK, attempt)

        return await self._requests.dry_run("earning.dry_run", caller, command.request_id, work)

    async def import_history(
        self, caller: Caller, request_id: str, rows: Sequence[ImportRow | list[FieldError]]
    ) -> ImportOutcome:
        """Import badges that customers earned elsewhere. A row that fails, or is a list of errors, affects no other row.

        Owners, claims, enrolments, limits, overlaps, windows and activation are not checked: it is history. Imported
        badges count from now on. Raises RequestIdUsed, Unavailable (nothing was changed) or OutcomeUnknown.
        """

        async def work(tx: Tx, attempt: Attempt) -> ImportOutcome:
            return await import_rows(tx, caller, request_id, rows, attempt)

        return record_metrics(
            await self._requests.execute("earning.import", caller, request_id, RequestKind.IMPORT, work)
        )

    async def revoke(
        self, caller: Caller, badge_id: BadgeId | None, customer: CustomerId, earned_badge_id: str
    ) -> None:
        """Revoke one earned badge that is valid now or will be. Raises BadgeNotFound and NotEarned."""
        entry = ids.earned_badge_place(earned_badge_id)

        async def body(tx: Tx, exclusive: bool) -> None:
            found_id, lock = await badge_store.lock_for_issuing(
                tx, caller.org_id, badge_id, exclusive=exclusive
            )
            has_badge_limit = await badge_store.has_badge_limit(tx, lock.badge_key)
            if has_badge_limit and not lock.exclusive:
                raise NeedsExclusiveLock
            event_at, now = None, self._clock()
            if entry is not None and entry[1] <= ids.LINE_MAX:
                event_at = await store.revoke(tx, lock.badge_key, customer, entry, now)
            if entry is None or event_at is None:
                raise NotEarned(reference="earnedBadgeId")
            if has_badge_limit:
                await limit_store.add_counts(tx, {(lock.badge_key, event_at): -1})
            await badge_store.add_count(tx, lock.badge_key, earned=-1)
            revoked = [(customer, *entry)]
            await enqueue_revocations(tx, caller.org_id, Ledger.EARNED_BADGE, lock.badge_key, revoked, now)
            subject = ids.earned_badge_id(*entry)
            details = {"customerId": customer}
            await record(tx, caller, now, Action.EARNING_REVOKE, subject, details, badge_id=found_id)

        await run_shared_then_exclusive(self._database, "earning.revoke", body)


async def rebuild_counters(tx: Tx, badge_key: BadgeKey, old: BadgeDraft, new: BadgeDraft) -> None:
    """Count existing earned badges when a badge gets its first limit as a whole or its first window per customer.

    Runs in the transaction that changes the badge, which holds its exclusive lock.
    """
    had_limit, has_limit = map(badge_rules.has_badge_limit, (old.badge_constraints, new.badge_constraints))
    if has_limit and not had_limit:
        await limit_store.rebuild(tx, badge_key)
    elif had_limit and not has_limit:
        await limit_store.clear(tx, badge_key)
    if limit_rules.has_windows(new.customer_constraints):
        await store.mark_counted(tx, badge_key)
