"""Route handler of the cycles of fixed windows."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import QueryParameter

from cockade import errors, ids
from cockade.api.earning.schemas import NO_CUSTOMER
from cockade.api.parameters import Page, Size, read_badge_id, read_time
from cockade.api.window_cycle.schemas import CyclePage, WindowChoice, cycle_entry
from cockade.customer_badge.model import Bounds
from cockade.customer_badge.service import CustomerBadgeService, CycleFilter
from cockade.errors import FieldError, InvalidInput
from cockade.http.decoding import MISSING
from cockade.http.envelope import Envelope, paginate
from cockade.http.errors import error_responses
from cockade.http.request import ApiRequest
from cockade.ids import CustomerId

BadgeParameter = Annotated[
    str | None,
    QueryParameter(
        name="badgeMetaId",
        required=True,
        description="Badge id.",
        examples=[Example(summary="A badge", value="653de334b3cda7078c7c68eb")],
    ),
]


@get(
    "/badgeMeta/getFixedWindowDetails",
    operation_id="getFixedWindowDetails",
    summary="List the cycles of a badge's fixed windows",
    description="The cycles during the badge's window, by fixed window, then by time.",
    tags=["Badges"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound),
)
async def get_fixed_window_details(
    request: ApiRequest,
    customer_badges: NamedDependency[CustomerBadgeService],
    badge_meta_id: BadgeParameter = None,
    constraint_type: Annotated[WindowChoice, QueryParameter(name="constraintType")] = WindowChoice.ALL,
    customer_id: Annotated[
        str | None,
        QueryParameter(name="customerId", description="Mandatory for counts of CUSTOMER or ALL."),
    ] = None,
    reference_id: Annotated[
        str | None,
        QueryParameter(
            name="fixedWindowCycleReferenceId",
            description="The `referenceId` of a constraint: only cycles of this window.",
        ),
    ] = None,
    include_earn_count: Annotated[
        bool,
        QueryParameter(
            name="includeEarnCount", description="Whether to count what was earned in each cycle."
        ),
    ] = False,
    start_date: Annotated[
        str | None,
        QueryParameter(name="startDate", description="Only cycles that end at this time or later."),
    ] = None,
    end_date: Annotated[
        str | None,
        QueryParameter(name="endDate", description="Only cycles that begin at this time or earlier."),
    ] = None,
    page: Page = 0,
    size: Size = 10,
) -> Envelope[CyclePage]:
    """Return a page of cycles."""
    if not badge_meta_id:
        code, message = MISSING["badgeMetaId"]
        raise InvalidInput([FieldError(code, message, "badgeMetaId")])
    customers = constraint_type is not WindowChoice.BADGE
    wanted = CycleFilter(
        customers=customers,
        badges=constraint_type is not WindowChoice.CUSTOMER,
        reference_id=reference_id,
        within=Bounds(read_time("startDate", start_date), read_time("endDate", end_date)),
        counts_badge=include_earn_count,
        counted_customer=_counted_customer(customer_id) if include_earn_count and customers else None,
    )
    found, total = await customer_badges.list_cycles(
        request.user,
        read_badge_id(badge_meta_id),
        wanted,
        request.context.arrived_at,
        page=page,
        size=size,
    )
    zone = ZoneInfo(request.user.time_zone)
    return Envelope(CyclePage([cycle_entry(each, zone) for each in found], paginate(page, size, total)))


def _counted_customer(text: str | None) -> CustomerId:
    if not text:
        code, message = MISSING["customerId"]
        raise InvalidInput([FieldError(code, message, "customerId")])
    customer = ids.customer_id(text)
    if customer is None:
        raise InvalidInput([FieldError(errors.MALFORMED, NO_CUSTOMER, "customerId")])
    return customer
