"""The `cockade webhook` commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cockade import ids
from cockade.audit.model import CommandLine
from cockade.cli.credential import ORG_ID_MAX
from cockade.cli.output import AsJson, show
from cockade.cli.services import with_services
from cockade.event.model import EventKind
from cockade.event.rules import encode_cursor
from cockade.ids import BadgeId, OrgId, WebhookId
from cockade.times import iso
from cockade.webhook.model import DeliveryAttempt, LoggedAttempt, Webhook, WebhookChange, WebhookDraft

app = typer.Typer(help="Manage the webhooks that deliver an org's events.", no_args_is_help=True)

OfOrg = Annotated[int, typer.Option("--org", min=1, max=ORG_ID_MAX, help="Org id.")]
TheWebhook = Annotated[str, typer.Argument(help="Webhook id.")]
Kinds = Annotated[
    list[EventKind] | None,
    typer.Option("--event", help="Event type to deliver. Can be repeated. Default of `create`: all types."),
]
Badges = Annotated[
    list[str] | None,
    typer.Option(
        "--badge",
        help="Deliver only events of this badge id. Can be repeated. Default of `create`: all badges.",
    ),
]


@app.command("create")
def create(
    org: OfOrg,
    url: Annotated[str, typer.Option(help="URL to deliver to; must start with https://.")],
    description: Annotated[str, typer.Option(help="Description.")] = "",
    event: Kinds = None,
    badge: Badges = None,
    as_json: AsJson = False,
) -> None:
    """Create a webhook. Its secret is shown only once."""
    draft = WebhookDraft(
        url=url,
        description=description,
        kinds=list(dict.fromkeys(event or EventKind)),
        badge_ids=_badge_ids(badge),
        after=None,
    )
    webhook, secret = with_services(lambda services: services.webhooks.create(CommandLine(OrgId(org)), draft))
    show({**_record(webhook), "secret": secret}, as_json=as_json)


@app.command("list")
def list_all(org: OfOrg, as_json: AsJson = False) -> None:
    """List the org's webhooks, without secrets."""
    found = with_services(lambda services: services.webhooks.list_all(OrgId(org)))
    show([_record(webhook) for webhook in found], as_json=as_json)


@app.command("update")
def update(
    webhook: TheWebhook,
    org: OfOrg,
    url: Annotated[str | None, typer.Option(help="New URL.")] = None,
    description: Annotated[str | None, typer.Option(help="New description.")] = None,
    event: Kinds = None,
    badge: Badges = None,
    as_json: AsJson = False,
) -> None:
    """Change a webhook. Options that you omit keep their values."""
    change = WebhookChange(
        url=url, description=description, kinds=list(dict.fromkeys(event)) if event else None
    )
    if badge:
        change = WebhookChange(
            url=change.url, description=change.description, kinds=change.kinds, badge_ids=_badge_ids(badge)
        )
    _change(webhook, org, change, as_json=as_json)


@app.command("enable")
def enable(webhook: TheWebhook, org: OfOrg, as_json: AsJson = False) -> None:
    """Enable a webhook. Delivery continues after the last delivered event."""
    _change(webhook, org, WebhookChange(is_active=True), as_json=as_json)


@app.command("disable")
def disable(webhook: TheWebhook, org: OfOrg, as_json: AsJson = False) -> None:
    """Disable a webhook until it is enabled again."""
    _change(webhook, org, WebhookChange(is_active=False), as_json=as_json)


@app.command("delete")
def delete(webhook: TheWebhook, org: OfOrg, as_json: AsJson = False) -> None:
    """Delete a webhook and its delivery log."""
    webhook_id = _webhook_id(webhook)
    with_services(lambda services: services.webhooks.delete(CommandLine(OrgId(org)), webhook_id))
    show({"webhookId": webhook_id, "deleted": True}, as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(webhook: TheWebhook, org: OfOrg, as_json: AsJson = False) -> None:
    """Create a new secret, which is shown only once. For 24 hours, deliveries are also signed with the old
    secret.
    """
    webhook_id = _webhook_id(webhook)
    changed, secret = with_services(
        lambda services: services.webhooks.rotate_secret(CommandLine(OrgId(org)), webhook_id)
    )
    show({**_record(changed), "secret": secret}, as_json=as_json)


@app.command("test")
def send_test(webhook: TheWebhook, org: OfOrg, as_json: AsJson = False) -> None:
    """Send a test event now and show the result. Exit status 1 if the delivery failed."""
    webhook_id = _webhook_id(webhook)
    attempt = with_services(lambda services: services.webhooks.send_test(OrgId(org), webhook_id))
    show(_attempt(attempt), as_json=as_json)
    if attempt.error is not None:
        raise typer.Exit(1)


@app.command("log")
def log(
    webhook: TheWebhook,
    org: OfOrg,
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Show only failed deliveries.")] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Maximum number of entries; the newest are shown.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List delivery attempts, newest first."""
    webhook_id = _webhook_id(webhook)
    found: list[LoggedAttempt] = with_services(
        lambda services: services.webhooks.list_attempts(
            OrgId(org), webhook_id, None, limit, only_failed=only_failed
        )
    )
    show([_attempt(logged.attempt) for logged in found], as_json=as_json)


def _change(webhook: str, org: int, change: WebhookChange, *, as_json: bool) -> None:
    webhook_id = _webhook_id(webhook)
    changed = with_services(
        lambda services: services.webhooks.update(CommandLine(OrgId(org)), webhook_id, change)
    )
    show(_record(changed), as_json=as_json)


def _webhook_id(text: str) -> WebhookId:
    found = ids.read_id(text)
    if found is None:
        raise typer.BadParameter(f"Invalid webhook id {text!r}: must be 24 hex digits.", param_hint="WEBHOOK")
    return WebhookId(found)


def _badge_ids(texts: list[str] | None) -> list[BadgeId] | None:
    found: list[BadgeId] = []
    for text in texts or []:
        badge_id = ids.badge_id(text)
        if badge_id is None:
            raise typer.BadParameter(
                f"Invalid badge id {text!r}: must be 24 hex digits.", param_hint="--badge"
            )
        found.append(badge_id)
    return list(dict.fromkeys(found)) or None


def _record(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhookId": webhook.webhook_id,
        "url": webhook.url,
        "description": webhook.description,
        "events": ", ".join(webhook.kinds),
        "badgeMetaIds": None if webhook.badge_ids is None else ", ".join(webhook.badge_ids),
        "isActive": webhook.is_active,
        "disabledReason": webhook.disabled_reason,
        "after": encode_cursor(webhook.cursor),
        "backlog": webhook.backlog,
        "failingSince": None if webhook.failing_since is None else iso(webhook.failing_since),
    }


def _attempt(attempt: DeliveryAttempt) -> dict[str, Any]:
    return {
        "attemptedOn": iso(attempt.at),
        "eventId": attempt.event_id,
        "eventType": attempt.kind,
        "status": attempt.status,
        "error": attempt.error,
        "durationMs": attempt.duration_ms,
    }
