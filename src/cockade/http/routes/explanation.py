"""Who holds a badge, why or why not, and the cycles of its windows: the handlers."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import QueryParameter

from cockade import errors, ids
from cockade.customer.service import CustomerService
from cockade.errors import Fault, InvalidInput
from cockade.holding.model import Bounds, HoldingStatus
from cockade.holding.service import CycleFilter, HoldingService
from cockade.http import wire
from cockade.http.body import MISSING
from cockade.http.customers import IdentifierHeader, customer_of
from cockade.http.cycles import CyclePage, WindowChoice, cycle_entry
from cockade.http.earnings import NO_CUSTOMER
from cockade.http.errors import documented
from cockade.http.explanations import (
    ExplanationAnswer,
    HoldersPage,
    explanation_answer,
    holders_page,
    read_cursor,
)
from cockade.http.requests import ApiRequest
from cockade.http.routes.badge import Page, PathId, Size, read_badge_id, read_time
from cockade.http.routes.holding import PathCustomer
from cockade.http.wire import Envelope
from cockade.ids import CustomerId
from cockade.request.model import OwnerType


@get(
    "/badgeMeta/{badge_id:str}/customers",
    operation_id="listHolders",
    summary="Who earned a badge",
    description="All that was ever earned of it, in order of customer. Send the `next` of a page as `after` for the page "
    "that follows.",
    tags=["Who and why"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound),
)
async def list_holders(
    request: ApiRequest,
    badge_id: PathId,
    holdings: NamedDependency[HoldingService],
    after: Annotated[str | None, QueryParameter(description="The `next` of the page before.")] = None,
    status: Annotated[
        list[HoldingStatus] | None, QueryParameter(description="Only these; may be repeated.")
    ] = None,
    size: Size = 10,
) -> Envelope[HoldersPage]:
    """A page of earned badges."""
    found_id, now = read_badge_id(badge_id), request.exchange.arrived_at
    found = await holdings.list_holders(
        request.user, found_id, read_cursor(after), status or None, now, size + 1
    )
    return Envelope(holders_page(found_id, found, size, now))


@get(
    "/badgeMeta/{badge_id:str}/customers/{customer_id:str}/explain",
    operation_id="explain",
    summary="Why a customer would earn a badge, or why not",
    description="Every rule of issuing with its verdict, now or for an event at another time. Changes nothing.",
    tags=["Who and why"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound, errors.CustomerNotFound),
)
async def explain(
    request: ApiRequest,
    badge_id: PathId,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    holdings: NamedDependency[HoldingService],
    earn_event_date: Annotated[
        str | None, QueryParameter(name="earnEventDate", description="The event's date; now when absent.")
    ] = None,
    owner_type: Annotated[
        OwnerType | None,
        QueryParameter(name="ownerType", description="Who would issue it; absent: any owner with a claim."),
    ] = None,
    reference_id: Annotated[
        str | None,
        QueryParameter(name="referenceId", description="That owner's reference.", pattern=wire.NO_NUL),
    ] = None,
    identifier: IdentifierHeader = None,
) -> Envelope[ExplanationAnswer]:
    """Rules and verdicts."""
    found_id, now = read_badge_id(badge_id), request.exchange.arrived_at
    if (owner_type is None) != (reference_id is None):
        missing = "ownerType" if owner_type is None else "referenceId"
        raise InvalidInput([Fault(errors.MALFORMED, "Send ownerType and referenceId, or neither.", missing)])
    customer = await customer_of(request, customer_id, identifier, customers)
    explanation = await holdings.explain(
        request.user,
        found_id,
        customer,
        now,
        event_at=read_time("earnEventDate", earn_event_date),
        owner=None if owner_type is None or reference_id is None else (owner_type, reference_id),
    )
    return Envelope(explanation_answer(found_id, customer, explanation, now))


@get(
    "/badgeMeta/getFixedWindowDetails",
    operation_id="getFixedWindowDetails",
    summary="The cycles of a badge's fixed windows",
    description="As long as the badge is live, by window, then by time.",
    tags=["Badges"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound),
)
async def get_fixed_window_details(
    request: ApiRequest,
    holdings: NamedDependency[HoldingService],
    badge_meta_id: Annotated[
        str | None,
        QueryParameter(
            name="badgeMetaId",
            required=True,
            description="The badge's id.",
            examples=[Example(summary="A badge", value="653de334b3cda7078c7c68eb")],
        ),
    ] = None,
    constraint_type: Annotated[WindowChoice, QueryParameter(name="constraintType")] = WindowChoice.ALL,
    customer_id: Annotated[
        str | None,
        QueryParameter(name="customerId", description="Mandatory for counts of CUSTOMER or ALL."),
    ] = None,
    reference_id: Annotated[
        str | None,
        QueryParameter(
            name="fixedWindowCycleReferenceId",
            description="The `referenceId` of a constraint: only that window's cycles.",
        ),
    ] = None,
    include_earn_count: Annotated[
        bool, QueryParameter(name="includeEarnCount", description="How much was earned in each.")
    ] = False,
    start_date: Annotated[
        str | None, QueryParameter(name="startDate", description="Only cycles that reach to this time.")
    ] = None,
    end_date: Annotated[
        str | None, QueryParameter(name="endDate", description="Only cycles that begin by this time.")
    ] = None,
    page: Page = 0,
    size: Size = 10,
) -> Envelope[CyclePage]:
    """A page of cycles."""
    if not badge_meta_id:
        code, message = MISSING["badgeMetaId"]
        raise InvalidInput([Fault(code, message, "badgeMetaId")])
    customers = constraint_type is not WindowChoice.BADGE
    wanted = CycleFilter(
        customers=customers,
        badges=constraint_type is not WindowChoice.CUSTOMER,
        reference_id=reference_id,
        within=Bounds(read_time("startDate", start_date), read_time("endDate", end_date)),
        counts_badge=include_earn_count,
        counted_customer=_counted_customer(customer_id) if include_earn_count and customers else None,
    )
    found, total = await holdings.list_cycles(
        request.user,
        read_badge_id(badge_meta_id),
        wanted,
        request.exchange.arrived_at,
        page=page,
        size=size,
    )
    zone = ZoneInfo(request.user.time_zone)
    return Envelope(CyclePage([cycle_entry(each, zone) for each in found], wire.paginate(page, size, total)))


def _counted_customer(text: str | None) -> CustomerId:
    if not text:
        code, message = MISSING["customerId"]
        raise InvalidInput([Fault(code, message, "customerId")])
    customer = ids.customer_id(text)
    if customer is None:
        raise InvalidInput([Fault(errors.MALFORMED, NO_CUSTOMER, "customerId")])
    return customer
