"""The `cockade signing-key` commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cockade.auth.model import SigningKeyInfo
from cockade.cli.output import AsJson, show
from cockade.cli.services import with_services
from cockade.times import iso

app = typer.Typer(help="Manage the keys that sign OAuth tokens.", no_args_is_help=True)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the keys, without secrets. The newest key signs tokens; all keys verify them."""
    keys = with_services(lambda services: services.auth.list_signing_keys())
    show([_record(key) for key in keys], as_json=as_json)


@app.command("rotate")
def rotate(as_json: AsJson = False) -> None:
    """Create a new key, which signs all new tokens. Tokens signed with older keys stay valid."""
    show(_record(with_services(lambda services: services.auth.rotate_signing_key())), as_json=as_json)


@app.command("retire")
def retire(
    key_id: Annotated[str, typer.Argument(help="Key id (see `cockade signing-key list`).")],
    as_json: AsJson = False,
) -> None:
    """Delete a key. Tokens signed with it are rejected within a minute. To avoid that, wait until
    `lastTokenEndsOn`.
    """
    with_services(lambda services: services.auth.retire_signing_key(key_id))
    show({"keyId": key_id, "retired": True}, as_json=as_json)


def _record(key: SigningKeyInfo) -> dict[str, Any]:
    ends_at = key.last_token_expires_at
    return {
        "keyId": key.key_id,
        "createdOn": iso(key.created_at),
        "signs": key.signs,
        "lastTokenEndsOn": None if ends_at is None else iso(ends_at),
    }
