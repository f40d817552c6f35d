"""Taking over what customers earned elsewhere: the handlers. Their wire structs are in `cockade.http.imports`."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post, put
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.earning.service import EarningService
from cockade.errors import InvalidInput
from cockade.http.body import Faults
from cockade.http.errors import BODIES, documented
from cockade.http.imports import EXAMPLE, EXAMPLE_ANSWER, ImportAnswer, ImportBody, answer_import, to_row
from cockade.http.requests import ApiRequest, JsonRows, request_id_of
from cockade.http.wire import Envelope, Failure

SUMMARY = "Take over what customers earned elsewhere"
DESCRIPTION = (
    "An array of rows, of any badges; the answer is an array with an envelope for each row, in order. A row that is refused "
    "hides no other. The batch's request id is taken from `X-CAP-REQUEST-ID`."
)
Rows = Annotated[JsonRows[ImportBody], Body(examples=[Example(summary="One row", value=EXAMPLE)])]
Answers = Response[list[Envelope[ImportAnswer] | Failure]]
RESPONSES = documented(
    errors.InvalidInput, errors.RequestIdUsed, errors.NotAllowed, *BODIES, errors.OutcomeUnknown
) | {
    200: ResponseSpec(
        list[Envelope[ImportAnswer] | Failure],
        generate_examples=False,
        description="An envelope for each row",
        examples=[Example(summary="One row", value=[Envelope(EXAMPLE_ANSWER)])],
    )
}


@post(
    "/import/customerBadges",
    operation_id="importCustomerBadges",
    summary=SUMMARY,
    description=DESCRIPTION,
    status_code=200,
    tags=["Import"],
    responses=RESPONSES,
)
async def import_customer_badges(
    request: ApiRequest,
    data: Rows,
    earning: NamedDependency[EarningService],
) -> Answers:
    """History, in one call."""
    return await _import(request, data, earning)


@put(
    "/import/customerBadges",
    operation_id="importCustomerBadgesByPut",
    summary=SUMMARY,
    description=f"The same as POST. {DESCRIPTION}",
    tags=["Import"],
    responses=RESPONSES,
)
async def import_customer_badges_by_put(
    request: ApiRequest,
    data: Rows,
    earning: NamedDependency[EarningService],
) -> Answers:
    """History, in one call."""
    return await _import(request, data, earning)


async def _import(request: ApiRequest, data: JsonRows[ImportBody], earning: EarningService) -> Answers:
    faults = Faults()
    batch = request_id_of(request.exchange, None, faults)
    if faults:
        raise InvalidInput(faults)
    rows = await data.read(to_row, request.config.customers_max)
    is_replay = request.exchange.is_replay
    return answer_import(await earning.import_history(request.user, batch, rows, is_replay=is_replay))
