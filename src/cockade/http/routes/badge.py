"""Badges, activation and claims: the handlers. Their wire structs are in `cockade.http.badges`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, HeaderParameter, PathParameter, QueryParameter
from msgspec import Struct

from cockade import errors, ids, times
from cockade.badge.model import Badge, BadgeDraft, BadgeFilter, BadgeStatus, EarnType
from cockade.badge.service import BadgeService
from cockade.catalogue.rules import value_faults
from cockade.catalogue.service import CatalogueService
from cockade.errors import BadgeChanged, BadgeNotFound, Fault, InvalidInput
from cockade.holding.service import HoldingService
from cockade.http import wire
from cockade.http.badges import (
    EXAMPLE,
    EXAMPLE_CHANGE,
    Action,
    ActivationAnswer,
    BadgeAnswer,
    BadgeBasics,
    BadgeBody,
    BadgeChangeBody,
    ClaimAnswer,
    ClaimBody,
    badge_answer,
    basics_answer,
    check_change,
    is_as_read,
    to_changed,
    to_draft,
    to_migrated_id,
    warnings_about,
)
from cockade.http.body import Faults, as_it_is
from cockade.http.errors import BODIES, documented, example
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.wire import Envelope, Pagination
from cockade.ids import BadgeId
from cockade.request.model import OwnerType

MIGRATION_HEADER = "X-CAP-BADGES-MIGRATION"
DATES = ("startOn", "startOnISO", "expiresOn", "expiresOnISO")
"""Only a badge whose dates could be read can be judged by them."""
SIZE_MAX = 1000
PAGE_MAX = 1_000_000_000

PathId = Annotated[
    str,
    PathParameter(
        description="The badge's id, 24 hex digits.",
        examples=[Example(summary="A badge", value="653de334b3cda7078c7c68eb")],
    ),
]
Page = Annotated[
    int,
    QueryParameter(
        ge=0, le=PAGE_MAX, description="From 0.", examples=[Example(summary="The first page", value=0)]
    ),
]
Size = Annotated[
    int,
    QueryParameter(
        ge=1, le=SIZE_MAX, description="Entries per page.", examples=[Example(summary="A hundred", value=100)]
    ),
]
_CLAIM_EXAMPLE = Example(summary="Loyalty", value={"ownerType": "Loyalty", "referenceId": "123457"})
_CLAIMED = ClaimAnswer("653de334b3cda7078c7c68eb", OwnerType.LOYALTY, "123457", True)


class BadgePage(Struct, frozen=True, rename="camel"):
    """One page of badges, newest first."""

    meta_basic_details: list[BadgeBasics]
    pagination: Pagination


@post(
    "/badgeMeta",
    operation_id="createBadge",
    summary="Create a badge",
    description=f"With the header `{MIGRATION_HEADER}: migration` the body may bring the badge's `id`, and its dates "
    "may lie in the past. Mandatory custom fields that it lacks get their defaults; warnings name custom fields and a "
    "group that there are not.",
    tags=["Badges"],
    responses=documented(
        errors.InvalidInput, errors.NameTaken, errors.BadgeIdTaken, errors.NotAllowed, *BODIES
    ),
)
async def create_badge(
    request: ApiRequest,
    data: Annotated[JsonBody[BadgeBody], Body(examples=[Example(summary="A direct badge", value=EXAMPLE)])],
    badges: NamedDependency[BadgeService],
    catalogue: NamedDependency[CatalogueService],
    migration: Annotated[
        str | None,
        HeaderParameter(name=MIGRATION_HEADER, description="`migration`: the badge comes from elsewhere."),
    ] = None,
) -> Response[Envelope[BadgeAnswer]]:
    """Make a badge."""
    is_migration = (migration or "").strip().lower() == "migration"
    fields = await catalogue.all_fields(request.user)

    def convert(body: BadgeBody, faults: Faults) -> tuple[BadgeDraft, BadgeId | None]:
        draft = to_draft(body, faults)
        found = value_faults(draft.presentation.custom_fields, fields)
        if not any(faults.about(name) for name in DATES):
            found += badges.creation_faults(request.user, draft, is_migration=is_migration)
        for fault in found:
            faults.note(fault.reference, fault.message, fault.code)
        return draft, to_migrated_id(body, faults) if is_migration else None

    draft, migrated_id = data.read(convert)
    badge = await badges.create(request.user, draft, migrated_id=migrated_id, is_migration=is_migration)
    answer = Envelope(_whole(request, badge), [], warnings_about(badge, fields))
    return Response(answer, status_code=201)


@put(
    "/badgeMeta",
    operation_id="updateBadge",
    summary="Change a badge",
    description="Replaces the fields that are sent, keeps those that are absent, and null clears. What was earned keeps its "
    "validity.",
    tags=["Badges"],
    responses=documented(
        errors.InvalidInput,
        errors.NameTaken,
        errors.BadgeNotFound,
        errors.BadgeChanged,
        errors.NotAllowed,
        *BODIES,
    ),
)
async def update_badge(
    request: ApiRequest,
    data: Annotated[
        JsonBody[BadgeChangeBody], Body(examples=[Example(summary="A new description", value=EXAMPLE_CHANGE)])
    ],
    badges: NamedDependency[BadgeService],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[BadgeAnswer]:
    """Make something else of a badge."""
    body = data.read(check_change)

    def change(stored: Badge) -> BadgeDraft:
        faults = Faults()
        if not is_as_read(body, stored.updated_at, faults) and not faults:
            raise BadgeChanged(reference="lastUpdatedOn")
        draft = to_changed(stored, body, faults)
        if faults:
            raise InvalidInput(faults)
        return draft

    badge = await badges.update(request.user, read_badge_id(body.id), change)
    fields = await catalogue.all_fields(request.user)
    return Envelope(_whole(request, badge), [], warnings_about(badge, fields))


@get(
    "/badgeMeta/{badge_id:str}",
    operation_id="getBadge",
    summary="Get a badge",
    tags=["Badges"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound),
)
async def get_badge(
    request: ApiRequest,
    badge_id: PathId,
    badges: NamedDependency[BadgeService],
    holdings: NamedDependency[HoldingService],
    include_statistics: Annotated[
        bool,
        QueryParameter(
            name="includeStatistics",
            description="Adds issuedCount, earnedCount, and the current cycle of each fixed window.",
        ),
    ] = False,
) -> Envelope[BadgeAnswer]:
    """One badge."""
    badge = await badges.get(request.user, read_badge_id(badge_id))
    if not include_statistics:
        return Envelope(_whole(request, badge))
    now, zone = request.exchange.arrived_at, ZoneInfo(request.user.time_zone)
    counts = await badges.counts([badge.badge_key])
    return Envelope(
        badge_answer(badge, now, zone, counts, await holdings.cycle_counts(request.user, badge, now))
    )


@get(
    "/badgeMeta",
    operation_id="listBadges",
    summary="List badges",
    description="Newest first. Every filter that is given must hold.",
    tags=["Badges"],
    responses=documented(errors.InvalidInput),
)
async def list_badges(
    request: ApiRequest,
    badges: NamedDependency[BadgeService],
    status: Annotated[
        BadgeStatus | None, QueryParameter(description="By this instant against the window.")
    ] = None,
    earn_type: Annotated[EarnType | None, QueryParameter(name="earnType")] = None,
    badge_type: Annotated[
        EarnType | None, QueryParameter(name="badgeType", description="Same as earnType.")
    ] = None,
    action: Annotated[Action | None, QueryParameter(description="Switched on or off.")] = None,
    owner: Annotated[OwnerType | None, QueryParameter(description="Among the badge's owners.")] = None,
    claimed_by: Annotated[
        OwnerType | None, QueryParameter(name="claimedBy", description="Has an active claim.")
    ] = None,
    unclaimed: Annotated[bool | None, QueryParameter(description="true: nobody has an active claim.")] = None,
    name: Annotated[
        str | None,
        QueryParameter(description="Part of the name, upper and lower case alike.", pattern=wire.NO_NUL),
    ] = None,
    start_on: Annotated[
        str | None, QueryParameter(name="startOn", description="Starts at this time or later.")
    ] = None,
    expires_on: Annotated[
        str | None, QueryParameter(name="expiresOn", description="Expires at this time or earlier.")
    ] = None,
    page: Page = 0,
    size: Size = 10,
) -> Envelope[BadgePage]:
    """A page of badges."""
    if earn_type and badge_type and earn_type is not badge_type:
        message = "earnType and badgeType differ; send one of them."
        raise InvalidInput([Fault(errors.MALFORMED, message, "badgeType")])
    wanted = BadgeFilter(
        status=status,
        earn_type=earn_type or badge_type,
        is_active=None if action is None else action is Action.ACTIVATED,
        owner=owner,
        claimed_by=claimed_by,
        unclaimed=unclaimed,
        name=name,
        starts_from=read_time("startOn", start_on),
        expires_until=read_time("expiresOn", expires_on),
    )
    found, total = await badges.list_page(request.user, wanted, page=page, size=size)
    counts = await badges.counts([badge.badge_key for badge in found])
    now = request.exchange.arrived_at
    return Envelope(
        BadgePage([basics_answer(badge, now, counts) for badge in found], wire.paginate(page, size, total))
    )


@put(
    "/badgeMeta/{badge_id:str}/activate",
    operation_id="activateBadge",
    summary="Switch a badge on",
    tags=["Badges"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound, errors.NotAllowed),
)
async def activate_badge(
    request: ApiRequest, badge_id: PathId, badges: NamedDependency[BadgeService]
) -> Envelope[ActivationAnswer]:
    """Whoever may earn it, may earn it again."""
    return await _switch(request, badge_id, badges, is_active=True)


@put(
    "/badgeMeta/{badge_id:str}/deactivate",
    operation_id="deactivateBadge",
    summary="Switch a badge off",
    description="Once this has been answered, nothing more is issued.",
    tags=["Badges"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound, errors.NotAllowed),
)
async def deactivate_badge(
    request: ApiRequest, badge_id: PathId, badges: NamedDependency[BadgeService]
) -> Envelope[ActivationAnswer]:
    """Nobody earns it until it is switched on again."""
    return await _switch(request, badge_id, badges, is_active=False)


@post(
    "/badgeMeta/{badge_id:str}/claim",
    operation_id="claimBadge",
    summary="Claim a badge for an owner",
    description="Without a claim its owner cannot issue. Claiming twice is the same as once.",
    status_code=200,
    tags=["Claims"],
    responses=documented(
        errors.InvalidInput,
        errors.OwnerNotAllowed,
        errors.BadgeNotFound,
        errors.NotAllowed,
        *BODIES,
    )
    | {200: example("Claimed", Envelope[ClaimAnswer], _CLAIMED)},
)
async def claim_badge(
    request: ApiRequest,
    badge_id: PathId,
    data: Annotated[JsonBody[ClaimBody], Body(examples=[_CLAIM_EXAMPLE])],
    badges: NamedDependency[BadgeService],
) -> Envelope[ClaimAnswer]:
    """Register an owner under its own reference."""
    claim = data.read(as_it_is)
    await badges.claim(request.user, read_badge_id(badge_id), claim.owner_type, claim.reference_id)
    return Envelope(ClaimAnswer(read_badge_id(badge_id), claim.owner_type, claim.reference_id, True))


@post(
    "/badgeMeta/{badge_id:str}/unclaim",
    operation_id="unclaimBadge",
    summary="End a claim",
    status_code=200,
    tags=["Claims"],
    responses=documented(
        errors.InvalidInput, errors.ClaimNotFound, errors.BadgeNotFound, errors.NotAllowed, *BODIES
    ),
)
async def unclaim_badge(
    request: ApiRequest,
    badge_id: PathId,
    data: Annotated[JsonBody[ClaimBody], Body(examples=[_CLAIM_EXAMPLE])],
    badges: NamedDependency[BadgeService],
) -> Envelope[ClaimAnswer]:
    """The owner issues nothing more under this reference."""
    claim = data.read(as_it_is)
    await badges.unclaim(request.user, read_badge_id(badge_id), claim.owner_type, claim.reference_id)
    return Envelope(ClaimAnswer(read_badge_id(badge_id), claim.owner_type, claim.reference_id, False))


def _whole(request: ApiRequest, badge: Badge) -> BadgeAnswer:
    return badge_answer(badge, request.exchange.arrived_at, ZoneInfo(request.user.time_zone))


async def _switch(
    request: ApiRequest, text: str, badges: BadgeService, *, is_active: bool
) -> Envelope[ActivationAnswer]:
    badge_id = read_badge_id(text)
    await badges.set_active(request.user, badge_id, is_active)
    return Envelope(ActivationAnswer(badge_id, is_active))


def read_badge_id(text: str) -> BadgeId:
    """The badge that a path or body names. Raises BadgeNotFound where that cannot be a badge id."""
    badge_id = ids.badge_id(text)
    if badge_id is None:
        raise BadgeNotFound
    return badge_id


def read_time(name: str, text: str | None) -> datetime | None:
    """The time that a query parameter holds, if there is one. Raises InvalidInput where it is no time."""
    try:
        return None if text is None else times.read_instant(text)
    except ValueError as error:
        raise InvalidInput([Fault(errors.MALFORMED, str(error), name)]) from None
