"""Route handlers of jobs."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from cockade import errors
from cockade.api.earning.routes import ISSUE_ERRORS
from cockade.api.idempotency import WITHOUT_KEYS
from cockade.api.job.files import refused_file, results_file
from cockade.api.job.schemas import (
    EXAMPLE,
    EXAMPLE_ID,
    EXAMPLE_PAGE,
    AudienceOperation,
    JobPage,
    JobResponse,
    job_page,
    job_response,
    read_job_id,
    to_command,
)
from cockade.api.job.upload import audience, drain_body
from cockade.api.parameters import Page, Size
from cockade.api.schemas import NO_NUL
from cockade.customer.model import IdentifierKind
from cockade.errors import CockadeError, JobFilesDeleted
from cockade.http.envelope import Envelope
from cockade.http.errors import error_responses, example
from cockade.http.request import ApiRequest
from cockade.job.model import AudienceFormat, Job
from cockade.job.service import JobService
from cockade.job.service import job_id as id_of

JOBS = "/customer/earnBulk/jobs"
JobPathId = Annotated[
    str,
    PathParameter(
        description="Job id, 16 hex digits.", examples=[Example(summary="A job", value=EXAMPLE_ID)]
    ),
]
ONE_JOB = {200: example("A job at 25 %", Envelope[JobResponse], EXAMPLE)}

# The query parameters of a job. The framework gets them as text, because it would report only one invalid
# parameter. They are parsed together, like a body.
BadgeParameter = Annotated[
    str | None,
    QueryParameter(
        name="badgeMetaId",
        description="Badge id. Mandatory.",
        examples=[Example(summary="A badge", value="653de334b3cda7078c7c68eb")],
    ),
]
OwnerParameter = Annotated[
    str | None,
    QueryParameter(
        name="ownerType",
        description="The module that issues. Mandatory.",
        examples=[Example(summary="Loyalty", value="Loyalty")],
    ),
]
ReferenceParameter = Annotated[
    str | None,
    QueryParameter(
        name="referenceId",
        description="The reference id of the owner's claim. Mandatory.",
        examples=[Example(summary="A claim", value="123457")],
    ),
]
RequestIdParameter = Annotated[
    str | None, QueryParameter(name="requestId", description="Your unique id of this request.")
]
EventParameter = Annotated[
    str | None, QueryParameter(name="earnEventDate", description="When the badge is earned. Default: now.")
]
ColumnParameter = Annotated[str | None, QueryParameter(description="The column or field with the customer.")]
IdentifierParameter = Annotated[
    str | None,
    QueryParameter(
        description="Type of identifier in the column. Default: customer id.",
        schema_extra={"enum": [kind.value for kind in IdentifierKind], "type": "string"},
    ),
]
DryRunParameter = Annotated[
    str | None,
    QueryParameter(
        name="dryRun",
        description="Only decide, and change nothing.",
        schema_extra={"enum": ["true", "false"], "type": "string"},
    ),
]

CREATING = "The fields of earnBulk are query parameters, and the body is the audience: CSV, NDJSON or Parquet, optionally gzipped, of any length, one customer per line. When 202 is returned, the audience is stored and the job is queued."
CHANGING = (
    error_responses(errors.InvalidInput, errors.JobNotFound, errors.JobEnded, errors.PermissionDenied)
    | ONE_JOB
)


@post(
    JOBS,
    operation_id="createJob",
    summary="Issue a badge to the customers in a file",
    description=CREATING,
    status_code=202,
    tags=["Jobs"],
    request_max_body_size=None,
    operation_class=AudienceOperation,
    # The body is a stream, and the request id already prevents a second job.
    opt={WITHOUT_KEYS: True},
    responses=error_responses(*ISSUE_ERRORS, errors.UploadSuperseded, errors.ParquetNotInstalled)
    | {202: example("The job", Envelope[JobResponse], EXAMPLE)},
)
async def create_job(
    request: ApiRequest,
    jobs: NamedDependency[JobService],
    badge_meta_id: BadgeParameter = None,
    owner_type: OwnerParameter = None,
    reference_id: ReferenceParameter = None,
    request_id: RequestIdParameter = None,
    earn_event_date: EventParameter = None,
    column: ColumnParameter = None,
    identifier: IdentifierParameter = None,
    dry_run: DryRunParameter = None,
) -> Response[Envelope[JobResponse]]:
    """Store the audience while it is received."""
    try:
        command = to_command(request)
        async with aclosing(audience(request, command.layout)) as pieces:
            job = await jobs.start(request.user, command, pieces)
    except CockadeError:
        await drain_body(request)
        raise
    place = f"{request.scope['path'].rstrip('/')}/{id_of(job.job_key)}"
    return Response(Envelope(job_response(job)), status_code=202, headers={"Location": place})


@get(
    JOBS,
    operation_id="listJobs",
    summary="List jobs",
    description="Newest first.",
    tags=["Jobs"],
    responses=error_responses(errors.InvalidInput)
    | {200: example("One job", Envelope[JobPage], EXAMPLE_PAGE)},
)
async def list_jobs(
    request: ApiRequest,
    jobs: NamedDependency[JobService],
    request_id: Annotated[
        str | None,
        QueryParameter(name="requestId", description="Only jobs with this request id.", pattern=NO_NUL),
    ] = None,
    page: Page = 0,
    size: Size = 10,
) -> Envelope[JobPage]:
    """Return a page of jobs."""
    found, total = await jobs.list_page(request.user, request_id, page, size)
    return Envelope(job_page(found, page, size, total))


@get(
    JOBS + "/{job_id:str}",
    operation_id="getJob",
    summary="Get a job and its progress",
    tags=["Jobs"],
    responses=error_responses(errors.InvalidInput, errors.JobNotFound) | ONE_JOB,
)
async def get_job(
    request: ApiRequest, jobs: NamedDependency[JobService], job_id: JobPathId
) -> Envelope[JobResponse]:
    """Return the job."""
    return Envelope(job_response(await jobs.get(request.user, read_job_id(job_id))))


@put(
    JOBS + "/{job_id:str}/pause",
    operation_id="pauseJob",
    summary="Pause a job",
    description="The current chunk is finished; then nothing more is issued until the job is resumed.",
    tags=["Jobs"],
    responses=CHANGING,
)
async def pause_job(
    request: ApiRequest, jobs: NamedDependency[JobService], job_id: JobPathId
) -> Envelope[JobResponse]:
    """Repeating it has no effect."""
    return Envelope(job_response(await jobs.pause(request.user, read_job_id(job_id))))


@put(
    JOBS + "/{job_id:str}/resume",
    operation_id="resumeJob",
    summary="Resume a job",
    description="For a job that is paused or has failed.",
    tags=["Jobs"],
    responses=CHANGING,
)
async def resume_job(
    request: ApiRequest, jobs: NamedDependency[JobService], job_id: JobPathId
) -> Envelope[JobResponse]:
    """Repeating it has no effect."""
    return Envelope(job_response(await jobs.resume(request.user, read_job_id(job_id))))


@put(
    JOBS + "/{job_id:str}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    description="Nothing more is issued. Issued badges stay. This cannot be undone.",
    tags=["Jobs"],
    responses=CHANGING,
)
async def cancel_job(
    request: ApiRequest, jobs: NamedDependency[JobService], job_id: JobPathId
) -> Envelope[JobResponse]:
    """Repeating it has no effect."""
    return Envelope(job_response(await jobs.cancel(request.user, read_job_id(job_id))))


@get(
    JOBS + "/{job_id:str}/results",
    operation_id="getJobResults",
    summary="Download the result of every line",
    description="CSV: the customer as sent, the customer id, the earned badge (for 1040 the conflicting one), and for failed lines a code and a message.",
    tags=["Jobs"],
    media_type="text/csv",
    responses=error_responses(errors.InvalidInput, errors.JobNotFound, errors.JobFilesDeleted),
)
async def get_job_results(
    request: ApiRequest, jobs: NamedDependency[JobService], job_id: JobPathId
) -> Stream:
    """Stream the results."""
    job = await _with_files(request, jobs, job_id)
    return Stream(results_file(job, jobs.chunks(job)), media_type="text/csv; charset=utf-8")


@get(
    JOBS + "/{job_id:str}/refused",
    operation_id="getJobRefused",
    summary="Download the failed lines",
    description="The lines as sent, in the same columns, with the reason in one more column. The file can be sent again as an audience.",
    tags=["Jobs"],
    media_type="text/csv",
    responses=error_responses(errors.InvalidInput, errors.JobNotFound, errors.JobFilesDeleted),
)
async def get_job_refused(
    request: ApiRequest, jobs: NamedDependency[JobService], job_id: JobPathId
) -> Stream:
    """Stream the failed lines."""
    job = await _with_files(request, jobs, job_id)
    is_csv = job.layout.format is AudienceFormat.CSV
    media_type = "text/csv; charset=utf-8" if is_csv else AudienceFormat.NDJSON.value
    return Stream(refused_file(job, jobs.chunks(job)), media_type=media_type)


async def _with_files(request: ApiRequest, jobs: JobService, sent_id: str) -> Job:
    job = await jobs.get(request.user, read_job_id(sent_id))
    if not job.files_retained:
        raise JobFilesDeleted(reference="jobId")
    return job
