"""Routes that look up what a request did, and undo it."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter

from cockade import errors
from cockade.api.badge_import.schemas import ImportResponse, import_response
from cockade.api.earning.routes import ShapeParameter
from cockade.api.earning.schemas import (
    EarnBulkEarnedResponse,
    EarnBulkResponse,
    EarnResponse,
    ResponseShape,
    earn_response,
    outcome_response,
)
from cockade.api.job.schemas import JobResponse, job_response
from cockade.api.parameters import DryRunParameter
from cockade.api.request.schemas import (
    EXAMPLE,
    EXAMPLE_PROGRESS,
    EXAMPLE_RESPONSE,
    RevokeRequestBody,
    RevokeRequestResponse,
    UndoingResponse,
    to_request_id,
    undoing_response,
)
from cockade.api.schemas import NO_NUL
from cockade.errors import FieldError, InvalidInput
from cockade.http.envelope import DRY_RUN, Envelope, ErrorEnvelope
from cockade.http.errors import BODY_ERRORS, error_responses, example
from cockade.http.request import ApiRequest, JsonBody
from cockade.job.service import JobService
from cockade.request.model import ImportOutcome, JobReference, RequestKind, RequestOutcome
from cockade.request.service import RequestService
from cockade.undo.model import UndoTask
from cockade.undo.service import UndoService

Told = (
    Envelope[EarnBulkResponse | EarnBulkEarnedResponse | EarnResponse | JobResponse]
    | list[Envelope[ImportResponse] | ErrorEnvelope]
)
"""The responses of all operations that have a request id."""


@get(
    "/requests",
    operation_id="getRequest",
    summary="Look up a request",
    description="Returns the response of the request with this id again, with the statuses at the time of the request. For a job it returns the job. 404 if the id was never used or the request was rejected.",
    tags=["Requests"],
    responses=error_responses(errors.InvalidInput, errors.RequestNotFound),
)
async def get_request(
    request: ApiRequest,
    requests: NamedDependency[RequestService],
    jobs: NamedDependency[JobService],
    request_id: Annotated[
        str | None,
        QueryParameter(
            name="requestId",
            required=True,
            description="The request id.",
            examples=[Example(summary="A request", value="1234")],
            pattern=NO_NUL,
        ),
    ] = None,
    answer: ShapeParameter = ResponseShape.ISSUED,
) -> Response[Told]:
    """Look up a request."""
    if not request_id:
        raise InvalidInput([FieldError(errors.MALFORMED, "requestId is mandatory.", "requestId")])
    outcome = await requests.get(request.user, request_id)
    match outcome:
        case JobReference():
            return Response(Envelope(job_response(await jobs.get(request.user, outcome.request_key))))
        case ImportOutcome():
            return import_response(outcome)  # pyright: ignore[reportReturnType]
        case RequestOutcome(kind=RequestKind.EARN):
            return Response(Envelope(earn_response(outcome)))
        case RequestOutcome():
            return outcome_response(outcome, answer, [])  # pyright: ignore[reportReturnType]


@post(
    "/requests/revoke",
    operation_id="revokeRequest",
    summary="Undo a request",
    description="Revokes everything that an earnBulk, earn, import or job issued, including expired badges, or all enrolments of an issueBulk. A job must have ended. Badges that were already revoked stay as they are, so you can repeat the request. Large requests are undone in the background: status 202 reports the progress; repeat the request until it returns 200. Errors as for getRequest.",
    status_code=200,
    tags=["Requests"],
    responses=error_responses(
        errors.InvalidInput,
        errors.RequestNotFound,
        errors.JobNotEnded,
        errors.PermissionDenied,
        errors.PartiallyCompleted,
        *BODY_ERRORS,
    )
    | {
        200: example("What was revoked", Envelope[RevokeRequestResponse], EXAMPLE_RESPONSE),
        202: example("Progress", Envelope[UndoingResponse], EXAMPLE_PROGRESS),
    },
)
async def revoke_request(
    request: ApiRequest,
    data: Annotated[
        JsonBody[RevokeRequestBody], Body(examples=[Example(summary="A request", value=EXAMPLE)])
    ],
    undo: NamedDependency[UndoService],
    dry_run: DryRunParameter = False,
) -> Response[Envelope[RevokeRequestResponse | UndoingResponse]]:
    """Undo a request."""
    request_id = data.read(to_request_id)
    undone = await (undo.dry_run if dry_run else undo.undo)(request.user, request_id)
    if isinstance(undone, UndoTask):
        return Response(Envelope(undoing_response(undone)), status_code=202)
    answer = RevokeRequestResponse(request_id, undone.revoked, undone.already_revoked)
    return Response(Envelope(answer, [], [DRY_RUN] if dry_run else []))
