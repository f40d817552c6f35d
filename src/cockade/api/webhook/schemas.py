"""Request and response schemas of webhooks."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from cockade import ids, times
from cockade.api.schemas import NO_NUL, RecordResponse
from cockade.errors import MALFORMED, FieldError, InvalidInput, WebhookNotFound
from cockade.event import rules as event_rules
from cockade.event.model import Cursor, EventKind
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import json_name, time_fields
from cockade.ids import BadgeId, WebhookId
from cockade.webhook.model import (
    TEST_KIND,
    URL_CHARS_MAX,
    DeliveryAttempt,
    LoggedAttempt,
    Webhook,
    WebhookChange,
    WebhookDraft,
)

BADGES_MAX = 100
"""Maximum number of badges of a webhook."""
ATTEMPT_ID_MAX = 2**63 - 1

Url = Annotated[str, Meta(min_length=1, max_length=URL_CHARS_MAX, pattern=NO_NUL)]
Description = Annotated[str, Meta(max_length=255, pattern=NO_NUL)]
Badges = Annotated[list[str], Meta(min_length=1, max_length=BADGES_MAX)]
CursorText = Annotated[str, Meta(description="A `next` value of the feed.", pattern=NO_NUL)]

EXAMPLE_WEBHOOK = {
    "url": "https://hooks.example.org/badges",
    "description": "The shop's campaign page",
    "events": ["badgeEarned", "badgeRevoked"],
}
EXAMPLE_WEBHOOK_CHANGE = {"isActive": False}


class WebhookBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The desired state of a new webhook."""

    url: Annotated[Url, Meta(description="Must start with https://.")]
    description: Description | None = None
    events: Annotated[
        list[EventKind] | None,
        Meta(description="Event types to deliver. Default: all."),
    ] = None
    badge_meta_ids: Annotated[
        Badges | None, Meta(description="Deliver only events of these badges. Default: all.")
    ] = None
    after: Annotated[
        CursorText | None,
        Meta(description="Deliver only events after this cursor of the feed. Default: future events."),
    ] = None


class WebhookChangeBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """A change of a webhook. Missing fields keep their values."""

    url: Url | None = None
    description: Description | None = None
    events: list[EventKind] | None = None
    badge_meta_ids: Annotated[Badges | UnsetType | None, Meta(description="Null: all badges.")] = UNSET
    is_active: Annotated[
        bool | None, Meta(description="true also enables a webhook that was disabled automatically.")
    ] = None
    after: Annotated[CursorText | None, Meta(description="Continue after this cursor of the feed.")] = None


class WebhookResponse(RecordResponse, frozen=True, kw_only=True, rename=json_name):
    """A webhook, without its secret."""

    url: str
    description: str
    events: list[EventKind]
    badge_meta_ids: list[str] | None
    is_active: bool
    disabled_reason: Annotated[str | None, Meta(description="Why cockade disabled it.")]
    after: Annotated[str, Meta(description="Everything up to this cursor of the feed was delivered.")]
    backlog: Annotated[
        int, Meta(description="Number of requests and revocations after the cursor, counted up to 10,000.")
    ]
    failing_since: Annotated[
        float | None,
        Meta(description="Since when the next event could not be delivered; null: not failing."),
    ]
    failing_since_iso: str | None
    retry_on: Annotated[float | None, Meta(description="Time of the next attempt.")]
    retry_on_iso: str | None


class WebhookWithSecret(WebhookResponse, frozen=True, kw_only=True, rename=json_name):
    """A webhook with the secret that signs its deliveries. The secret is shown only once."""

    secret: Annotated[str, Meta(description="In the format of Standard Webhooks: starts with `whsec_`.")]


class WebhookList(Struct, frozen=True):
    """All webhooks of the org, oldest first."""

    webhooks: list[WebhookResponse]


class DeletedResponse(Struct, frozen=True, rename=json_name):
    """A deleted webhook."""

    id: str
    is_deleted: bool = True


class AttemptResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """One delivery attempt."""

    event_id: str
    event_type: Annotated[str, Meta(description=f"Id of the event, or a generated id for `{TEST_KIND}`.")]
    attempted_on: Annotated[float, Meta(description="Epoch seconds.")]
    attempted_on_iso: str
    is_delivered: bool
    status: Annotated[
        int | None, Meta(description="Status of the receiver's response; null without a response.")
    ]
    error: Annotated[str | None, Meta(description="Why the delivery failed.")]
    duration_ms: int


class AttemptPage(Struct, frozen=True):
    """Delivery attempts, newest first."""

    deliveries: list[AttemptResponse]
    next: Annotated[str | None, Meta(description="Send it as `after` to get the next page; null at the end.")]


EXAMPLE_RESPONSE = WebhookResponse(
    id="0123456789abcdef01234567",
    org_id=1001,
    created_on=1795442899.71158,
    created_on_iso="2026-11-23T14:08:19Z",
    created_by="backend",
    last_updated_on=1795442899.71158,
    last_updated_on_iso="2026-11-23T14:08:19Z",
    last_updated_by="backend",
    url="https://hooks.example.org/badges",
    description="The shop's campaign page",
    events=[EventKind.EARNED, EventKind.REVOKED],
    badge_meta_ids=None,
    is_active=True,
    disabled_reason=None,
    after="000000000000002a7fffffff",
    backlog=0,
    failing_since=None,
    failing_since_iso=None,
    retry_on=None,
    retry_on_iso=None,
)
EXAMPLE_ATTEMPT = AttemptResponse(
    event_id="661681a535bc684e9e72553a",
    event_type=EventKind.EARNED,
    attempted_on=1795637701.5,
    attempted_on_iso="2026-11-25T20:15:01Z",
    is_delivered=False,
    status=503,
    error="The receiver responded with status 503.",
    duration_ms=12,
)


def read_webhook_id(text: str) -> WebhookId:
    """Parse the webhook id of a path. Raises WebhookNotFound if it is invalid."""
    found = ids.read_id(text)
    if found is None:
        raise WebhookNotFound
    return WebhookId(found)


def read_attempt(after: str | None) -> int | None:
    """Parse the cursor of a page. Raises InvalidInput if it is invalid."""
    if after is None:
        return None
    if not (after.isascii() and after.isdigit()) or len(after) > 19 or int(after) > ATTEMPT_ID_MAX:
        raise InvalidInput(
            [
                FieldError(
                    MALFORMED, "Invalid cursor: send the `next` of the previous page unchanged.", "after"
                )
            ]
        )
    return int(after)


def to_webhook(body: WebhookBody, field_errors: FieldErrors) -> WebhookDraft:
    """Return the webhook of the body. The service checks its URL."""
    return WebhookDraft(
        url=body.url,
        description=body.description or "",
        kinds=_kinds(body.events) or list(EventKind),
        badge_ids=_badges(body.badge_meta_ids, field_errors),
        after=_after(body.after, field_errors),
    )


def to_webhook_change(body: WebhookChangeBody, field_errors: FieldErrors) -> WebhookChange:
    """Return the change of the body."""
    badges = body.badge_meta_ids
    return WebhookChange(
        url=body.url,
        description=body.description,
        kinds=_kinds(body.events),
        badge_ids=UNSET if badges is UNSET else _badges(badges, field_errors),
        is_active=body.is_active,
        after=_after(body.after, field_errors),
    )


def webhook_response(webhook: Webhook) -> WebhookResponse:
    """Return a webhook."""
    return WebhookResponse(**_fields(webhook))


def webhook_with_secret(webhook: Webhook, secret: str) -> WebhookWithSecret:
    """Return a webhook with its secret."""
    return WebhookWithSecret(**_fields(webhook), secret=secret)


def attempt_response(attempt: DeliveryAttempt) -> AttemptResponse:
    """Return one attempt."""
    return AttemptResponse(
        event_id=attempt.event_id,
        event_type=attempt.kind,
        **time_fields("attempted_on", attempt.at),
        is_delivered=attempt.error is None,
        status=attempt.status,
        error=attempt.error,
        duration_ms=attempt.duration_ms,
    )


def attempt_page(found: list[LoggedAttempt], size: int) -> AttemptPage:
    """Return a page of up to `size` attempts. `found` has one more if there is a next page."""
    shown = found[:size]
    return AttemptPage(
        [attempt_response(logged.attempt) for logged in shown],
        str(shown[-1].attempt_id) if len(found) > size else None,
    )


def _fields(webhook: Webhook) -> dict[str, Any]:
    failing, retry = webhook.failing_since, webhook.retry_at
    return {
        "id": webhook.webhook_id,
        "org_id": webhook.org_id,
        **time_fields("created_on", webhook.created_at),
        "created_by": webhook.created_by,
        **time_fields("last_updated_on", webhook.updated_at),
        "last_updated_by": webhook.updated_by,
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.kinds,
        "badge_meta_ids": webhook.badge_ids,
        "is_active": webhook.is_active,
        "disabled_reason": webhook.disabled_reason,
        "after": event_rules.encode_cursor(webhook.cursor),
        "backlog": webhook.backlog,
        "failing_since": failing and times.epoch(failing),
        "failing_since_iso": failing and times.iso(failing),
        "retry_on": retry and times.epoch(retry),
        "retry_on_iso": retry and times.iso(retry),
    }


def _kinds(sent: list[EventKind] | None) -> list[EventKind] | None:
    """Remove duplicates. Errors of unreadable values are already added."""
    return list(dict.fromkeys(kind for kind in sent if kind)) if sent else None


def _badges(sent: list[str] | None, field_errors: FieldErrors) -> list[BadgeId] | None:
    found: list[BadgeId] = []
    for place, text in enumerate(sent or []):
        badge_id = ids.badge_id(text or "")
        if badge_id is None:
            field_errors.add(f"badgeMetaIds[{place}]", "A badge id must be 24 hex digits.")
        else:
            found.append(badge_id)
    return list(dict.fromkeys(found)) if sent else None


def _after(sent: str | None, field_errors: FieldErrors) -> Cursor | None:
    place = None if sent is None else event_rules.decode_cursor(sent)
    if sent is not None and place is None:
        field_errors.add("after", "Invalid cursor: send a `next` of the feed unchanged.")
    return place
