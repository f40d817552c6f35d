"""Asking what a request did, and undoing it: the handlers."""

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
"""What any call that takes a request id answers."""


@get(
    "/requests",
    operation_id="getRequest",
    summary="What a request did",
    description="The answer that the request with this id got, again, with statuses as they were decided. "
    "Of a job it is the job. 404 where the id was never used, or where its request was refused as a whole.",
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
            description="The id that was sent.",
            examples=[Example(summary="A request", value="1234")],
            pattern=NO_NUL,
        ),
    ] = None,
    answer: ShapeParameter = ResponseShape.ISSUED,
) -> Response[Told]:
    """The stored outcome."""
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
    description="Revokes all that an earnBulk, earn, import or job issued, what has expired too, or all enrolments of "
    "an issueBulk. A job has to have ended. What was revoked before is left alone, so again is the same. 404 as of getRequest. "
    "More than one call can issue is undone in the background: 202 tells how far that is, each time the call is sent "
    "again, until it is done.",
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
        202: example("How far it is", Envelope[UndoingResponse], EXAMPLE_PROGRESS),
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
    """All that it gave."""
    request_id = data.read(to_request_id)
    undone = await (undo.dry_run if dry_run else undo.undo)(request.user, request_id)
    if isinstance(undone, UndoTask):
        return Response(Envelope(undoing_response(undone)), status_code=202)
    answer = RevokeRequestResponse(request_id, undone.revoked, undone.already_revoked)
    return Response(Envelope(answer, [], [DRY_RUN] if dry_run else []))
