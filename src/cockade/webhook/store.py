"""Statements on webhooks and the delivery log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cockade.event.model import Cursor, EventKind
from cockade.ids import OrgId, WebhookId
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load
from cockade.webhook.model import (
    Backlog,
    DeliveryAttempt,
    LeasedWebhook,
    LoggedAttempt,
    Progress,
    Secrets,
    Webhook,
    WebhookDraft,
)

SQL = load(__package__)
_ATTEMPT = ("at", "event_id", "kind", "status", "error", "duration_ms")


async def lock_org(tx: Tx, org_id: OrgId) -> bool:
    """Lock the org against concurrent creation of webhooks. Return False if the org does not exist."""
    return await tx.value(SQL["lock_org"], org_id) is not None


async def count(tx: Tx, org_id: OrgId) -> int:
    """Return the number of webhooks of the org."""
    return await tx.value(SQL["count_webhooks"], org_id)


async def insert(
    tx: Tx,
    org_id: OrgId,
    webhook_id: WebhookId,
    draft: WebhookDraft,
    secret: str,
    cursor: Cursor,
    now: datetime,
    username: str,
) -> None:
    """Insert a new, active webhook."""
    await tx.execute(
        SQL["insert_webhook"],
        org_id,
        webhook_id,
        draft.url,
        draft.description,
        draft.kinds,
        draft.badge_ids,
        secret,
        *cursor,
        now,
        username,
    )


async def list_webhooks(tx: Tx, org_id: OrgId) -> list[Webhook]:
    """Return all webhooks of the org, oldest first."""
    return [_webhook(row) for row in await tx.rows(SQL["list_webhooks"], org_id, None)]


async def find(tx: Tx, org_id: OrgId, webhook_id: WebhookId) -> Webhook | None:
    """Return one webhook."""
    row = await tx.row(SQL["list_webhooks"], org_id, webhook_id)
    return None if row is None else _webhook(row)


async def lock(tx: Tx, org_id: OrgId, webhook_id: WebhookId) -> Webhook | None:
    """Return one webhook, and lock it until the end of the transaction."""
    await tx.execute(SQL["lock_webhook"], org_id, webhook_id)
    return await find(tx, org_id, webhook_id)


async def update(tx: Tx, webhook: Webhook, now: datetime, username: str, *, is_cursor_changed: bool) -> None:
    """Update the webhook, and end its lease."""
    await tx.execute(
        SQL["update_webhook"],
        webhook.org_id,
        webhook.webhook_id,
        webhook.url,
        webhook.description,
        webhook.kinds,
        webhook.badge_ids,
        webhook.is_active,
        webhook.disabled_reason,
        *webhook.cursor,
        is_cursor_changed,
        now,
        username,
    )


async def rotate_secret(
    tx: Tx,
    org_id: OrgId,
    webhook_id: WebhookId,
    secret: str,
    old_until: datetime,
    now: datetime,
    username: str,
) -> bool:
    """Set a new secret; the old one also signs until `old_until`. Return False if the webhook does not exist."""
    found = await tx.value(SQL["rotate_secret"], org_id, webhook_id, secret, old_until, now, username)
    return found is not None


async def find_secrets(tx: Tx, org_id: OrgId, webhook_id: WebhookId) -> tuple[str, Secrets] | None:
    """Return the URL and the secrets of the webhook."""
    row = await tx.row(SQL["find_secrets"], org_id, webhook_id)
    return None if row is None else (row[0], _secrets(row[1:]))


async def delete(tx: Tx, org_id: OrgId, webhook_id: WebhookId) -> bool:
    """Delete the webhook and its log. Return False if the webhook does not exist."""
    return await tx.value(SQL["delete_webhook"], org_id, webhook_id) is not None


async def claim(tx: Tx, lease: str, now: datetime, until: datetime, count: int) -> list[LeasedWebhook]:
    """Lease at most `count` webhooks that have events to deliver, until `until`."""
    return [
        LeasedWebhook(
            org_id=OrgId(row[0]),
            webhook_id=WebhookId(row[1]),
            url=row[2],
            kinds=[EventKind(kind) for kind in row[3]],
            badge_ids=row[4],
            secrets=_secrets(row[5:8]),
            cursor=Cursor(row[8], row[9]),
            delivered_ahead=frozenset(row[10]),
            failures=row[11],
            failing_since=row[12],
        )
        for row in await tx.rows(SQL["claim"], lease, now, until, count)
    ]


async def record_progress(
    tx: Tx, webhook: LeasedWebhook, lease: str, progress: Progress, until: datetime
) -> bool:
    """Save the progress, and extend the lease. Return False if the lease was lost."""
    found = await tx.value(
        SQL["record_progress"],
        webhook.org_id,
        webhook.webhook_id,
        lease,
        *progress.cursor,
        progress.delivered_ahead,
        progress.failures,
        progress.failing_since,
        progress.retry_at,
        progress.disabled_reason,
        until,
    )
    return found is not None


async def release(tx: Tx, webhook: LeasedWebhook, lease: str) -> None:
    """End the lease."""
    await tx.execute(SQL["release"], webhook.org_id, webhook.webhook_id, lease)


async def log_attempts(
    tx: Tx, org_id: OrgId, webhook_id: WebhookId, attempts: Sequence[DeliveryAttempt]
) -> None:
    """Insert entries into the delivery log."""
    rows = [(org_id, webhook_id, *(getattr(attempt, name) for name in _ATTEMPT)) for attempt in attempts]
    await tx.copy_records("webhook_attempt", ("org_id", "webhook_id", *_ATTEMPT), rows)


async def list_attempts(
    tx: Tx, org_id: OrgId, webhook_id: WebhookId, before: int | None, size: int, *, only_failed: bool
) -> list[LoggedAttempt]:
    """Return at most `size` attempts, newest first, older than attempt `before`."""
    rows = await tx.rows(SQL["list_attempts"], org_id, webhook_id, before, only_failed, size)
    return [
        LoggedAttempt(
            attempt_id=row[0],
            attempt=DeliveryAttempt(
                at=row[1], event_id=row[2], kind=row[3], status=row[4], error=row[5], duration_ms=row[6]
            ),
        )
        for row in rows
    ]


async def delete_old_attempts(tx: Tx, before: datetime, max_rows: int) -> int:
    """Delete at most `max_rows` attempts older than `before`. Return the number of deleted rows."""
    return await tx.value(SQL["delete_old_attempts"], before, max_rows)


async def find_backlog(tx: Tx) -> Backlog:
    """Return the backlog of all active webhooks."""
    row = await tx.row(SQL["find_backlog"])
    assert row is not None
    return Backlog(sources=row[0], failing=row[1])


def _secrets(row: Row) -> Secrets:
    return Secrets(secret=row[0], old_secret=row[1], old_secret_until=row[2])


def _webhook(row: Row) -> Webhook:
    return Webhook(
        org_id=OrgId(row[0]),
        created_at=row[1],
        created_by=row[2],
        updated_at=row[3],
        updated_by=row[4],
        webhook_id=WebhookId(row[5]),
        url=row[6],
        description=row[7],
        kinds=[EventKind(kind) for kind in row[8]],
        badge_ids=row[9],
        is_active=row[10],
        disabled_reason=row[11],
        cursor=Cursor(row[12], row[13]),
        failing_since=row[14],
        retry_at=row[15],
        backlog=row[16],
    )
