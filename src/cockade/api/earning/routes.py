"""Routes that issue badges to customers and revoke them."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter

from cockade import errors, ids
from cockade.api.earning.schemas import (
    EXAMPLE,
    EXAMPLE_EARN,
    EXAMPLE_RESPONSE,
    EXAMPLE_REVOKE,
    EarnBody,
    EarnBulkBody,
    EarnBulkEarnedResponse,
    EarnBulkResponse,
    EarnResponse,
    ResponseShape,
    RevokeEarnBody,
    RevokeEarnResponse,
    duplicate_warnings,
    earn_response,
    issue_command,
    one_customer,
    outcome_response,
    to_command,
)
from cockade.api.parameters import DryRunParameter
from cockade.earning.service import EarningService
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import Envelope, ErrorDetail
from cockade.http.errors import BODY_ERRORS, error_responses, example
from cockade.http.request import ApiRequest, JsonBody
from cockade.ids import CustomerId
from cockade.request.model import IssueCommand
from cockade.request.service import RequestService

ISSUE_ERRORS = (
    errors.InvalidInput,
    errors.RequestIdUsed,
    errors.BadgeNotFound,
    errors.NotLive,
    errors.OwnerNotAllowed,
    errors.NotClaimed,
    errors.EventInFuture,
    errors.EventOutsideBadge,
    errors.PermissionDenied,
    *BODY_ERRORS,
    errors.OutcomeUnknown,
)
"""The errors that reject a request to issue."""

ShapeParameter = Annotated[
    ResponseShape,
    QueryParameter(
        name="answer",
        description="`issued`: one list. `earned`: customers who earned and customers who failed in separate lists.",
    ),
]


@post(
    "/customer/earnBulk",
    operation_id="earnBulk",
    summary="Issue a badge to many customers",
    description="Issues the badge exactly once to each customer. The response has one entry per distinct customer, in the order sent. A customer who fails has an error in their own entry and does not affect the others. With status 200 the whole outcome is durable.",
    status_code=200,
    tags=["Earning"],
    responses=error_responses(*ISSUE_ERRORS)
    | {
        200: example(
            "One customer earned, one already held the badge",
            Envelope[EarnBulkResponse | EarnBulkEarnedResponse],
            EXAMPLE_RESPONSE,
        )
    },
)
async def earn_bulk(
    request: ApiRequest,
    data: Annotated[JsonBody[EarnBulkBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE)])],
    earning: NamedDependency[EarningService],
    requests: NamedDependency[RequestService],
    answer: ShapeParameter = ResponseShape.ISSUED,
    dry_run: DryRunParameter = False,
) -> Response[Envelope[EarnBulkResponse | EarnBulkEarnedResponse]]:
    """Issue a badge to many customers."""

    def convert(body: EarnBulkBody, field_errors: FieldErrors) -> tuple[IssueCommand, list[ErrorDetail]]:
        command = to_command(body, request.context, request.config, field_errors)
        return command, duplicate_warnings(body.customer_ids or [], command.customers)

    command, warnings = data.read(convert)
    if request.replayed_request_id is not None:
        outcome = await requests.get_outcome(request.user, request.replayed_request_id)
    elif dry_run:
        outcome = await earning.dry_run_earn_bulk(request.user, command)
    else:
        outcome = await earning.earn_bulk(request.user, command)
    return outcome_response(outcome, answer, warnings)


@post(
    "/customer/earn",
    operation_id="earn",
    summary="Issue a badge to one customer",
    description="As earnBulk, for one customer. If the customer fails, the request is rejected and the request id stays free.",
    status_code=200,
    tags=["Earning"],
    responses=error_responses(
        *ISSUE_ERRORS,
        errors.NotEnrolled,
        errors.AlreadyHeld,
    ),
)
async def earn(
    request: ApiRequest,
    data: Annotated[JsonBody[EarnBody], Body(examples=[Example(summary="One customer", value=EXAMPLE_EARN)])],
    earning: NamedDependency[EarningService],
    requests: NamedDependency[RequestService],
) -> Envelope[EarnResponse]:
    """Issue a badge to one customer."""

    def convert(body: EarnBody, field_errors: FieldErrors) -> IssueCommand:
        return issue_command(
            body, one_customer(body.customer_id, field_errors), request.context, field_errors
        )

    command = data.read(convert)
    if request.replayed_request_id is not None:
        outcome = await requests.get_outcome(request.user, request.replayed_request_id)
    else:
        outcome = await earning.earn(request.user, command)
    return Envelope(earn_response(outcome))


@post(
    "/customer/revokeEarn",
    operation_id="revokeEarn",
    summary="Revoke an earned badge",
    description="Revokes an earned badge that is valid now or will be. It no longer counts, and the customer can earn the badge again.",
    status_code=200,
    tags=["Earning"],
    responses=error_responses(
        errors.InvalidInput, errors.BadgeNotFound, errors.NotEarned, errors.PermissionDenied, *BODY_ERRORS
    ),
)
async def revoke_earn(
    request: ApiRequest,
    data: Annotated[
        JsonBody[RevokeEarnBody], Body(examples=[Example(summary="One earned badge", value=EXAMPLE_REVOKE)])
    ],
    earning: NamedDependency[EarningService],
) -> Envelope[RevokeEarnResponse]:
    """Revoke an earned badge."""

    def convert(body: RevokeEarnBody, field_errors: FieldErrors) -> tuple[RevokeEarnBody, list[CustomerId]]:
        return body, one_customer(body.customer_id, field_errors)

    body, (customer,) = data.read(convert)
    earned_badge_id = body.earned_badge_id.lower()
    await earning.revoke(request.user, ids.badge_id(body.badge_meta_id), customer, earned_badge_id)
    return Envelope(
        RevokeEarnResponse(
            badge_meta_id=body.badge_meta_id.lower(),
            customer_id=customer,
            earned_badge_id=earned_badge_id,
            is_active=False,
        )
    )
