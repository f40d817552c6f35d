"""The `cockade credential` commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cockade.app import Services
from cockade.audit.model import COMMAND_LINE, WORKER
from cockade.auth.model import TOKEN_TTL_MINUTES_MAX, AccessGroup, NewCredential
from cockade.cli.output import AsJson, show
from cockade.cli.services import with_services
from cockade.ids import OrgId
from cockade.times import iso

app = typer.Typer(help="Manage API credentials.", no_args_is_help=True)

ORG_ID_MAX = 2**31 - 1
Username = Annotated[str, typer.Option("--name", help="Username for Basic authentication. Must be unique.")]


@app.command("create")
def create(
    org: Annotated[int, typer.Option(min=1, max=ORG_ID_MAX, help="Org id.")],
    name: Username,
    access_group: Annotated[
        AccessGroup,
        typer.Option(
            help="`default` allows the whole API; `read-only` allows only requests that change nothing."
        ),
    ] = AccessGroup.DEFAULT,
    token_ttl_minutes: Annotated[
        int, typer.Option(min=1, max=TOKEN_TTL_MINUTES_MAX, help="Lifetime of its OAuth tokens in minutes.")
    ] = TOKEN_TTL_MINUTES_MAX,
    secret_stdin: Annotated[
        bool,
        typer.Option(
            "--secret-stdin",
            help="Read the Basic secret from standard input instead of generating one.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a credential. Its secrets are shown only once."""
    if not name or ":" in name or "\0" in name:
        raise typer.BadParameter(
            'The username must not be empty and must not contain ":" or a null character.',
            param_hint="--name",
        )
    if name in (COMMAND_LINE, WORKER):
        raise typer.BadParameter(
            f"{name!r} is reserved for cockade's own entries in the audit trail. Choose another username.",
            param_hint="--name",
        )
    secret = sys.stdin.readline().rstrip("\r\n") if secret_stdin else None
    if secret == "":
        raise typer.BadParameter(
            "Standard input is empty; it must contain the secret.", param_hint="--secret-stdin"
        )

    async def work(services: Services) -> NewCredential:
        return await services.auth.create_credential(
            OrgId(org), name, secret=secret, access_group=access_group, token_ttl_minutes=token_ttl_minutes
        )

    new = with_services(work)
    record = {
        "orgId": new.org_id,
        "username": new.username,
        "secret": new.secret,
        "clientKey": new.client_key,
        "clientSecret": new.client_secret,
        "accessGroup": new.access_group.value,
        "tokenTtlMinutes": new.token_ttl_minutes,
    }
    show(record, as_json=as_json)
    if not as_json:
        typer.echo("The secrets are stored only as hashes and cannot be shown again.")


@app.command("list")
def list_all(
    org: Annotated[int | None, typer.Option(min=1, max=ORG_ID_MAX, help="Filter by org id.")] = None,
    as_json: AsJson = False,
) -> None:
    """List credentials, without secrets."""
    found = with_services(
        lambda services: services.auth.list_credentials(None if org is None else OrgId(org))
    )
    records = [
        {
            "username": credential.caller.username,
            "orgId": credential.caller.org_id,
            "accessGroup": credential.caller.access_group.value,
            "clientKey": credential.client_key,
            "tokenTtlMinutes": credential.token_ttl_s // 60,
            "createdOn": iso(credential.created_at),
            "revokedOn": None if credential.revoked_at is None else iso(credential.revoked_at),
        }
        for credential in found
    ]
    show(records, as_json=as_json)


@app.command("revoke")
def revoke(name: Username, as_json: AsJson = False) -> None:
    """Revoke a credential. Running services stop accepting it within a minute."""
    with_services(lambda services: services.auth.revoke_credential(name))
    show({"username": name, "revoked": True}, as_json=as_json)
