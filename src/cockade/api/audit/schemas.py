"""Response schemas of the audit trail."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from cockade.audit.model import Action, AuditRecord
from cockade.errors import MALFORMED, FieldError, InvalidInput
from cockade.http.envelope import json_name, time_fields

ENTRY_ID_MAX = 2**63 - 1


class AuditEntry(Struct, frozen=True, kw_only=True, rename=json_name):
    """One change."""

    id: Annotated[int, Meta(description="Ascending id.")]
    changed_on: Annotated[float, Meta(description="Epoch seconds.")]
    changed_on_iso: str
    username: Annotated[str, Meta(description="Username of the credential, or `command line`.")]
    action: Annotated[str, Meta(description="The action.", examples=[Action.BADGE_CLAIM])]
    badge_meta_id: Annotated[str | None, Meta(description="The badge that was changed or concerned.")]
    subject: Annotated[str, Meta(description="Id or username of what was changed.")]
    details: Annotated[dict[str, Any], Meta(description="Further details, by action.")]


class AuditPage(Struct, frozen=True, kw_only=True, rename=json_name):
    """Changes, newest first."""

    entries: list[AuditEntry]
    next: Annotated[str | None, Meta(description="Send it as `after` to get the next page; null at the end.")]


EXAMPLE_PAGE = AuditPage(
    entries=[
        AuditEntry(
            id=17,
            changed_on=1795443573.325978,
            changed_on_iso="2026-11-23T14:19:33Z",
            username="backend",
            action=Action.BADGE_CLAIM,
            badge_meta_id="653de334b3cda7078c7c68eb",
            subject="653de334b3cda7078c7c68eb",
            details={"ownerType": "Loyalty", "referenceId": "123457"},
        )
    ],
    next="17",
)


def read_after(after: str | None) -> int | None:
    """Parse the cursor of a page. Raises InvalidInput if it is invalid."""
    if after is None:
        return None
    if not (after.isascii() and after.isdigit()) or len(after) > 19 or int(after) > ENTRY_ID_MAX:
        raise InvalidInput(
            [
                FieldError(
                    MALFORMED, "Invalid cursor: send the `next` of the previous page unchanged.", "after"
                )
            ]
        )
    return int(after)


def audit_page(found: list[AuditRecord], size: int) -> AuditPage:
    """Return a page of up to `size` entries. `found` has one more if there is a next page."""
    shown = found[:size]
    return AuditPage(
        entries=[entry_response(entry) for entry in shown],
        next=str(shown[-1].entry_id) if len(found) > size else None,
    )


def entry_response(entry: AuditRecord) -> AuditEntry:
    """Return one change."""
    return AuditEntry(
        id=entry.entry_id,
        **time_fields("changed_on", entry.at),
        username=entry.username,
        action=entry.action,
        badge_meta_id=entry.badge_id,
        subject=entry.subject,
        details=dict(entry.details),
    )
