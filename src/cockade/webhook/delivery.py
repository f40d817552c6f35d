"""The delivery of events to webhooks, which runs in the worker.

Each webhook has its own cursor in the feed of its org. One worker at a time delivers to it and holds a lease
that expires. A slow or unreachable receiver does not delay others: each webhook has its own task, and the
pause after a failed round is stored in the database. A round is recorded when it is over. If the worker dies
before that, another one delivers the round again, so that every event arrives at least once.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import structlog

from cockade import metrics
from cockade.audit.model import Action, Worker
from cockade.audit.store import record
from cockade.clock import Clock
from cockade.config import Config, read_networks
from cockade.errors import Unavailable
from cockade.event.model import EventFilter, FeedEntry, FeedPage
from cockade.event.service import EventService
from cockade.storage.database import Database, Tx
from cockade.webhook import rules, store
from cockade.webhook.model import DeliveryAttempt, DeliveryResult, LeasedWebhook, Progress
from cockade.webhook.sender import WebhookClient
from cockade.worker import sleep_or_stop

POLL_S = 0.25
"""Interval at which the worker looks for new events."""
WEBHOOKS_AT_ONCE = 100
"""Maximum number of webhooks that a worker delivers to at the same time."""
PAGE = 200
"""Events per round."""
LANES_AT_ONCE = 8
"""Maximum number of concurrent POSTs to one receiver, each for another customer."""
ROUND_S_MAX = 5.0
"""A round starts no more POSTs after this time, so that it is recorded before the lease expires."""
LEASE_SLACK_S = 5.0
CLEANUP_INTERVAL_S = 60.0
"""Interval of the cleanup of old rows and the count of the backlog."""
FORGOTTEN_AT_ONCE = 10_000
GONE = "The receiver answered 410 Gone."

log = structlog.get_logger()


class DeliveryBatch:
    """The state of one round of deliveries to one webhook."""

    def __init__(self, delivered: frozenset[str]) -> None:
        self.delivered = set(delivered)
        self.attempts: list[DeliveryAttempt] = []
        self.asked_s = 0.0
        """The pause that the receiver asked for, in seconds."""
        self.is_over = False
        """Whether to start no more POSTs: the receiver is gone or unreachable, or time is up."""
        self.is_gone = False


class WebhookDelivery:
    """Assigns feed positions and delivers events to webhooks."""

    def __init__(self, database: Database, clock: Clock, events: EventService, settings: Config) -> None:
        self._database = database
        self._clock = clock
        self._events = events
        self._networks = read_networks("webhook_allowed_networks", settings.webhook_allowed_networks)
        self._timeout_s = settings.webhook_timeout_s
        self._abandon = timedelta(hours=settings.webhook_disable_after_h)
        self._log_kept = timedelta(days=settings.webhook_log_retention_days)
        self._lease = secrets.token_hex(8)
        self._lease_time = timedelta(seconds=ROUND_S_MAX + self._timeout_s + LEASE_SLACK_S)

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until the event is set. Rounds in progress then end and are recorded. Raises Unavailable in
        a group.
        """
        sender = WebhookClient(self._networks, self._timeout_s)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_cleanup(stop))
                await self._claim_often(group, sender, stop)
        finally:
            await sender.close()

    async def _claim_often(
        self, group: asyncio.TaskGroup, sender: WebhookClient, stop: asyncio.Event
    ) -> None:
        serving: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            await self._events.assign_positions()
            for claimed in await self._claim(WEBHOOKS_AT_ONCE - len(serving)):
                task = group.create_task(self._serve(claimed, sender, stop))
                serving.add(task)
                task.add_done_callback(serving.discard)
            await sleep_or_stop(stop, POLL_S)

    async def _claim(self, count: int) -> list[LeasedWebhook]:
        if count <= 0:
            return []
        now = self._clock()
        return await self._database.transaction(
            "webhook.claim",
            lambda tx: store.claim(tx, self._lease, now, now + self._lease_time, count),
        )

    async def _run_cleanup(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._cleanup()
            await sleep_or_stop(stop, CLEANUP_INTERVAL_S)

    async def _cleanup(self) -> None:
        """Delete old rows and update the backlog metrics."""
        await self._events.delete_expired()
        before = self._clock() - self._log_kept
        while await self._database.transaction(
            "webhook.delete_attempts", lambda tx: store.forget_attempts(tx, before, FORGOTTEN_AT_ONCE)
        ):
            pass
        backlog = await self._database.transaction("webhook.find_backlog", store.find_backlog)
        metrics.webhook_backlog.set(backlog.sources)
        metrics.webhooks_failing.set(backlog.failing)

    async def _serve(self, claimed: LeasedWebhook, sender: WebhookClient, stop: asyncio.Event) -> None:
        """Run rounds until everything is delivered, a round fails, or another worker takes over."""
        wanted = EventFilter(
            frozenset(claimed.kinds), None if claimed.badge_ids is None else frozenset(claimed.badge_ids)
        )
        try:
            while not stop.is_set():
                page = await self._events.read(claimed.org_id, claimed.cursor, PAGE, wanted)
                done = await self._carry_out(claimed, page, sender, stop)
                progress = self._progress(claimed, page, done)
                if not await self._record(claimed, progress, done.attempts):
                    return
                if progress.retry_at is not None or progress.disabled_reason is not None:
                    break
                claimed = msgspec.structs.replace(
                    claimed,
                    cursor=progress.cursor,
                    delivered_ahead=frozenset(progress.delivered_ahead),
                    failures=progress.failures,
                    failing_since=progress.failing_since,
                )
                if not page.has_more and not progress.delivered_ahead and progress.cursor == page.end:
                    break
            await self._database.transaction(
                "webhook.release", lambda tx: store.release(tx, claimed, self._lease)
            )
        except Unavailable as error:
            # The lease expires; the worker that takes over continues from the recorded state.
            log.warning("delivery round not recorded", action="webhook.deliver", cause=repr(error))
        except Exception as error:
            # Other webhooks continue. This one is retried when its lease expires.
            log.error(
                "unexpected error", action="webhook.deliver", webhook=claimed.webhook_id, exc_info=error
            )

    async def _carry_out(
        self, claimed: LeasedWebhook, page: FeedPage, sender: WebhookClient, stop: asyncio.Event
    ) -> DeliveryBatch:
        """Deliver the page as far as the receiver accepts it."""
        done = DeliveryBatch(claimed.delivered_ahead)
        ends_s = asyncio.get_running_loop().time() + ROUND_S_MAX

        async def deliver(entry: FeedEntry) -> bool:
            if stop.is_set() or asyncio.get_running_loop().time() > ends_s:
                done.is_over = True
            return not done.is_over and await self._deliver(claimed, entry, sender, done)

        await _go_along(rules.customer_queues(page.entries, done.delivered), deliver)
        await _go_along(rules.complete_queues(page.entries, done.delivered), deliver)
        return done

    async def _deliver(
        self, claimed: LeasedWebhook, entry: FeedEntry, sender: WebhookClient, done: DeliveryBatch
    ) -> bool:
        """Deliver one event. Return whether the receiver accepted it."""
        event, now = entry.event, self._clock()
        signing = rules.signing_secrets(claimed.secrets, now)
        answer = await sender.post(claimed.url, event.id, msgspec.json.encode(event), signing, now)
        meaning = rules.delivery_result(answer)
        done.attempts.append(rules.attempt(answer, event.id, event.kind, now))
        metrics.count_delivery(meaning.value.lower())
        if meaning is DeliveryResult.DELIVERED:
            done.delivered.add(event.id)
            return True
        asked_s = rules.retry_after_s(answer.retry_after, now)
        done.asked_s = max(done.asked_s, asked_s)
        done.is_gone = done.is_gone or meaning is DeliveryResult.GONE
        # Further POSTs of this round would fail for the same reason.
        done.is_over = done.is_over or done.is_gone or answer.status is None or asked_s > 0
        return False

    def _progress(self, claimed: LeasedWebhook, page: FeedPage, done: DeliveryBatch) -> Progress:
        progress = rules.progress(
            claimed,
            page,
            done.delivered,
            done.attempts,
            now=self._clock(),
            asked_s=done.asked_s,
            chance=random.random(),
            give_up=self._abandon,
        )
        return msgspec.structs.replace(progress, disabled_reason=GONE) if done.is_gone else progress

    async def _record(
        self, claimed: LeasedWebhook, progress: Progress, attempts: list[DeliveryAttempt]
    ) -> bool:
        """Record the round. Return whether the lease was still valid."""

        async def body(tx: Tx) -> bool:
            now = self._clock()
            if not await store.record_progress(tx, claimed, self._lease, progress, now + self._lease_time):
                return False
            if attempts:
                await store.log_attempts(tx, claimed.org_id, claimed.webhook_id, attempts)
            if progress.disabled_reason is not None:
                by, details = Worker(claimed.org_id), {"reason": progress.disabled_reason}
                await record(tx, by, now, Action.WEBHOOK_DISABLE, claimed.webhook_id, details)
            return True

        is_ours = await self._database.transaction("webhook.record_progress", body)
        if progress.disabled_reason is not None and is_ours:
            reason = progress.disabled_reason
            log.warning(
                "webhook disabled", action="webhook.disable", webhook=claimed.webhook_id, reason=reason
            )
        return is_ours


async def _go_along(lanes: list[list[FeedEntry]], deliver: Callable[[FeedEntry], Awaitable[bool]]) -> None:
    """Deliver several queues concurrently. Each queue is sequential and stops at its first failure."""
    waiting = iter(lanes)

    async def go() -> None:
        for lane in waiting:
            for entry in lane:
                if not await deliver(entry):
                    break

    async with asyncio.TaskGroup() as group:
        for _ in range(min(LANES_AT_ONCE, len(lanes))):
            group.create_task(go())
