"""Route handlers of customers' badges."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from cockade import errors
from cockade.api.badge.schemas import ActivationFilter
from cockade.api.customer.schemas import IdentifierHeader, customer_of
from cockade.api.customer_badge.schemas import (
    CustomerPage,
    ManagedDetail,
    ManagedPage,
    customer_badge,
    managed_badge,
    managed_detail,
    read_bounds,
)
from cockade.api.parameters import Page, PathId, Size, read_badge_id
from cockade.api.schemas import NO_NUL
from cockade.badge.model import BadgeStatus, EarnType
from cockade.customer.service import CustomerService
from cockade.customer_badge.model import BadgeType, ListSort, Order, PageSort, StateFilter
from cockade.customer_badge.service import CustomerBadgeService
from cockade.http.envelope import Envelope, paginate
from cockade.http.errors import error_responses
from cockade.http.request import ApiRequest
from cockade.request.model import OwnerType

PathCustomer = Annotated[
    str,
    PathParameter(
        description="Customer id, or an identifier of the customer with the header.",
        examples=[Example(summary="A customer", value="62090013")],
    ),
]
GroupFilter = Annotated[
    str | None, QueryParameter(name="groupId", description="Only badges of this group.", pattern=NO_NUL)
]
RESPONSES = error_responses(errors.InvalidInput, errors.CustomerNotFound)


@get(
    "/customer/{customer_id:str}",
    operation_id="getCustomerBadges",
    summary="A customer's badges",
    description="`AVAILABLE`: direct badges that the customer can earn now, considering held badges and limits. `AVAILABLE_TO_ISSUE`: badges in which the customer can be enrolled. `EARNED`: badges of which the customer has a valid one. `EXPIRED`: badges of which the customer had some, all expired.",
    tags=["Customers"],
    responses=RESPONSES,
)
async def get_customer_badges(
    request: ApiRequest,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    customer_badges: NamedDependency[CustomerBadgeService],
    badge_type: Annotated[BadgeType, QueryParameter(name="badgeType")] = BadgeType.AVAILABLE,
    include_expired: Annotated[
        bool,
        QueryParameter(
            name="includeExpired",
            description="Also badges whose window has ended; with EARNED also expired earned badges.",
        ),
    ] = False,
    sort_on: Annotated[
        PageSort | None,
        QueryParameter(
            name="sortOn",
            description="Ranks ascending, dates latest first. Default: newest badge first.",
        ),
    ] = None,
    group_id: GroupFilter = None,
    page: Page = 0,
    size: Size = 10,
    identifier: IdentifierHeader = None,
) -> Envelope[CustomerPage]:
    """Return a page of the customer's badges."""
    customer = await customer_of(request, customer_id, identifier, customers)
    now, zone = request.context.arrived_at, ZoneInfo(request.user.time_zone)
    shown, total = await customer_badges.list_page(
        request.user,
        customer,
        badge_type,
        now,
        include_expired=include_expired,
        group_id=group_id and group_id.lower(),
        sort=sort_on,
        page=page,
        size=size,
    )
    badges = [customer_badge(each, now, zone) for each in shown]
    return Envelope(CustomerPage(badges, paginate(page, size, total)))


@get(
    "/management/{customer_id:str}",
    operation_id="listManagedBadges",
    summary="List all badges of the org with a customer's issuances",
    description="All filters must match.",
    tags=["Customers"],
    responses=RESPONSES,
)
async def list_managed_badges(
    request: ApiRequest,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    customer_badges: NamedDependency[CustomerBadgeService],
    badge_type: Annotated[EarnType | None, QueryParameter(name="badgeType", description="Earn type.")] = None,
    badge_status: Annotated[BadgeStatus | None, QueryParameter(name="badgeStatus")] = None,
    owner: Annotated[OwnerType | None, QueryParameter(description="One of the badge's owners.")] = None,
    claimed_by: Annotated[
        OwnerType | None, QueryParameter(name="claimedBy", description="An owner with an active claim.")
    ] = None,
    name: Annotated[
        str | None,
        QueryParameter(description="Part of the name, case-insensitive.", pattern=NO_NUL),
    ] = None,
    action: Annotated[ActivationFilter | None, QueryParameter(description="Active or inactive.")] = None,
    group_id: GroupFilter = None,
    start_on: Annotated[
        list[str] | None,
        QueryParameter(
            name="startOn",
            description="A time, compared with `gte` or the operator before it: `lt:2026-01-01T00:00:00Z`. Can be repeated.",
        ),
    ] = None,
    expires_on: Annotated[
        list[str] | None,
        QueryParameter(name="expiresOn", description="Like startOn; the default operator is `lte`."),
    ] = None,
    sort_on: Annotated[
        ListSort | None, QueryParameter(name="sortOn", description="Default: creation time of the badge.")
    ] = None,
    order: Annotated[
        Order,
        QueryParameter(description="Sort direction. Badges without the date come last in both directions."),
    ] = Order.DESC,
    page: Page = 0,
    size: Size = 10,
    identifier: IdentifierHeader = None,
) -> Envelope[ManagedPage]:
    """Return a page of the managed list."""
    customer = await customer_of(request, customer_id, identifier, customers)
    now = request.context.arrived_at
    wanted = StateFilter(
        earn_type=badge_type,
        is_active=None if action is None else action is ActivationFilter.ACTIVATED,
        statuses=None if badge_status is None else [badge_status],
        owner=owner,
        claimed_by=claimed_by,
        name=name,
        group_id=group_id and group_id.lower(),
        starts=read_bounds("startOn", start_on, "gte"),
        expires=read_bounds("expiresOn", expires_on, "lte"),
    )
    shown, total = await customer_badges.list_all(
        request.user, customer, wanted, now, sort=sort_on, order=order, page=page, size=size
    )
    badges = [managed_badge(each, now) for each in shown]
    return Envelope(ManagedPage(badges, paginate(page, size, total)))


@get(
    "/management/{customer_id:str}/badge/{badge_id:str}",
    operation_id="getManagedBadge",
    summary="Get one badge for one customer",
    tags=["Customers"],
    responses=error_responses(errors.InvalidInput, errors.CustomerNotFound, errors.BadgeNotFound),
)
async def get_managed_badge(
    request: ApiRequest,
    customer_id: PathCustomer,
    badge_id: PathId,
    customers: NamedDependency[CustomerService],
    customer_badges: NamedDependency[CustomerBadgeService],
    include_statistics: Annotated[
        bool,
        QueryParameter(
            name="includeStatistics",
            description="Adds the customer's enrolments and earned badges, and the usage of each limit.",
        ),
    ] = False,
    identifier: IdentifierHeader = None,
) -> Envelope[ManagedDetail]:
    """Return one badge for one customer."""
    customer = await customer_of(request, customer_id, identifier, customers)
    now = request.context.arrived_at
    detail = await customer_badges.get(
        request.user, customer, read_badge_id(badge_id), now, include_statistics=include_statistics
    )
    return Envelope(managed_detail(detail, now, ZoneInfo(request.user.time_zone)))
