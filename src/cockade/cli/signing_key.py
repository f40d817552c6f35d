"""`cockade signing-key …`"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cockade.auth.model import SigningKeyInfo
from cockade.cli.output import AsJson, show
from cockade.cli.services import with_services
from cockade.times import iso

app = typer.Typer(help="The keys that OAuth tokens are signed with.", no_args_is_help=True)


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """Show the keys: the newest signs, all verify. The secrets are not shown."""
    keys = with_services(lambda services: services.auth.list_signing_keys())
    show([_record(key) for key in keys], as_json=as_json)


@app.command("rotate")
def rotate(as_json: AsJson = False) -> None:
    """Make a new key. It signs from now on; tokens of the others go on working."""
    show(_record(with_services(lambda services: services.auth.rotate_signing_key())), as_json=as_json)


@app.command("retire")
def retire(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `list` shows it.")], as_json: AsJson = False
) -> None:
    """Forget a key. Its tokens end within a minute; none are left once its last token has ended."""
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
