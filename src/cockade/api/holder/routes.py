"""Route handlers of holders and explanations."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from cockade import errors
from cockade.api.customer.schemas import IdentifierHeader, customer_of
from cockade.api.customer_badge.routes import PathCustomer
from cockade.api.holder.schemas import (
    ExplanationResponse,
    HoldersPage,
    explanation_response,
    holders_page,
    read_cursor,
)
from cockade.api.parameters import PathId, Size, read_badge_id, read_time
from cockade.api.schemas import NO_NUL
from cockade.customer.service import CustomerService
from cockade.customer_badge.model import HeldBadgeStatus
from cockade.customer_badge.service import CustomerBadgeService
from cockade.errors import FieldError, InvalidInput
from cockade.http.envelope import Envelope
from cockade.http.errors import error_responses
from cockade.http.request import ApiRequest
from cockade.request.model import OwnerType


@get(
    "/badgeMeta/{badge_id:str}/customers",
    operation_id="listHolders",
    summary="List the holders of a badge",
    description="All earned badges of this badge, by customer. Send the `next` of a page as `after` to get the next page.",
    tags=["Lookup"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound),
)
async def list_holders(
    request: ApiRequest,
    badge_id: PathId,
    customer_badges: NamedDependency[CustomerBadgeService],
    after: Annotated[str | None, QueryParameter(description="The `next` of the previous page.")] = None,
    status: Annotated[
        list[HeldBadgeStatus] | None, QueryParameter(description="Filter by status. Can be repeated.")
    ] = None,
    size: Size = 10,
) -> Envelope[HoldersPage]:
    """Return a page of earned badges."""
    found_id, now = read_badge_id(badge_id), request.context.arrived_at
    found = await customer_badges.list_holders(
        request.user, found_id, read_cursor(after), status or None, now, size + 1
    )
    return Envelope(holders_page(found_id, found, size, now))


@get(
    "/badgeMeta/{badge_id:str}/customers/{customer_id:str}/explain",
    operation_id="explain",
    summary="Explain why a customer can or cannot earn a badge",
    description="Evaluates every rule of issuing, now or for an event at another time. Changes nothing.",
    tags=["Lookup"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound, errors.CustomerNotFound),
)
async def explain(
    request: ApiRequest,
    badge_id: PathId,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    customer_badges: NamedDependency[CustomerBadgeService],
    earn_event_date: Annotated[
        str | None, QueryParameter(name="earnEventDate", description="The event date. Default: now.")
    ] = None,
    owner_type: Annotated[
        OwnerType | None,
        QueryParameter(
            name="ownerType", description="The owner that would issue it. Default: any owner with a claim."
        ),
    ] = None,
    reference_id: Annotated[
        str | None,
        QueryParameter(
            name="referenceId", description="The reference id of the owner's claim.", pattern=NO_NUL
        ),
    ] = None,
    identifier: IdentifierHeader = None,
) -> Envelope[ExplanationResponse]:
    """Return the rules and their results."""
    found_id, now = read_badge_id(badge_id), request.context.arrived_at
    if (owner_type is None) != (reference_id is None):
        missing = "ownerType" if owner_type is None else "referenceId"
        raise InvalidInput(
            [FieldError(errors.MALFORMED, "Send both ownerType and referenceId, or neither.", missing)]
        )
    customer = await customer_of(request, customer_id, identifier, customers)
    explanation = await customer_badges.explain(
        request.user,
        found_id,
        customer,
        now,
        event_at=read_time("earnEventDate", earn_event_date),
        owner=None if owner_type is None or reference_id is None else (owner_type, reference_id),
    )
    return Envelope(explanation_response(found_id, customer, explanation, now))
