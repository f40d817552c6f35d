"""The `cockade org` commands."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from cockade.auth.model import Org
from cockade.cli.output import AsJson, show
from cockade.cli.services import with_services
from cockade.ids import OrgId
from cockade.times import iso

app = typer.Typer(help="Manage orgs (tenants).", no_args_is_help=True)


def _check_zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ValueError, OSError, KeyError):
        raise typer.BadParameter(f"{name!r} is not an IANA time zone such as Europe/Berlin.") from None


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the org.")],
    time_zone: Annotated[
        str,
        typer.Option(
            callback=_check_zone,
            help="IANA time zone, such as Europe/Berlin. It defines when days and months begin.",
        ),
    ] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Create an org."""
    if not name.strip():
        raise typer.BadParameter("The name must not be empty.", param_hint="NAME")
    show(_record(with_services(lambda services: services.auth.create_org(name, time_zone))), as_json=as_json)


@app.command("update")
def update(
    org_id: Annotated[int, typer.Argument(help="Org id (see `cockade org list`).")],
    request_id_is_key: Annotated[
        bool,
        typer.Option(
            help="Treat requestId as an idempotency key: a repeated requestId returns the first response instead of error 809."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Change a setting of an org. Running services apply it within a minute."""
    changed = with_services(
        lambda services: services.auth.set_request_id_is_key(OrgId(org_id), request_id_is_key)
    )
    show(_record(changed), as_json=as_json)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List all orgs."""
    orgs = with_services(lambda services: services.auth.list_orgs())
    show([_record(org) for org in orgs], as_json=as_json)


def _record(org: Org) -> dict[str, Any]:
    return {
        "orgId": org.org_id,
        "name": org.name,
        "timeZone": org.time_zone,
        "requestIdIsKey": org.request_id_is_key,
        "createdOn": iso(org.created_at),
    }
