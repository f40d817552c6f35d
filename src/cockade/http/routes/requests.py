"""Asking what a request did, and undoing it: the handlers."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter

from cockade import errors
from cockade.errors import Fault, InvalidInput
from cockade.http.earnings import (
    AnswerShape,
    EarnAnswer,
    EarnBulkAnswer,
    EarnedAnswer,
    answer_outcome,
    earn_answer,
)
from cockade.http.errors import BODIES, documented, example
from cockade.http.imports import ImportAnswer, answer_import
from cockade.http.jobs import JobAnswer, job_answer
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.routes.earning import AnswerParameter, DryRunParameter
from cockade.http.undoings import (
    EXAMPLE,
    EXAMPLE_ANSWER,
    EXAMPLE_PROGRESS,
    RevokeRequestAnswer,
    RevokeRequestBody,
    UndoingAnswer,
    to_request_id,
    undoing_answer,
)
from cockade.http.wire import DRY_RUN, NO_NUL, Envelope, Failure
from cockade.job.service import JobService
from cockade.request.model import ImportOutcome, JobRequest, RequestKind, RequestOutcome
from cockade.request.service import RequestService
from cockade.undoing.model import Undoing
from cockade.undoing.service import UndoingService

Told = (
    Envelope[EarnBulkAnswer | EarnedAnswer | EarnAnswer | JobAnswer] | list[Envelope[ImportAnswer] | Failure]
)
"""What any call that takes a request id answers."""


@get(
    "/requests",
    operation_id="getRequest",
    summary="What a request did",
    description="The answer that the request with this id got, again, with statuses as they were decided. "
    "Of a job it is the job. 404 where the id was never used, or where its request was refused as a whole.",
    tags=["Requests"],
    responses=documented(errors.InvalidInput, errors.RequestNotFound),
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
    answer: AnswerParameter = AnswerShape.ISSUED,
) -> Response[Told]:
    """The stored outcome."""
    if not request_id:
        raise InvalidInput([Fault(errors.MALFORMED, "requestId is mandatory.", "requestId")])
    outcome = await requests.get(request.user, request_id)
    match outcome:
        case JobRequest():
            return Response(Envelope(job_answer(await jobs.get(request.user, outcome.request_key))))
        case ImportOutcome():
            return answer_import(outcome)  # pyright: ignore[reportReturnType]
        case RequestOutcome(kind=RequestKind.EARN):
            return Response(Envelope(earn_answer(outcome)))
        case RequestOutcome():
            return answer_outcome(outcome, answer, [])  # pyright: ignore[reportReturnType]


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
    responses=documented(
        errors.InvalidInput,
        errors.RequestNotFound,
        errors.NotEnded,
        errors.NotAllowed,
        errors.Unfinished,
        *BODIES,
    )
    | {
        200: example("What was revoked", Envelope[RevokeRequestAnswer], EXAMPLE_ANSWER),
        202: example("How far it is", Envelope[UndoingAnswer], EXAMPLE_PROGRESS),
    },
)
async def revoke_request(
    request: ApiRequest,
    data: Annotated[
        JsonBody[RevokeRequestBody], Body(examples=[Example(summary="A request", value=EXAMPLE)])
    ],
    undoing: NamedDependency[UndoingService],
    dry_run: DryRunParameter = False,
) -> Response[Envelope[RevokeRequestAnswer | UndoingAnswer]]:
    """All that it gave."""
    request.exchange.is_dry_run = dry_run
    request_id = data.read(to_request_id)
    undone = await (undoing.dry_run if dry_run else undoing.undo)(request.user, request_id)
    if isinstance(undone, Undoing):
        return Response(Envelope(undoing_answer(undone)), status_code=202)
    answer = RevokeRequestAnswer(request_id, undone.revoked, undone.already_revoked)
    return Response(Envelope(answer, [], [DRY_RUN] if dry_run else []))
