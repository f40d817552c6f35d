"""The `cockade undo` command."""

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
    request_id: Annotated[
        str, typer.Argument(help="Request id of the request or job (`cockade issue` prints it).")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would be revoked, without changing anything.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    username: UsernameOption = "",
    secret: SecretOption = "",
) -> None:
    """Revoke all badges that a request or job issued, through a running service.

    You can interrupt the command at any time. The undo continues in the service; run the same command again
    to follow it.

    Exit status: 0 = all revoked (or would be, with --dry-run); 4 = stopped by an error in the service; 1 =
    the undo was rejected or the service is unreachable; 130 = interrupted.
    """
    with showing_progress() as shown, JobClient(url, username, secret, shown.wait) as client:
        try:
            status = _followed(client, request_id, shown, is_dry_run=dry_run)
        except ApiError as error:
            raise SetupError(error.text) from error
        except KeyboardInterrupt:
            shown.say("Interrupted. A started undo continues; run the same command again to follow it.")
            status = INTERRUPTED
    raise typer.Exit(status)


def _followed(client: JobClient, request_id: str, shown: ProgressReporter, *, is_dry_run: bool) -> int:
    """Wait until the undo ends and print the result. Return the exit status."""
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
    show(told | {"already revoked": answer["alreadyRevoked"]}, as_json=False)
    return 0
