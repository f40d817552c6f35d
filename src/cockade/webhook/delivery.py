"""Webhook delivery: a loop of the background worker.

Each webhook has its own cursor in the feed of its org. One worker at a time delivers to it and holds a lease
that expires. Each webhook is served by its own task, so a slow or dead receiver does not delay others. After
a failed batch, the webhook waits in the database for its retry time. A batch is recorded when it has
finished. If the worker crashes before that, the batch is delivered again: delivery is at least once.
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
"""Interval between two checks for new events, in seconds."""
MAX_CONCURRENT_WEBHOOKS = 100
"""Maximum number of webhooks that one worker serves concurrently."""
EVENTS_PER_BATCH = 200
"""Maximum number of events per batch."""
CONCURRENT_REQUESTS_PER_WEBHOOK = 8
"""Maximum number of concurrent POSTs to one receiver. Events of one customer are never sent concurrently."""
MAX_BATCH_S = 5.0
"""No POST is started later than this in a batch, so that the batch is recorded before the lease expires."""
LEASE_SLACK_S = 5.0
CLEANUP_INTERVAL_S = 60.0
"""Interval between two cleanups, which delete expired rows and update the backlog metrics."""
DELETED_PER_TRANSACTION = 10_000
GONE = "The receiver responded with 410 Gone."

log = structlog.get_logger()


class DeliveryBatch:
    """State of one batch of deliveries to one webhook."""

    def __init__(self, delivered: frozenset[str]) -> None:
        self.delivered = set(delivered)
        self.attempts: list[DeliveryAttempt] = []
        self.retry_after_s = 0.0
        """Longest delay that the receiver requested with Retry-After, in seconds."""
        self.is_stopped = False
        """No further POST is started: the receiver is gone or unreachable, it sent Retry-After, or the time
        is up.
        """
        self.is_gone = False


class WebhookDelivery:
    """Assigns positions to events and delivers them to webhooks."""

    def __init__(self, database: Database, clock: Clock, events: EventService, settings: Config) -> None:
        self._database = database
        self._clock = clock
        self._events = events
        self._networks = read_networks("webhook_allowed_networks", settings.webhook_allowed_networks)
        self._timeout_s = settings.webhook_timeout_s
        self._disable_after = timedelta(hours=settings.webhook_disable_after_h)
        self._log_retention = timedelta(days=settings.webhook_log_retention_days)
        self._lease = secrets.token_hex(8)
        self._lease_time = timedelta(seconds=MAX_BATCH_S + self._timeout_s + LEASE_SLACK_S)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, then finish and record the current batches. Raises Unavailable in an
        exception group.
        """
        client = WebhookClient(self._networks, self._timeout_s)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._run_cleanup(stop))
                await self._claim_loop(group, client, stop)
        finally:
            await client.close()

    async def _claim_loop(self, group: asyncio.TaskGroup, client: WebhookClient, stop: asyncio.Event) -> None:
        serving: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            await self._events.assign_positions()
            for webhook in await self._claim(MAX_CONCURRENT_WEBHOOKS - len(serving)):
                task = group.create_task(self._serve(webhook, client, stop))
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
        """Delete expired events and log entries, and update the backlog metrics."""
        await self._events.delete_expired()
        before = self._clock() - self._log_retention
        while await self._database.transaction(
            "webhook.delete_attempts",
            lambda tx: store.delete_old_attempts(tx, before, DELETED_PER_TRANSACTION),
        ):
            pass
        backlog = await self._database.transaction("webhook.find_backlog", store.find_backlog)
        metrics.webhook_backlog.set(backlog.sources)
        metrics.webhooks_failing.set(backlog.failing)

    async def _serve(self, webhook: LeasedWebhook, client: WebhookClient, stop: asyncio.Event) -> None:
        """Deliver batches until all events are delivered, a batch fails, or the lease is lost."""
        event_filter = EventFilter(
            frozenset(webhook.kinds), None if webhook.badge_ids is None else frozenset(webhook.badge_ids)
        )
        try:
            while not stop.is_set():
                page = await self._events.read(webhook.org_id, webhook.cursor, EVENTS_PER_BATCH, event_filter)
                batch = await self._deliver_page(webhook, page, client, stop)
                progress = self._progress(webhook, page, batch)
                if not await self._record(webhook, progress, batch.attempts):
                    return
                if progress.retry_at is not None or progress.disabled_reason is not None:
                    break
                webhook = msgspec.structs.replace(
                    webhook,
                    cursor=progress.cursor,
                    delivered_ahead=frozenset(progress.delivered_ahead),
                    failures=progress.failures,
                    failing_since=progress.failing_since,
                )
                if not page.has_more and not progress.delivered_ahead and progress.cursor == page.end:
                    break
            await self._database.transaction(
                "webhook.release", lambda tx: store.release(tx, webhook, self._lease)
            )
        except Unavailable as error:
            # The lease expires. The worker that claims the webhook next continues from the last recorded
            # batch.
            log.warning(
                "webhook delivery batch was not recorded", action="webhook.deliver", cause=repr(error)
            )
        except Exception as error:
            # Other webhooks are not affected. This one is retried when its lease has expired.
            log.error(
                "unexpected error", action="webhook.deliver", webhook=webhook.webhook_id, exc_info=error
            )

    async def _deliver_page(
        self, webhook: LeasedWebhook, page: FeedPage, client: WebhookClient, stop: asyncio.Event
    ) -> DeliveryBatch:
        """Deliver the events of the page until the batch is stopped."""
        batch = DeliveryBatch(webhook.delivered_ahead)
        deadline_s = asyncio.get_running_loop().time() + MAX_BATCH_S

        async def deliver(entry: FeedEntry) -> bool:
            if stop.is_set() or asyncio.get_running_loop().time() > deadline_s:
                batch.is_stopped = True
            return not batch.is_stopped and await self._deliver(webhook, entry, client, batch)

        await _deliver_queues(rules.customer_queues(page.entries, batch.delivered), deliver)
        await _deliver_queues(rules.complete_queues(page.entries, batch.delivered), deliver)
        return batch

    async def _deliver(
        self, webhook: LeasedWebhook, entry: FeedEntry, client: WebhookClient, batch: DeliveryBatch
    ) -> bool:
        """Send one event. Return whether it was delivered."""
        event, now = entry.event, self._clock()
        signing = rules.signing_secrets(webhook.secrets, now)
        response = await client.post(webhook.url, event.id, msgspec.json.encode(event), signing, now)
        result = rules.delivery_result(response)
        batch.attempts.append(rules.attempt(response, event.id, event.kind, now))
        metrics.count_delivery(result.value.lower())
        if result is DeliveryResult.DELIVERED:
            batch.delivered.add(event.id)
            return True
        retry_after_s = rules.parse_retry_after(response.retry_after, now)
        batch.retry_after_s = max(batch.retry_after_s, retry_after_s)
        batch.is_gone = batch.is_gone or result is DeliveryResult.GONE
        # Other events of the batch would fail or be delayed for the same reason.
        batch.is_stopped = batch.is_stopped or batch.is_gone or response.status is None or retry_after_s > 0
        return False

    def _progress(self, webhook: LeasedWebhook, page: FeedPage, batch: DeliveryBatch) -> Progress:
        progress = rules.progress(
            webhook,
            page,
            batch.delivered,
            batch.attempts,
            now=self._clock(),
            retry_after_s=batch.retry_after_s,
            chance=random.random(),
            disable_after=self._disable_after,
        )
        return msgspec.structs.replace(progress, disabled_reason=GONE) if batch.is_gone else progress

    async def _record(
        self, webhook: LeasedWebhook, progress: Progress, attempts: list[DeliveryAttempt]
    ) -> bool:
        """Save the progress, and return whether the lease was still valid."""

        async def body(tx: Tx) -> bool:
            now = self._clock()
            if not await store.record_progress(tx, webhook, self._lease, progress, now + self._lease_time):
                return False
            if attempts:
                await store.log_attempts(tx, webhook.org_id, webhook.webhook_id, attempts)
            if progress.disabled_reason is not None:
                by, details = Worker(webhook.org_id), {"reason": progress.disabled_reason}
                await record(tx, by, now, Action.WEBHOOK_DISABLE, webhook.webhook_id, details)
            return True

        is_leased = await self._database.transaction("webhook.record_progress", body)
        if progress.disabled_reason is not None and is_leased:
            reason = progress.disabled_reason
            log.warning(
                "webhook disabled", action="webhook.disable", webhook=webhook.webhook_id, reason=reason
            )
        return is_leased


async def _deliver_queues(
    queues: list[list[FeedEntry]], deliver: Callable[[FeedEntry], Awaitable[bool]]
) -> None:
    """Deliver several queues concurrently. A queue stops at its first event that is not delivered."""
    waiting = iter(queues)

    async def work() -> None:
        for queue in waiting:
            for entry in queue:
                if not await deliver(entry):
                    break

    async with asyncio.TaskGroup() as group:
        for _ in range(min(CONCURRENT_REQUESTS_PER_WEBHOOK, len(queues))):
            group.create_task(work())
