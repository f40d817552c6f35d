"""What an entry of the audit trail is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from cockade.ids import BadgeId, OrgId

COMMAND_LINE = "command line"
"""The username in entries of changes that were made there; no credential is called so."""

WORKER = "cockade worker"
"""Likewise of changes that the worker made by itself."""


class Action(StrEnum):
    """The changes that are recorded, by the names of their transactions."""

    ORG_CREATE = "org.create"
    ORG_UPDATE = "org.update"
    CREDENTIAL_CREATE = "credential.create"
    CREDENTIAL_REVOKE = "credential.revoke"
    SIGNING_KEY_ROTATE = "signing_key.rotate"
    SIGNING_KEY_RETIRE = "signing_key.retire"
    BADGE_CREATE = "badge.create"
    BADGE_UPDATE = "badge.update"
    BADGE_ACTIVATE = "badge.activate"
    BADGE_DEACTIVATE = "badge.deactivate"
    BADGE_CLAIM = "badge.claim"
    BADGE_UNCLAIM = "badge.unclaim"
    CREATE_GROUP = "group.create"
    UPDATE_GROUP = "group.update"
    CREATE_FIELD = "custom_field.create"
    UPDATE_FIELD = "custom_field.update"
    CREATE_ORG_META = "org_meta.create"
    UPDATE_ORG_META = "org_meta.update"
    PUT_IDENTIFIERS = "customer.put_identifiers"
    CUSTOMER_ERASE = "customer.erase"
    CUSTOMER_MERGE = "customer.merge"
    EARNING_REVOKE = "earning.revoke"
    """An earned badge."""
    ENROLMENT_REVOKE = "enrolment.revoke"
    """Enrolments in one badge."""
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_UPDATE = "webhook.update"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_ROTATE_SECRET = "webhook.rotate_secret"
    WEBHOOK_DISABLE = "webhook.disable"
    """By the worker: its receiver is gone, or has not taken anything for days."""
    REQUEST_REVOKE = "request.revoke"
    """All that a request gave; of a large one, one entry for each lot."""


class Changer(Protocol):
    """Who changes something, and in which org."""

    @property
    def org_id(self) -> OrgId | None:
        """None where it concerns the service as a whole."""
        ...

    @property
    def username(self) -> str:
        """The credential's, or COMMAND_LINE."""
        ...


class Worker(Struct, frozen=True):
    """The service itself, in the background."""

    org_id: OrgId
    username: str = WORKER


class CommandLine(Struct, frozen=True):
    """Whoever may use the command line."""

    org_id: OrgId | None
    username: str = COMMAND_LINE


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One change."""

    entry_id: int
    """Counts up; of two changes of one thing, the later one has the higher."""
    org_id: OrgId | None
    at: datetime
    username: str
    action: str
    badge_id: BadgeId | None
    """The badge, where it was one or concerned one."""
    subject: str
    """The id or username of what was changed."""
    details: Mapping[str, Any]
    """What else there is to say, by names of the wire."""


class EntryFilter(Struct, frozen=True, kw_only=True):
    """Which entries are wanted; what is None is not asked."""

    org_id: OrgId | None = None
    actions: list[Action] | None = None
    badge_id: BadgeId | None = None
    username: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Up to, but without this instant."""
