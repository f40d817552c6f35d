"""`cockade issue`"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cockade.cli.job_client import Answer, ApiError, JobClient, JobRequest
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
from cockade.customer.model import IdentifierKind
from cockade.errors import SetupError
from cockade.request.model import OwnerType

REFUSED = 3
"""Exit status: the job is completed, and some lines were not issued to."""
GOING_ON = ("queued", "running")
RESUMABLE = ("paused", "failed")

AudienceOption = Annotated[
    Path,
    typer.Option(
        exists=True, dir_okay=False, readable=True, help="CSV; NDJSON or Parquet by its name; .gz too."
    ),
]
ColumnOption = Annotated[
    str | None, typer.Option(help="The column with the customers; else the only one, customerId or id.")
]
IdentifierOption = Annotated[
    IdentifierKind | None, typer.Option(help="What the column has, where that is no customer id.")
]
RequestIdOption = Annotated[
    str | None, typer.Option(help="Else made of the file and the options: the same again is the same job.")
]
RefusedOption = Annotated[
    Path | None, typer.Option(help="Where refused lines are written; else beside the audience.")
]


def issue(
    badge: Annotated[str, typer.Option(help="The badge's id.")],
    owner: Annotated[OwnerType, typer.Option(help="The module that issues.")],
    reference: Annotated[str, typer.Option(help="The reference of its claim on the badge.")],
    audience: AudienceOption,
    column: ColumnOption = None,
    identifier: IdentifierOption = None,
    event_date: Annotated[str | None, typer.Option(help="When it was earned; else now.")] = None,
    request_id: RequestIdOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would happen; change nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the job if it is paused or failed.")
    ] = False,
    refused: RefusedOption = None,
    url: UrlOption = DEFAULT_URL,
    username: UsernameOption = "",
    secret: SecretOption = "",
) -> None:
    """Issue a badge to an audience that is a file, with a running service.

    Interrupt it and run it again as you like: the same command finds the job that it has begun, which goes on meanwhile.

    Exit status: 0 all were issued to; 3 some were not, see the file of refused lines; 4 the job is paused, cancelled or
    has failed; 1 it could not be started; 130 interrupted.
    """
    given = {"column": column, "identifier": identifier and identifier.value, "earnEventDate": event_date}
    parameters = {"badgeMetaId": badge, "ownerType": owner.value, "referenceId": reference}
    parameters |= {name: value for name, value in given.items() if value is not None}
    parameters["requestId"] = request_id or _request_id(audience, parameters)
    parameters |= {"dryRun": "true"} if dry_run else {}
    wish = JobRequest(audience=audience, parameters=parameters, is_dry_run=dry_run)
    place = refused or audience.with_name(f"{audience.name.partition('.')[0]}.refused{_suffix(wish)}")
    with showing_progress() as shown, JobClient(url, username, secret, shown.wait) as client:
        try:
            job = _begun(client, wish, shown, resume=resume)
            status = _followed(client, job, shown, place)
        except ApiError as error:
            raise SetupError(error.text) from error
        except KeyboardInterrupt:
            shown.say("Interrupted. A job that has begun goes on; the same command shows it again.")
            status = INTERRUPTED
    raise typer.Exit(status)


def _suffix(wish: JobRequest) -> str:
    return ".ndjson" if "json" in wish.headers["Content-Type"] else ".csv"


def _request_id(audience: Path, parameters: dict[str, str]) -> str:
    """The same for the same file and options, and for nothing else."""
    with audience.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(repr(sorted(parameters.items())).encode())
    return f"issue-{digest.hexdigest()[:40]}"


def _begun(client: JobClient, wish: JobRequest, shown: ProgressReporter, *, resume: bool) -> Answer:
    """The job: one that there is already, or a new one."""
    job = client.find(wish)
    if job is not None and wish.is_dry_run and job["state"] not in GOING_ON:
        job = None  # what would happen is asked of today
    if job is None:
        size = wish.audience.stat().st_size
        return client.start(wish, lambda sent: shown.sent(sent, size))
    shown.say(f"This is job {job['jobId']} of {job['createdOnISO']}, which is {job['state']}.")
    if resume and job["state"] in RESUMABLE:
        return client.resume(job["jobId"])
    return job


def _followed(client: JobClient, job: Answer, shown: ProgressReporter, place: Path) -> int:
    """Wait for the end of the job, and tell how it ended; answers the exit status."""
    while job["state"] in GOING_ON:
        shown.decided(job)
        time.sleep(LOOK_S)
        job = client.get(job["jobId"])
    shown.decided(job)
    shown.stop()
    show(summary(job), as_json=False)
    if job["failure"]:
        shown.say(job["failure"])
    counts = job["counts"]
    is_over = job["state"] in ("completed", "cancelled")
    if is_over and counts["issued"] < counts["lines"]:
        try:
            client.save_refused(job["jobId"], place)
            shown.say(f"The lines that were not issued to, with the reasons: {place}")
        except ApiError as error:
            shown.say(error.text)
    if job["state"] != "completed":
        if job["state"] in RESUMABLE:
            shown.say("The same command with --resume goes on with it.")
        return STOPPED
    return REFUSED if counts["issued"] < counts["lines"] else 0


def summary(job: Answer) -> dict[str, Any]:
    """The counts by outcome, as people read them."""
    counts = job["counts"]
    told: dict[str, Any] = {
        "job": job["jobId"],
        "request id": job["requestId"],
        "state": job["state"] + (" (dry run: nothing was changed)" if job["dryRun"] else ""),
        "lines": counts["lines"],
        "issued": counts["issued"],
    }
    told |= {f"refused, {each['code']}": f"{each['count']}  {each['message']}" for each in counts["refused"]}
    told |= {name: counts[name] for name in ("repeated", "malformed", "unknown") if counts[name]}
    left = counts["lines"] - counts["decided"]
    return told | ({"not decided": left} if left else {})
