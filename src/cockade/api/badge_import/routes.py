"""Routes that import badges earned elsewhere."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post, put
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.api.badge_import.schemas import (
    EXAMPLE,
    EXAMPLE_RESPONSE,
    ImportBody,
    ImportResponse,
    import_response,
    to_row,
)
from cockade.earning.service import EarningService
from cockade.errors import InvalidInput
from cockade.http.context import request_id_of
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import Envelope, ErrorEnvelope
from cockade.http.errors import BODY_ERRORS, error_responses
from cockade.http.request import ApiRequest, JsonArrayBody
from cockade.request.service import RequestService

SUMMARY = "Import badges that customers earned elsewhere"
DESCRIPTION = "Send an array of rows, of any badges. The response is an array with one envelope per row, in the same order. A row that fails does not affect the others. The request id is taken from the header `X-CAP-REQUEST-ID`."
Rows = Annotated[JsonArrayBody[ImportBody], Body(examples=[Example(summary="One row", value=EXAMPLE)])]
ImportResponses = Response[list[Envelope[ImportResponse] | ErrorEnvelope]]
RESPONSES = error_responses(
    errors.InvalidInput, errors.RequestIdUsed, errors.PermissionDenied, *BODY_ERRORS, errors.OutcomeUnknown
) | {
    200: ResponseSpec(
        list[Envelope[ImportResponse] | ErrorEnvelope],
        generate_examples=False,
        description="One envelope per row",
        examples=[Example(summary="One row", value=[Envelope(EXAMPLE_RESPONSE)])],
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
    requests: NamedDependency[RequestService],
) -> ImportResponses:
    """Import earned badges."""
    return await _import(request, data, earning, requests)


@put(
    "/import/customerBadges",
    operation_id="importCustomerBadgesByPut",
    summary=SUMMARY,
    description=f"Same as POST. {DESCRIPTION}",
    tags=["Import"],
    responses=RESPONSES,
)
async def import_customer_badges_by_put(
    request: ApiRequest,
    data: Rows,
    earning: NamedDependency[EarningService],
    requests: NamedDependency[RequestService],
) -> ImportResponses:
    """Import earned badges."""
    return await _import(request, data, earning, requests)


async def _import(
    request: ApiRequest,
    data: JsonArrayBody[ImportBody],
    earning: EarningService,
    requests: RequestService,
) -> ImportResponses:
    field_errors = FieldErrors()
    request_id = request_id_of(request.context, None, field_errors)
    if field_errors:
        raise InvalidInput(field_errors)
    rows = await data.read(to_row, request.config.max_customers_per_request)
    if request.replayed_request_id is not None:
        outcome = await requests.get_import(request.user, request.replayed_request_id)
    else:
        outcome = await earning.import_history(request.user, request_id, rows)
    return import_response(outcome)
