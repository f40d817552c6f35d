"""Entries of the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from cockade.ids import BadgeId, OrgId

COMMAND_LINE = "command line"
"""The username of changes by the command line. No credential can have it."""

WORKER = "cockade worker"
"""The username of changes by the worker."""


class Action(StrEnum):
    """The recorded changes, named like their transactions."""

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
    """By the worker: the receiver is gone or has failed for days."""
    REQUEST_REVOKE = "request.revoke"
    """Everything that a request issued. A large request has one entry per batch."""


class Changer(Protocol):
    """Who changes something, and in which org."""

    @property
    def org_id(self) -> OrgId | None:
        """None if the change concerns the whole service."""
        ...

    @property
    def username(self) -> str:
        """The credential's username, or COMMAND_LINE."""
        ...


class Worker(Struct, frozen=True):
    """The background worker."""

    org_id: OrgId
    username: str = WORKER


class CommandLine(Struct, frozen=True):
    """A user of the command line."""

    org_id: OrgId | None
    username: str = COMMAND_LINE


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One change."""

    entry_id: int
    """Ascending: of two changes of one thing, the later one has the higher id."""
    org_id: OrgId | None
    at: datetime
    username: str
    action: str
    badge_id: BadgeId | None
    """The badge that was changed or concerned."""
    subject: str
    """Id or username of what was changed."""
    details: Mapping[str, Any]
    """Further details, by API name."""


class EntryFilter(Struct, frozen=True, kw_only=True):
    """Filters of entries. None disables a filter."""

    org_id: OrgId | None = None
    actions: list[Action] | None = None
    badge_id: BadgeId | None = None
    username: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Excludes this instant."""
