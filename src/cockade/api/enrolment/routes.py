"""Routes that enrol customers and revoke enrolments."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.api.earning.routes import ISSUE_ERRORS
from cockade.api.earning.schemas import (
    EarnBulkEarnedResponse,
    EarnBulkResponse,
    ResponseShape,
    outcome_response,
)
from cockade.api.enrolment.schemas import (
    EXAMPLE_ISSUE,
    EXAMPLE_REVOKE,
    IssueBulkBody,
    RevokeIssueBody,
    RevokeIssueResponse,
    revocation_response,
    to_issue_command,
    to_revocation,
)
from cockade.api.parameters import DryRunParameter
from cockade.enrolment.model import RevokeIssue
from cockade.enrolment.service import EnrolmentService
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import Envelope, ErrorDetail
from cockade.http.errors import BODY_ERRORS, error_responses
from cockade.http.request import ApiRequest, JsonBody
from cockade.request.model import IssueCommand
from cockade.request.service import RequestService


@post(
    "/badgeMeta/customer/issueBulk",
    operation_id="issueBulk",
    summary="Enrol many customers in a badge",
    description="Enrols customers in an ISSUE_EARN badge, which they can then earn within the window of their enrolment. The response is the same as for earnBulk, with enrolments instead of earned badges.",
    status_code=200,
    tags=["Enrolment"],
    responses=error_responses(*ISSUE_ERRORS, errors.EnrolmentNotSupported),
)
async def issue_bulk(
    request: ApiRequest,
    data: Annotated[
        JsonBody[IssueBulkBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE_ISSUE)])
    ],
    enrolments: NamedDependency[EnrolmentService],
    requests: NamedDependency[RequestService],
    dry_run: DryRunParameter = False,
) -> Response[Envelope[EarnBulkResponse | EarnBulkEarnedResponse]]:
    """Enrol many customers."""

    def convert(body: IssueBulkBody, field_errors: FieldErrors) -> tuple[IssueCommand, list[ErrorDetail]]:
        return to_issue_command(body, request.context, request.config, field_errors)

    command, warnings = data.read(convert)
    if request.replayed_request_id is not None:
        outcome = await requests.get_outcome(request.user, request.replayed_request_id)
    elif dry_run:
        outcome = await enrolments.dry_run_issue_bulk(request.user, command)
    else:
        outcome = await enrolments.issue_bulk(request.user, command)
    return outcome_response(outcome, ResponseShape.ISSUED, warnings)


@post(
    "/badgeMeta/customer/revokeIssue",
    operation_id="revokeIssue",
    summary="Revoke enrolments",
    description="Revokes all active enrolments of the given customers, single enrolments, or both. Badges earned through them stay.",
    status_code=200,
    tags=["Enrolment"],
    responses=error_responses(
        errors.InvalidInput, errors.BadgeNotFound, errors.PermissionDenied, *BODY_ERRORS
    ),
)
async def revoke_issue(
    request: ApiRequest,
    data: Annotated[
        JsonBody[RevokeIssueBody], Body(examples=[Example(summary="One customer", value=EXAMPLE_REVOKE)])
    ],
    enrolments: NamedDependency[EnrolmentService],
) -> Envelope[RevokeIssueResponse]:
    """Revoke enrolments."""

    def convert(body: RevokeIssueBody, field_errors: FieldErrors) -> RevokeIssue:
        return to_revocation(body, request.config, field_errors)

    return Envelope(revocation_response(*await enrolments.revoke(request.user, data.read(convert))))
