"""The `cockade issue` command."""

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
"""Exit status: the job is completed, but some lines were not issued."""
GOING_ON = ("queued", "running")
RESUMABLE = ("paused", "failed")

AudienceOption = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        readable=True,
        help="Audience file. The extension selects the format: .ndjson, .jsonl or .parquet, otherwise CSV. A final .gz means gzip.",
    ),
]
ColumnOption = Annotated[
    str | None,
    typer.Option(
        help="Column with the customers. Default: the only column, or the column `customerId` or `id`."
    ),
]
IdentifierOption = Annotated[
    IdentifierKind | None, typer.Option(help="Type of identifier in the column. Default: customer id.")
]
RequestIdOption = Annotated[
    str | None,
    typer.Option(
        help="Request id. Default: a hash of the file and options, so that the same command finds the same job."
    ),
]
RefusedOption = Annotated[
    Path | None,
    typer.Option(help="File for the lines that were not issued. Default: next to the audience file."),
]


def issue(
    badge: Annotated[str, typer.Option(help="Badge id.")],
    owner: Annotated[OwnerType, typer.Option(help="Module that issues the badge.")],
    reference: Annotated[str, typer.Option(help="Reference id of the module's claim on the badge.")],
    audience: AudienceOption,
    column: ColumnOption = None,
    identifier: IdentifierOption = None,
    event_date: Annotated[
        str | None, typer.Option(help="Time at which the badge is earned. Default: now.")
    ] = None,
    request_id: RequestIdOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report the result without changing anything.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the job if it is paused or failed.")
    ] = False,
    refused: RefusedOption = None,
    url: UrlOption = DEFAULT_URL,
    username: UsernameOption = "",
    secret: SecretOption = "",
) -> None:
    """Issue a badge to the customers in a file, through a running service.

    You can interrupt the command at any time. The job continues in the service; run the same command again to
    follow it.

    Exit status: 0 = issued to all; 3 = some lines were not issued, see the file of refused lines; 4 = the job
    is paused, cancelled or failed; 1 = the job could not be started; 130 = interrupted.
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
            shown.say("Interrupted. A started job continues; run the same command again to follow it.")
            status = INTERRUPTED
    raise typer.Exit(status)


def _suffix(wish: JobRequest) -> str:
    return ".ndjson" if "json" in wish.headers["Content-Type"] else ".csv"


def _request_id(audience: Path, parameters: dict[str, str]) -> str:
    """Derive the request id from the file's content and the options."""
    with audience.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(repr(sorted(parameters.items())).encode())
    return f"issue-{digest.hexdigest()[:40]}"


def _begun(client: JobClient, wish: JobRequest, shown: ProgressReporter, *, resume: bool) -> Answer:
    """Return the existing job of this request id, or start a new one."""
    job = client.find(wish)
    if job is not None and wish.is_dry_run and job["state"] not in GOING_ON:
        job = None  # a finished dry run may be outdated, so start a new one
    if job is None:
        size = wish.audience.stat().st_size
        return client.start(wish, lambda sent: shown.sent(sent, size))
    shown.say(f"Following existing job {job['jobId']}, created {job['createdOnISO']}, state {job['state']}.")
    if resume and job["state"] in RESUMABLE:
        return client.resume(job["jobId"])
    return job


def _followed(client: JobClient, job: Answer, shown: ProgressReporter, place: Path) -> int:
    """Wait until the job ends and print the result. Return the exit status."""
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
            shown.say(f"Lines that were not issued, with reasons: {place}")
        except ApiError as error:
            shown.say(error.text)
    if job["state"] != "completed":
        if job["state"] in RESUMABLE:
            shown.say("Run the same command with --resume to continue.")
        return STOPPED
    return REFUSED if counts["issued"] < counts["lines"] else 0


def summary(job: Answer) -> dict[str, Any]:
    """Return the counts by outcome for display."""
    counts = job["counts"]
    rows: dict[str, Any] = {
        "job": job["jobId"],
        "request id": job["requestId"],
        "state": job["state"] + (" (dry run, no changes)" if job["dryRun"] else ""),
        "lines": counts["lines"],
        "issued": counts["issued"],
    }
    rows |= {f"failed, {each['code']}": f"{each['count']}  {each['message']}" for each in counts["refused"]}
    rows |= {name: counts[name] for name in ("repeated", "malformed", "unknown") if counts[name]}
    left = counts["lines"] - counts["decided"]
    return rows | ({"not processed": left} if left else {})
