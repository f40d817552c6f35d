"""Types of the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from cockade.ids import BadgeId, OrgId

COMMAND_LINE = "command line"
"""Username of changes made on the command line. No credential can have this name."""

WORKER = "cockade worker"
"""Username of changes made by the worker itself. No credential can have this name."""


class Action(StrEnum):
    """Recorded changes, named after their transactions."""

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
    """Revoked an earned badge."""
    ENROLMENT_REVOKE = "enrolment.revoke"
    """Revoked enrolments in one badge."""
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_UPDATE = "webhook.update"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_ROTATE_SECRET = "webhook.rotate_secret"
    WEBHOOK_DISABLE = "webhook.disable"
    """Disabled by the worker: the receiver returned 410, or has accepted nothing for days."""
    REQUEST_REVOKE = "request.revoke"
    """Undid a request. A large request has one entry per batch."""


class Changer(Protocol):
    """A user or process that makes changes, and its org."""

    @property
    def org_id(self) -> OrgId | None:
        """None for changes of the whole service."""
        ...

    @property
    def username(self) -> str:
        """The username of the credential, COMMAND_LINE or WORKER."""
        ...


class Worker(Struct, frozen=True):
    """The worker process."""

    org_id: OrgId
    username: str = WORKER


class CommandLine(Struct, frozen=True):
    """A user of the command line."""

    org_id: OrgId | None
    username: str = COMMAND_LINE


class AuditRecord(Struct, frozen=True, kw_only=True):
    """One change."""

    entry_id: int
    """Ascending. Of two changes of one object, the later one has the higher id."""
    org_id: OrgId | None
    at: datetime
    username: str
    action: str
    badge_id: BadgeId | None
    """The badge that was changed or concerned, if any."""
    subject: str
    """The id or username of the changed object."""
    details: Mapping[str, Any]
    """Details with the field names of the API."""


class EntryFilter(Struct, frozen=True, kw_only=True):
    """Filter of audit entries. Criteria that are None do not filter."""

    org_id: OrgId | None = None
    actions: list[Action] | None = None
    badge_id: BadgeId | None = None
    username: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
