"""Request and response schemas of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from msgspec import Meta, Struct

from cockade import ids, times
from cockade.api.earning.schemas import EventBody, issue_command
from cockade.api.schemas import TriggeredBy
from cockade.customer.model import IdentifierKind
from cockade.http import decoding
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import Pagination, json_name, paginate, time_fields
from cockade.http.request import ApiRequest
from cockade.ids import RequestKey
from cockade.job import rules
from cockade.job.model import (
    PARQUET,
    AudienceFormat,
    AudienceLayout,
    Job,
    JobCommand,
    JobState,
)
from cockade.job.service import job_id
from cockade.request.model import OwnerType

FORMATS = {
    "text/csv": AudienceFormat.CSV,
    "application/x-ndjson": AudienceFormat.NDJSON,
    "application/ndjson": AudienceFormat.NDJSON,
    "application/jsonl": AudienceFormat.NDJSON,
    PARQUET: AudienceFormat.CSV,
}
"""The stored format of each content type. Parquet is converted to the CSV of its customer column."""
BOOLEANS = {"true": True, "false": False}


class JobFields(EventBody, frozen=True, kw_only=True, rename=json_name):
    """The query parameters of a request that starts a job."""

    column: str | None = None
    identifier: IdentifierKind | None = None
    dry_run: bool = False


class RefusedCount(Struct, frozen=True):
    """The number of customers that failed for one reason."""

    code: int
    message: str
    count: int


class JobCounts(Struct, frozen=True, kw_only=True):
    """Counts of lines by outcome. They add up to `decided`; with undecided lines to `lines`."""

    lines: Annotated[int, Meta(description="Lines of the audience, without empty ones.")]
    decided: Annotated[int, Meta(description="Lines processed so far.")]
    issued: Annotated[
        int, Meta(description="Customers that earned the badge; in a dry run, that would earn it.")
    ]
    refused: Annotated[list[RefusedCount], Meta(description="Customers that failed, by reason.")]
    repeated: Annotated[int, Meta(description="Lines whose customer occurs in an earlier line.")]
    malformed: Annotated[int, Meta(description="Invalid lines. Known when the upload is complete.")]
    unknown: Annotated[
        int, Meta(description="Lines with an unknown identifier. Known when the upload is complete.")
    ]


class JobResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """A job and its progress."""

    job_id: Annotated[str, Meta(description="16 hex digits.")]
    request_id: str
    badge_meta_id: str
    triggered_by: TriggeredBy
    earn_event_date: Annotated[float, Meta(description="The event date of all customers, in epoch seconds.")]
    earn_event_date_iso: str
    dry_run: Annotated[bool, Meta(description="Whether the job only decides and changes nothing.")]
    state: JobState
    failure: Annotated[str | None, Meta(description="Why the job failed.")]
    counts: JobCounts
    percentage: Annotated[float, Meta(description="Percentage of processed lines; 100 means all.")]
    rate_per_second: Annotated[
        float | None, Meta(description="Lines per second, recent average; null unless the job is running.")
    ]
    seconds_left: Annotated[float | None, Meta(description="Estimated seconds left at this rate.")]
    created_by: str
    created_on: Annotated[float, Meta(description="Epoch seconds.")]
    created_on_iso: str
    started_on: float | None
    started_on_iso: str | None
    finished_on: float | None
    finished_on_iso: str | None


class JobPage(Struct, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: list[JobResponse]
    pagination: Pagination


EXAMPLE_ID = "6746e2a100000001"
EXAMPLE = JobResponse(
    job_id=EXAMPLE_ID,
    request_id="spring-campaign",
    badge_meta_id="653de334b3cda7078c7c68eb",
    triggered_by=TriggeredBy(OwnerType.LOYALTY, "123457"),
    earn_event_date=1732600000.0,
    earn_event_date_iso="2024-11-26T05:46:40Z",
    dry_run=False,
    state=JobState.RUNNING,
    failure=None,
    counts=JobCounts(
        lines=5_000_000,
        decided=1_250_000,
        issued=1_249_990,
        refused=[RefusedCount(1040, rules.MESSAGES[1040], 7)],
        repeated=1,
        malformed=2,
        unknown=0,
    ),
    percentage=25.0,
    rate_per_second=180_000.0,
    seconds_left=20.8,
    created_by="backend",
    created_on=1732600001.0,
    created_on_iso="2024-11-26T05:46:41Z",
    started_on=1732600004.0,
    started_on_iso="2024-11-26T05:46:44Z",
    finished_on=None,
    finished_on_iso=None,
)


EXAMPLE_PAGE = JobPage(jobs=[EXAMPLE], pagination=paginate(0, 10, 1))


@dataclass
class AudienceOperation(Operation):
    """Documents a body that is streamed."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        self.request_body = RequestBody(
            description="The audience, one customer per line.",
            required=True,
            content={
                "text/csv": OpenAPIMediaType(
                    schema=text, examples={"ids": Example(value="customerId\n62090013\n553162563\n")}
                ),
                "application/x-ndjson": OpenAPIMediaType(
                    schema=text, examples={"ids": Example(value='{"customerId": 62090013}\n553162563\n')}
                ),
                PARQUET: OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
                ),
            },
        )


def to_command(request: ApiRequest) -> JobCommand:
    """Return the command of the query. Raises InvalidInput with all errors."""
    format_ = _format(request.headers.get("Content-Type"))

    def convert(fields: JobFields, field_errors: FieldErrors) -> JobCommand:
        bulk = issue_command(fields, [], request.context, field_errors)
        if format_ is None:
            field_errors.add(
                "Content-Type", f"Send the audience as text/csv, application/x-ndjson or {PARQUET}."
            )
        return JobCommand(
            request_id=bulk.request_id,
            badge_id=bulk.badge_id,
            event_at=bulk.event_at,
            owner_type=bulk.owner_type,
            reference_id=bulk.reference_id,
            layout=AudienceLayout(
                format=format_ or AudienceFormat.CSV, column=fields.column, identifier=fields.identifier
            ),
            is_dry_run=fields.dry_run,
        )

    return decoding.read(msgspec.json.encode(_sent(request.query_params.dict())), JobFields, convert)


def _sent(query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the query in the form of an earnBulk body."""
    sent: dict[str, Any] = {name: values[-1] for name, values in query.items()}
    owner = {name: sent.pop(name) for name in ("ownerType", "referenceId") if name in sent}
    if "dryRun" in sent:
        sent["dryRun"] = BOOLEANS.get(sent["dryRun"], sent["dryRun"])
    return sent | {"triggeredBy": owner}


def _format(content_type: str | None) -> AudienceFormat | None:
    return FORMATS.get(media_type(content_type))


def media_type(content_type: str | None) -> str:
    return (content_type or "text/csv").partition(";")[0].strip().lower()


def read_job_id(text: str) -> RequestKey | None:
    """Parse a job id. Return None if it is invalid."""
    place = ids.earned_badge_place(f"{text}00000000")
    return None if place is None else place[0]


def job_response(job: Job) -> JobResponse:
    """Return the job with its progress."""
    counts = job.counts
    return JobResponse(
        job_id=job_id(job.job_key),
        request_id=job.request_id,
        badge_meta_id=job.badge_id,
        triggered_by=TriggeredBy(job.owner_type, job.reference_id),
        **time_fields("earn_event_date", job.event_at),
        dry_run=job.is_dry_run,
        state=job.state,
        failure=job.error,
        counts=JobCounts(
            lines=job.lines,
            decided=job.processed,
            issued=counts.issued,
            refused=[
                RefusedCount(code, rules.MESSAGES[code], count)
                for code, count in sorted(counts.failed.items())
            ],
            repeated=counts.duplicates,
            malformed=counts.malformed,
            unknown=counts.unknown,
        ),
        percentage=rules.percentage(job),
        rate_per_second=None if job.rate is None else round(job.rate, 1),
        seconds_left=None if (left := rules.seconds_left(job)) is None else round(left, 1),
        created_by=job.created_by,
        **time_fields("created_on", job.created_at),
        started_on=job.started_at and times.epoch(job.started_at),
        started_on_iso=job.started_at and times.iso(job.started_at),
        finished_on=job.finished_at and times.epoch(job.finished_at),
        finished_on_iso=job.finished_at and times.iso(job.finished_at),
    )


def job_page(found: list[Job], page: int, size: int, total: int) -> JobPage:
    """Return a page of jobs."""
    return JobPage(jobs=[job_response(job) for job in found], pagination=paginate(page, size, total))
