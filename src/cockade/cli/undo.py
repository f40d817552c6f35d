"""`cockade undo`"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cockade.cli.job_client import ApiError, JobClient
from cockade.cli.output import show
from cockade.cli.progress import (
    DEFAULT_URL,
    INTERRUPTED,
    LOOK_S,
    STOPPED,
    ProgressReporter,
    SecretOption,
    UrlOption,
    UsernameOption,
    showing_progress,
)
from cockade.errors import SetupError


def undo(
    request_id: Annotated[str, typer.Argument(help="Of the request, or job; `cockade issue` prints it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be revoked; change nothing.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    username: UsernameOption = "",
    secret: SecretOption = "",
) -> None:
    """Revoke all that one request or job gave, with a running service.

    Interrupt it and run it again as you like: the same command goes on, and shows how far it is.

    Exit status: 0 all of it is revoked, or would be; 4 a fault of the service has stopped it; 1 it is refused; 130
    interrupted.
    """
    with showing_progress() as shown, JobClient(url, username, secret, shown.wait) as client:
        try:
            status = _followed(client, request_id, shown, is_dry_run=dry_run)
        except ApiError as error:
            raise SetupError(error.text) from error
        except KeyboardInterrupt:
            shown.say("Interrupted. What has begun goes on; the same command shows it again.")
            status = INTERRUPTED
    raise typer.Exit(status)


def _followed(client: JobClient, request_id: str, shown: ProgressReporter, *, is_dry_run: bool) -> int:
    """Wait for the end, and tell what it came to; answers the exit status."""
    answer = client.undo(request_id, is_dry_run=is_dry_run)
    while "state" in answer:
        shown.undone(answer)
        time.sleep(LOOK_S)
        answer = client.undo(request_id, is_dry_run=False)
        if answer.get("failure"):
            shown.say(answer["failure"])
            return STOPPED
    shown.stop()
    told = {"request id": answer["requestId"]}
    told |= {"would be revoked" if is_dry_run else "revoked": answer["revoked"]}
    show(told | {"revoked before": answer["alreadyRevoked"]}, as_json=False)
    return 0
