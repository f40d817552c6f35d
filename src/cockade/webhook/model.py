"""Webhooks and the delivery log."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import UNSET, Struct, UnsetType

from cockade.event.model import Cursor, EventKind
from cockade.ids import BadgeId, OrgId, WebhookId

WEBHOOKS_MAX = 100
"""Maximum number of webhooks per org."""
URL_CHARS_MAX = 2000
TEST_KIND = "webhookTest"
"""Type of the message that a test sends. It is not an event, and never in the feed."""


class WebhookDraft(Struct, frozen=True, kw_only=True):
    """A webhook to create."""

    url: str
    description: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    """None: events of all badges."""
    after: Cursor | None
    """Deliver the events after this cursor. None: only events from now on."""


class WebhookChange(Struct, frozen=True, kw_only=True):
    """A change to a webhook. Fields that are None or UNSET are not changed."""

    url: str | None = None
    description: str | None = None
    kinds: list[EventKind] | None = None
    badge_ids: list[BadgeId] | UnsetType | None = UNSET
    is_active: bool | None = None
    """True also enables a webhook that the worker disabled."""
    after: Cursor | None = None
    """New cursor, before or after the current one."""


class Webhook(Struct, frozen=True, kw_only=True):
    """A URL that events are delivered to."""

    org_id: OrgId
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    webhook_id: WebhookId
    url: str
    description: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    is_active: bool
    disabled_reason: str | None
    """Why the worker disabled the webhook."""
    cursor: Cursor
    """Everything up to here was delivered."""
    failing_since: datetime | None
    """Since when the next event has not been delivered."""
    retry_at: datetime | None
    """Time of the next attempt after a failure."""
    backlog: int
    """Number of outbox rows after the cursor, counted up to 10,000."""


class Secrets(Struct, frozen=True, kw_only=True):
    """Secrets that deliveries are signed with."""

    secret: str
    old_secret: str | None
    old_secret_until: datetime | None


class LeasedWebhook(Struct, frozen=True, kw_only=True):
    """A webhook that one worker may deliver to until the lease expires."""

    org_id: OrgId
    webhook_id: WebhookId
    url: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    secrets: Secrets
    cursor: Cursor
    delivered_ahead: frozenset[str]
    """Ids of events after the cursor that were delivered already."""
    failures: int
    """Number of consecutive batches in which nothing was delivered."""
    failing_since: datetime | None


class Progress(Struct, frozen=True, kw_only=True):
    """State of a webhook after a batch of deliveries."""

    cursor: Cursor
    delivered_ahead: list[str]
    failures: int
    failing_since: datetime | None
    retry_at: datetime | None
    """None: no delay."""
    disabled_reason: str | None = None


class DeliveryResult(StrEnum):
    """Result of one delivery attempt."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    """The event is sent again later."""
    GONE = "GONE"
    """410: the receiver does not want events any more."""


class DeliveryResponse(Struct, frozen=True, kw_only=True):
    """Outcome of one POST."""

    status: int | None
    """None: there was no response."""
    retry_after: str | None = None
    error: str | None = None
    """Why there was no response."""
    duration_ms: int


class DeliveryAttempt(Struct, frozen=True, kw_only=True):
    """One entry of the delivery log."""

    at: datetime
    event_id: str
    kind: str
    status: int | None
    error: str | None
    """None if delivered."""
    duration_ms: int


class LoggedAttempt(Struct, frozen=True, kw_only=True):
    """A stored entry of the delivery log."""

    attempt_id: int
    attempt: DeliveryAttempt


class Backlog(Struct, frozen=True, kw_only=True):
    """Backlog of all active webhooks."""

    sources: int
    """Outbox rows that are not delivered yet, summed over the webhooks."""
    failing: int
    """Number of webhooks whose next event could not be delivered."""
