"""The `cockade audit` command."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
import typer

from cockade import ids, times
from cockade.audit.model import Action, AuditRecord, EntryFilter
from cockade.cli.credential import ORG_ID_MAX
from cockade.cli.output import AsJson, show
from cockade.cli.services import with_services
from cockade.ids import BadgeId, OrgId
from cockade.times import iso


def audit(
    org: Annotated[int | None, typer.Option(min=1, max=ORG_ID_MAX, help="Filter by org id.")] = None,
    action: Annotated[list[Action] | None, typer.Option(help="Filter by action. Can be repeated.")] = None,
    badge: Annotated[str | None, typer.Option(help="Filter by badge id.")] = None,
    username: Annotated[str | None, typer.Option(help="Filter by username.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Filter by time: at or after.")] = None,
    until: Annotated[str | None, typer.Option(help="Filter by time: before.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Maximum number of entries; the newest are shown.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List the entries of the audit trail, newest first."""
    wanted = EntryFilter(
        org_id=None if org is None else OrgId(org),
        actions=action or None,
        badge_id=_badge_id(badge),
        username=username,
        since=_instant(since, "--from"),
        until=_instant(until, "--until"),
    )
    found = with_services(lambda services: services.audit.list_entries(wanted, None, limit))
    show([_record(entry, as_json=as_json) for entry in found], as_json=as_json)


def _badge_id(text: str | None) -> BadgeId | None:
    found = None if text is None else ids.badge_id(text)
    if text is not None and found is None:
        raise typer.BadParameter(f"Invalid badge id {text!r}: must be 24 hex digits.", param_hint="--badge")
    return found


def _instant(text: str | None, option: str) -> datetime | None:
    try:
        return None if text is None else times.read_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _record(entry: AuditRecord, *, as_json: bool) -> dict[str, Any]:
    details = entry.details
    return {
        "id": entry.entry_id,
        "changedOn": iso(entry.at),
        "orgId": entry.org_id,
        "username": entry.username,
        "action": entry.action,
        "badgeMetaId": entry.badge_id,
        "subject": entry.subject,
        "details": details if as_json else msgspec.json.encode(details).decode(),
    }
