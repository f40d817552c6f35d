"""Create, change and test webhooks, and read the delivery log."""

from __future__ import annotations

import base64
import secrets

import msgspec
from msgspec import UNSET

from cockade import ids, times
from cockade.audit.model import Action, Changer
from cockade.audit.rules import changes
from cockade.audit.store import record
from cockade.clock import Clock
from cockade.config import Config, read_networks
from cockade.errors import MALFORMED, FieldError, InvalidInput, OrgNotFound, TooManyWebhooks, WebhookNotFound
from cockade.event import store as event_store
from cockade.ids import OrgId, WebhookId
from cockade.storage.database import Database, Tx
from cockade.webhook import rules, store
from cockade.webhook.model import (
    TEST_KIND,
    WEBHOOKS_MAX,
    DeliveryAttempt,
    LoggedAttempt,
    Webhook,
    WebhookChange,
    WebhookDraft,
)
from cockade.webhook.sender import WebhookClient

SECRET_BYTES = 32


class WebhookService:
    """Manage webhooks. Each method runs one transaction in the org of the caller."""

    def __init__(self, database: Database, clock: Clock, settings: Config) -> None:
        self._database = database
        self._clock = clock
        self._networks = read_networks("webhook_allowed_networks", settings.webhook_allowed_networks)
        self._timeout_s = settings.webhook_timeout_s

    async def create(self, by: Changer, draft: WebhookDraft) -> tuple[Webhook, str]:
        """Create a webhook, and return it with its signing secret. The secret cannot be read again.

        Raises InvalidInput, OrgNotFound and TooManyWebhooks.
        """
        self._require_url(draft.url)
        org_id, now, secret = _org_of(by), self._clock(), _new_secret()
        webhook_id = WebhookId(ids.new_id(int(now.timestamp()), secrets.token_bytes(8)))

        async def body(tx: Tx) -> Webhook:
            if not await store.lock_org(tx, org_id):
                raise OrgNotFound
            if await store.count(tx, org_id) >= WEBHOOKS_MAX:
                raise TooManyWebhooks
            cursor = draft.after or await event_store.find_end(tx, org_id)
            await store.insert(tx, org_id, webhook_id, draft, secret, cursor, now, by.username)
            webhook = await _find(tx, org_id, webhook_id)
            await record(tx, by, now, Action.WEBHOOK_CREATE, webhook_id, _audit_details(webhook))
            return webhook

        return await self._database.transaction("webhook.create", body), secret

    async def update(self, by: Changer, webhook_id: WebhookId, change: WebhookChange) -> Webhook:
        """Change a webhook, and reset its failures. Raises InvalidInput and WebhookNotFound."""
        if change.url is not None:
            self._require_url(change.url)
        org_id, now = _org_of(by), self._clock()

        async def body(tx: Tx) -> Webhook:
            before = await store.lock(tx, org_id, webhook_id)
            if before is None:
                raise WebhookNotFound
            is_active = before.is_active if change.is_active is None else change.is_active
            updated = msgspec.structs.replace(
                before,
                url=change.url or before.url,
                description=before.description if change.description is None else change.description,
                kinds=change.kinds or before.kinds,
                badge_ids=before.badge_ids if change.badge_ids is UNSET else change.badge_ids,
                is_active=is_active,
                disabled_reason=None if is_active else before.disabled_reason,
                cursor=change.after or before.cursor,
            )
            is_cursor_changed = change.after is not None
            await store.update(tx, updated, now, by.username, is_cursor_changed=is_cursor_changed)
            changed = changes(_audit_details(before), _audit_details(updated))
            await record(tx, by, now, Action.WEBHOOK_UPDATE, webhook_id, {"changed": changed})
            return await _find(tx, org_id, webhook_id)

        return await self._database.transaction("webhook.update", body)

    async def get(self, org_id: OrgId, webhook_id: WebhookId) -> Webhook:
        """Return one webhook. Raises WebhookNotFound."""
        return await self._database.transaction("webhook.get", lambda tx: _find(tx, org_id, webhook_id))

    async def list_all(self, org_id: OrgId) -> list[Webhook]:
        """Return all webhooks of the org, oldest first."""
        return await self._database.transaction("webhook.list", lambda tx: store.list_webhooks(tx, org_id))

    async def delete(self, by: Changer, webhook_id: WebhookId) -> None:
        """Delete a webhook and its delivery log. Raises WebhookNotFound."""
        org_id = _org_of(by)

        async def body(tx: Tx) -> None:
            if not await store.delete(tx, org_id, webhook_id):
                raise WebhookNotFound
            await record(tx, by, self._clock(), Action.WEBHOOK_DELETE, webhook_id, {})

        await self._database.transaction("webhook.delete", body)

    async def rotate_secret(self, by: Changer, webhook_id: WebhookId) -> tuple[Webhook, str]:
        """Replace the signing secret, and return the new one. It cannot be read again.

        For 24 hours, deliveries are signed with both. Raises WebhookNotFound.
        """
        org_id, now, secret = _org_of(by), self._clock(), _new_secret()
        until = now + rules.OLD_SECRET_GRACE_PERIOD

        async def body(tx: Tx) -> Webhook:
            if not await store.rotate_secret(tx, org_id, webhook_id, secret, until, now, by.username):
                raise WebhookNotFound
            details = {"oldSecretUntil": times.iso(until)}
            await record(tx, by, now, Action.WEBHOOK_ROTATE_SECRET, webhook_id, details)
            return await _find(tx, org_id, webhook_id)

        return await self._database.transaction("webhook.rotate_secret", body), secret

    async def send_test(self, org_id: OrgId, webhook_id: WebhookId) -> DeliveryAttempt:
        """Send a test message immediately, even if the webhook is inactive, and return the result. Raises
        WebhookNotFound.
        """
        found = await self._database.transaction(
            "webhook.find_secrets", lambda tx: store.find_secrets(tx, org_id, webhook_id)
        )
        if found is None:
            raise WebhookNotFound
        url, signing = found
        now = self._clock()
        event_id = ids.new_id(int(now.timestamp()), secrets.token_bytes(8))
        body = msgspec.json.encode(
            {
                "id": event_id,
                "type": TEST_KIND,
                "timestamp": times.iso(now),
                "data": {"webhookId": webhook_id},
            }
        )
        client = WebhookClient(self._networks, self._timeout_s)
        try:
            response = await client.post(url, event_id, body, rules.signing_secrets(signing, now), now)
        finally:
            await client.close()
        attempt = rules.attempt(response, event_id, TEST_KIND, now)
        await self._database.transaction(
            "webhook.log_test", lambda tx: store.log_attempts(tx, org_id, webhook_id, [attempt])
        )
        return attempt

    async def list_attempts(
        self, org_id: OrgId, webhook_id: WebhookId, before: int | None, size: int, *, only_failed: bool
    ) -> list[LoggedAttempt]:
        """Return at most `size` attempts, newest first, older than attempt `before`. Raises WebhookNotFound."""

        async def body(tx: Tx) -> list[LoggedAttempt]:
            await _find(tx, org_id, webhook_id)
            return await store.list_attempts(tx, org_id, webhook_id, before, size, only_failed=only_failed)

        return await self._database.transaction("webhook.list_attempts", body)

    def _require_url(self, url: str) -> None:
        field_error = rules.url_error(url, self._networks)
        if field_error is not None:
            raise InvalidInput([FieldError(MALFORMED, field_error, "url")])


def _org_of(by: Changer) -> OrgId:
    assert by.org_id is not None, "a webhook belongs to an org"
    return by.org_id


async def _find(tx: Tx, org_id: OrgId, webhook_id: WebhookId) -> Webhook:
    webhook = await store.find(tx, org_id, webhook_id)
    if webhook is None:
        raise WebhookNotFound
    return webhook


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _audit_details(webhook: Webhook) -> dict[str, object]:
    """Return the fields for the audit trail, without the secret."""
    return {
        "url": webhook.url,
        "description": webhook.description,
        "events": webhook.kinds,
        "badgeMetaIds": webhook.badge_ids,
        "isActive": webhook.is_active,
    }
