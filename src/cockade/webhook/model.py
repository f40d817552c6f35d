"""What a webhook is, and what became of deliveries."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import UNSET, Struct, UnsetType

from cockade.event.model import Cursor, EventKind
from cockade.ids import BadgeId, OrgId, WebhookId

WEBHOOKS_MAX = 100
"""So many an org may have."""
URL_CHARS_MAX = 2000
TEST_KIND = "webhookTest"
"""The type of what a test sends; it is no event, and never in the feed."""


class WebhookDraft(Struct, frozen=True, kw_only=True):
    """A webhook as somebody wants to have it."""

    url: str
    description: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    """None: events of all badges."""
    after: Cursor | None
    """Begin behind this place; None: with what happens from now on."""


class WebhookChange(Struct, frozen=True, kw_only=True):
    """What is to become of a webhook; what is None or UNSET stays."""

    url: str | None = None
    description: str | None = None
    kinds: list[EventKind] | None = None
    badge_ids: list[BadgeId] | UnsetType | None = UNSET
    is_active: bool | None = None
    """True also takes it up again where it was disabled."""
    after: Cursor | None = None
    """Go on behind this place, earlier or later than where it is."""


class Webhook(Struct, frozen=True, kw_only=True):
    """An address that events are delivered to."""

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
    """All up to here was delivered."""
    failing_since: datetime | None
    """Since when what comes next could not be delivered."""
    retry_at: datetime | None
    """When it is tried again."""
    backlog: int
    """So many requests and revocations are behind its place; beyond 10,000 they are not counted."""


class Secrets(Struct, frozen=True, kw_only=True):
    """What deliveries are signed with."""

    secret: str
    old_secret: str | None
    old_secret_until: datetime | None


class LeasedWebhook(Struct, frozen=True, kw_only=True):
    """A webhook that a worker has for itself until its lease ends."""

    org_id: OrgId
    webhook_id: WebhookId
    url: str
    kinds: list[EventKind]
    badge_ids: list[BadgeId] | None
    secrets: Secrets
    cursor: Cursor
    delivered_ahead: frozenset[str]
    """Events behind the place that have been delivered already."""
    failures: int
    """Rounds in a row in which nothing was delivered."""
    failing_since: datetime | None


class Progress(Struct, frozen=True, kw_only=True):
    """What a round of deliveries leaves behind."""

    cursor: Cursor
    delivered_ahead: list[str]
    failures: int
    failing_since: datetime | None
    retry_at: datetime | None
    """None: at once."""
    disabled_reason: str | None = None


class DeliveryResult(StrEnum):
    """What an answer means."""

    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    """It is tried again."""
    GONE = "GONE"
    """410: nobody wants any more."""


class DeliveryResponse(Struct, frozen=True, kw_only=True):
    """What came of one POST."""

    status: int | None
    """None: there was no answer."""
    retry_after: str | None = None
    error: str | None = None
    """Why there was no answer."""
    duration_ms: int


class DeliveryAttempt(Struct, frozen=True, kw_only=True):
    """One line of the delivery log."""

    at: datetime
    event_id: str
    kind: str
    status: int | None
    error: str | None
    """None: delivered."""
    duration_ms: int


class LoggedAttempt(Struct, frozen=True, kw_only=True):
    """One line of the delivery log, as it stands there."""

    attempt_id: int
    attempt: DeliveryAttempt


class Backlog(Struct, frozen=True, kw_only=True):
    """What all active webhooks together have before them."""

    sources: int
    """Requests and revocations, each counted for every webhook that is still to look at it."""
    failing: int
    """Webhooks whose next event could not be delivered."""
