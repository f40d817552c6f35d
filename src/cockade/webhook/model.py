"""Webhooks and their deliveries."""

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
"""The type of a test delivery. It is not an event and never in the feed."""


class WebhookDraft(Struct, frozen=True, kw_only=True):
    """The desired state of a new webhook."""

    url: str
    description: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    """None: events of all badges."""
    after: Cursor | None
    """Deliver events after this cursor. None: only future events."""


class WebhookChange(Struct, frozen=True, kw_only=True):
    """A change of a webhook. Fields with None or UNSET keep their values."""

    url: str | None = None
    description: str | None = None
    kinds: list[EventKind] | None = None
    badge_ids: list[BadgeId] | UnsetType | None = UNSET
    is_active: bool | None = None
    """True also enables a webhook that was disabled automatically."""
    after: Cursor | None = None
    """Continue after this cursor, which may be earlier or later than the current one."""


class Webhook(Struct, frozen=True, kw_only=True):
    """A URL to which events are delivered."""

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
    """Why the worker disabled it."""
    cursor: Cursor
    """Everything up to here was delivered."""
    failing_since: datetime | None
    """Since when the next event could not be delivered."""
    retry_at: datetime | None
    """Time of the next attempt."""
    backlog: int
    """Number of requests and revocations after its cursor, counted up to 10,000."""


class Secrets(Struct, frozen=True, kw_only=True):
    """The secrets that sign deliveries."""

    secret: str
    old_secret: str | None
    old_secret_until: datetime | None


class LeasedWebhook(Struct, frozen=True, kw_only=True):
    """A webhook that a worker delivers to exclusively until its lease expires."""

    org_id: OrgId
    webhook_id: WebhookId
    url: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    secrets: Secrets
    cursor: Cursor
    delivered_ahead: frozenset[str]
    """Events after the cursor that are already delivered."""
    failures: int
    """Number of consecutive rounds without a delivery."""
    failing_since: datetime | None


class Progress(Struct, frozen=True, kw_only=True):
    """The result of a round of deliveries."""

    cursor: Cursor
    delivered_ahead: list[str]
    failures: int
    failing_since: datetime | None
    retry_at: datetime | None
    """None: immediately."""
    disabled_reason: str | None = None


class DeliveryResult(StrEnum):
    """The meaning of a response."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    """To be retried."""
    GONE = "GONE"
    """Status 410: the receiver wants no more events."""


class DeliveryResponse(Struct, frozen=True, kw_only=True):
    """The response to one POST."""

    status: int | None
    """None without a response."""
    retry_after: str | None = None
    error: str | None = None
    """Why there was no response."""
    duration_ms: int


class DeliveryAttempt(Struct, frozen=True, kw_only=True):
    """An entry of the delivery log."""

    at: datetime
    event_id: str
    kind: str
    status: int | None
    error: str | None
    """None if delivered."""
    duration_ms: int


class LoggedAttempt(Struct, frozen=True, kw_only=True):
    """A stored entry of the delivery log, with its id."""

    attempt_id: int
    attempt: DeliveryAttempt


class Backlog(Struct, frozen=True, kw_only=True):
    """The backlog of all active webhooks."""

    sources: int
    """Requests and revocations, counted once for every webhook that has not processed them."""
    failing: int
    """Number of webhooks whose next event could not be delivered."""
