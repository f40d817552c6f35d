"""Issuing badges to customers, and taking them back: the handlers. Their wire structs are in `cockade.http.earnings`."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter

from cockade import errors, ids
from cockade.earning.service import EarningService
from cockade.http.body import Faults
from cockade.http.earnings import (
    EXAMPLE,
    EXAMPLE_ANSWER,
    EXAMPLE_EARN,
    EXAMPLE_REVOKE,
    AnswerShape,
    EarnAnswer,
    EarnBody,
    EarnBulkAnswer,
    EarnBulkBody,
    EarnedAnswer,
    RevokeEarnAnswer,
    RevokeEarnBody,
    answer_outcome,
    command_of,
    earn_answer,
    one_customer,
    repeats,
    to_command,
)
from cockade.http.errors import BODIES, documented, example
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.wire import Envelope, ErrorDetail
from cockade.ids import CustomerId
from cockade.request.model import BulkCommand

ISSUING = (
    errors.InvalidInput,
    errors.RequestIdUsed,
    errors.BadgeNotFound,
    errors.NotLive,
    errors.OwnerNotAllowed,
    errors.NotClaimed,
    errors.EventInFuture,
    errors.EventOutsideBadge,
    errors.NotAllowed,
    *BODIES,
    errors.OutcomeUnknown,
)
"""How a call that issues can fail as a whole."""

AnswerParameter = Annotated[
    AnswerShape,
    QueryParameter(
        name="answer", description="`issued`: one list. `earned`: the earned and the failed apart."
    ),
]


DryRunParameter = Annotated[
    bool,
    QueryParameter(
        name="dryRun",
        description="Only tell what would happen now: change nothing, and use no request id up.",
    ),
]


@post(
    "/customer/earnBulk",
    operation_id="earnBulk",
    summary="Issue a badge to many customers",
    description="Each exactly once. One entry per distinct customer in the order sent; a customer who is refused "
    "hides nobody else's result. All of the outcome is durable when 200 is answered.",
    status_code=200,
    tags=["Earning"],
    responses=documented(*ISSUING)
    | {
        200: example(
            "One earned, one held it already", Envelope[EarnBulkAnswer | EarnedAnswer], EXAMPLE_ANSWER
        )
    },
)
async def earn_bulk(
    request: ApiRequest,
    data: Annotated[JsonBody[EarnBulkBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE)])],
    earning: NamedDependency[EarningService],
    answer: AnswerParameter = AnswerShape.ISSUED,
    dry_run: DryRunParameter = False,
) -> Response[Envelope[EarnBulkAnswer | EarnedAnswer]]:
    """One call, any number of customers."""

    def convert(body: EarnBulkBody, faults: Faults) -> tuple[BulkCommand, list[ErrorDetail]]:
        command = to_command(body, request.exchange, request.config, faults)
        return command, repeats(body.customer_ids or [], command.customers)

    command, warnings = data.read(convert)
    request.exchange.is_dry_run = dry_run
    carry_out = earning.dry_run_earn_bulk if dry_run else earning.earn_bulk
    return answer_outcome(await carry_out(request.user, command), answer, warnings)


@post(
    "/customer/earn",
    operation_id="earn",
    summary="Issue a badge to one customer",
    description="As earnBulk, but a refusal of the customer is the whole answer, and does not use the request id up.",
    status_code=200,
    tags=["Earning"],
    responses=documented(
        *ISSUING,
        errors.NotEnrolled,
        errors.AlreadyHeld,
    ),
)
async def earn(
    request: ApiRequest,
    data: Annotated[JsonBody[EarnBody], Body(examples=[Example(summary="One customer", value=EXAMPLE_EARN)])],
    earning: NamedDependency[EarningService],
) -> Envelope[EarnAnswer]:
    """One call, one customer."""

    def convert(body: EarnBody, faults: Faults) -> BulkCommand:
        return command_of(body, one_customer(body.customer_id, faults), request.exchange, faults)

    command = data.read(convert)
    return Envelope(earn_answer(await earning.earn(request.user, command)))


@post(
    "/customer/revokeEarn",
    operation_id="revokeEarn",
    summary="Take an earned badge back",
    description="One that is valid now or will be. The customer may earn the badge again, and it counts no longer.",
    status_code=200,
    tags=["Earning"],
    responses=documented(
        errors.InvalidInput, errors.BadgeNotFound, errors.NotEarned, errors.NotAllowed, *BODIES
    ),
)
async def revoke_earn(
    request: ApiRequest,
    data: Annotated[
        JsonBody[RevokeEarnBody], Body(examples=[Example(summary="One earned badge", value=EXAMPLE_REVOKE)])
    ],
    earning: NamedDependency[EarningService],
) -> Envelope[RevokeEarnAnswer]:
    """The earned badge stays on record, revoked."""

    def convert(body: RevokeEarnBody, faults: Faults) -> tuple[RevokeEarnBody, list[CustomerId]]:
        return body, one_customer(body.customer_id, faults)

    body, (customer,) = data.read(convert)
    earned_badge_id = body.earned_badge_id.lower()
    await earning.revoke(request.user, ids.badge_id(body.badge_meta_id), customer, earned_badge_id)
    return Envelope(
        RevokeEarnAnswer(
            badge_meta_id=body.badge_meta_id.lower(),
            customer_id=customer,
            earned_badge_id=earned_badge_id,
            is_active=False,
        )
    )
