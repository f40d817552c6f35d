"""Route handlers of badges, activation and claims."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, HeaderParameter, QueryParameter
from msgspec import Struct

from cockade import errors
from cockade.api.badge.schemas import (
    EXAMPLE,
    EXAMPLE_CHANGE,
    ActivationFilter,
    ActivationResponse,
    BadgeBasics,
    BadgeBody,
    BadgeChangeBody,
    BadgeResponse,
    ClaimBody,
    ClaimResponse,
    badge_response,
    basics_response,
    check_change,
    is_as_read,
    to_changed,
    to_draft,
    to_migrated_id,
    warnings_about,
)
from cockade.api.parameters import Page, PathId, Size, read_badge_id, read_time
from cockade.api.schemas import NO_NUL
from cockade.badge.model import Badge, BadgeDraft, BadgeFilter, BadgeStatus, EarnType
from cockade.badge.service import BadgeService
from cockade.customer_badge.service import CustomerBadgeService
from cockade.errors import BadgeChanged, FieldError, InvalidInput
from cockade.http.decoding import FieldErrors, unchanged
from cockade.http.envelope import Envelope, Pagination, json_name, paginate
from cockade.http.errors import BODY_ERRORS, error_responses, example
from cockade.http.request import ApiRequest, JsonBody
from cockade.ids import BadgeId
from cockade.metadata.rules import value_errors
from cockade.metadata.service import MetadataService
from cockade.request.model import OwnerType

MIGRATION_HEADER = "X-CAP-BADGES-MIGRATION"
DATES = ("startOn", "startOnISO", "expiresOn", "expiresOnISO")
"""Further rules are checked only if all dates are valid."""
_CLAIM_EXAMPLE = Example(summary="Loyalty", value={"ownerType": "Loyalty", "referenceId": "123457"})
_CLAIMED = ClaimResponse("653de334b3cda7078c7c68eb", OwnerType.LOYALTY, "123457", True)


class BadgePage(Struct, frozen=True, rename=json_name):
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
    responses=error_responses(
        errors.InvalidInput, errors.NameTaken, errors.BadgeIdTaken, errors.PermissionDenied, *BODY_ERRORS
    ),
)
async def create_badge(
    request: ApiRequest,
    data: Annotated[JsonBody[BadgeBody], Body(examples=[Example(summary="A direct badge", value=EXAMPLE)])],
    badges: NamedDependency[BadgeService],
    metadata: NamedDependency[MetadataService],
    migration: Annotated[
        str | None,
        HeaderParameter(
            name=MIGRATION_HEADER, description="`migration`: the badge is imported from another system."
        ),
    ] = None,
) -> Response[Envelope[BadgeResponse]]:
    """Create a badge."""
    is_migration = (migration or "").strip().lower() == "migration"
    fields = await metadata.all_fields(request.user)

    def convert(body: BadgeBody, field_errors: FieldErrors) -> tuple[BadgeDraft, BadgeId | None]:
        draft = to_draft(body, field_errors)
        found = value_errors(draft.presentation.custom_fields, fields)
        if not any(field_errors.has_error_for(name) for name in DATES):
            found += badges.creation_errors(request.user, draft, is_migration=is_migration)
        for field_error in found:
            field_errors.add(field_error.reference, field_error.message, field_error.code)
        return draft, to_migrated_id(body, field_errors) if is_migration else None

    draft, migrated_id = data.read(convert)
    badge = await badges.create(request.user, draft, migrated_id=migrated_id, is_migration=is_migration)
    answer = Envelope(_nested(request, badge), [], warnings_about(badge, fields))
    return Response(answer, status_code=201)


@put(
    "/badgeMeta",
    operation_id="updateBadge",
    summary="Change a badge",
    description="Fields that are sent replace the stored ones, missing fields are kept, and null clears a field. The validity of earned badges stays.",
    tags=["Badges"],
    responses=error_responses(
        errors.InvalidInput,
        errors.NameTaken,
        errors.BadgeNotFound,
        errors.BadgeChanged,
        errors.PermissionDenied,
        *BODY_ERRORS,
    ),
)
async def update_badge(
    request: ApiRequest,
    data: Annotated[
        JsonBody[BadgeChangeBody], Body(examples=[Example(summary="A new description", value=EXAMPLE_CHANGE)])
    ],
    badges: NamedDependency[BadgeService],
    metadata: NamedDependency[MetadataService],
) -> Envelope[BadgeResponse]:
    """Change a badge."""
    body = data.read(check_change)

    def change(stored: Badge) -> BadgeDraft:
        field_errors = FieldErrors()
        if not is_as_read(body, stored.updated_at, field_errors) and not field_errors:
            raise BadgeChanged(reference="lastUpdatedOn")
        draft = to_changed(stored, body, field_errors)
        if field_errors:
            raise InvalidInput(field_errors)
        return draft

    badge = await badges.update(request.user, read_badge_id(body.id), change)
    fields = await metadata.all_fields(request.user)
    return Envelope(_nested(request, badge), [], warnings_about(badge, fields))


@get(
    "/badgeMeta/{badge_id:str}",
    operation_id="getBadge",
    summary="Get a badge",
    tags=["Badges"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound),
)
async def get_badge(
    request: ApiRequest,
    badge_id: PathId,
    badges: NamedDependency[BadgeService],
    customer_badges: NamedDependency[CustomerBadgeService],
    include_statistics: Annotated[
        bool,
        QueryParameter(
            name="includeStatistics",
            description="Adds issuedCount, earnedCount, and the current cycle of each fixed window.",
        ),
    ] = False,
) -> Envelope[BadgeResponse]:
    """Return one badge."""
    badge = await badges.get(request.user, read_badge_id(badge_id))
    if not include_statistics:
        return Envelope(_nested(request, badge))
    now, zone = request.context.arrived_at, ZoneInfo(request.user.time_zone)
    counts = await badges.counts([badge.badge_key])
    return Envelope(
        badge_response(badge, now, zone, counts, await customer_badges.cycle_counts(request.user, badge, now))
    )


@get(
    "/badgeMeta",
    operation_id="listBadges",
    summary="List badges",
    description="Newest first. All filters must match.",
    tags=["Badges"],
    responses=error_responses(errors.InvalidInput),
)
async def list_badges(
    request: ApiRequest,
    badges: NamedDependency[BadgeService],
    status: Annotated[
        BadgeStatus | None, QueryParameter(description="Status of the badge's window now.")
    ] = None,
    earn_type: Annotated[EarnType | None, QueryParameter(name="earnType")] = None,
    badge_type: Annotated[
        EarnType | None, QueryParameter(name="badgeType", description="Alias of earnType.")
    ] = None,
    action: Annotated[ActivationFilter | None, QueryParameter(description="Active or inactive.")] = None,
    owner: Annotated[OwnerType | None, QueryParameter(description="One of the badge's owners.")] = None,
    claimed_by: Annotated[
        OwnerType | None, QueryParameter(name="claimedBy", description="An owner with an active claim.")
    ] = None,
    unclaimed: Annotated[
        bool | None, QueryParameter(description="true: only badges without an active claim.")
    ] = None,
    name: Annotated[
        str | None,
        QueryParameter(description="Part of the name, case-insensitive.", pattern=NO_NUL),
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
    """Return a page of badges."""
    if earn_type and badge_type and earn_type is not badge_type:
        message = "earnType and badgeType differ; send one of them."
        raise InvalidInput([FieldError(errors.MALFORMED, message, "badgeType")])
    wanted = BadgeFilter(
        status=status,
        earn_type=earn_type or badge_type,
        is_active=None if action is None else action is ActivationFilter.ACTIVATED,
        owner=owner,
        claimed_by=claimed_by,
        unclaimed=unclaimed,
        name=name,
        starts_from=read_time("startOn", start_on),
        expires_until=read_time("expiresOn", expires_on),
    )
    found, total = await badges.list_page(request.user, wanted, page=page, size=size)
    counts = await badges.counts([badge.badge_key for badge in found])
    now = request.context.arrived_at
    return Envelope(
        BadgePage([basics_response(badge, now, counts) for badge in found], paginate(page, size, total))
    )


@put(
    "/badgeMeta/{badge_id:str}/activate",
    operation_id="activateBadge",
    summary="Activate a badge",
    tags=["Badges"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound, errors.PermissionDenied),
)
async def activate_badge(
    request: ApiRequest, badge_id: PathId, badges: NamedDependency[BadgeService]
) -> Envelope[ActivationResponse]:
    """Customers can earn the badge again."""
    return await _switch(request, badge_id, badges, is_active=True)


@put(
    "/badgeMeta/{badge_id:str}/deactivate",
    operation_id="deactivateBadge",
    summary="Deactivate a badge",
    description="After the response, nothing more is issued.",
    tags=["Badges"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound, errors.PermissionDenied),
)
async def deactivate_badge(
    request: ApiRequest, badge_id: PathId, badges: NamedDependency[BadgeService]
) -> Envelope[ActivationResponse]:
    """Customers cannot earn the badge until it is activated again."""
    return await _switch(request, badge_id, badges, is_active=False)


@post(
    "/badgeMeta/{badge_id:str}/claim",
    operation_id="claimBadge",
    summary="Claim a badge for an owner",
    description="An owner cannot issue without a claim. Repeating a claim has no effect.",
    status_code=200,
    tags=["Claims"],
    responses=error_responses(
        errors.InvalidInput,
        errors.OwnerNotAllowed,
        errors.BadgeNotFound,
        errors.PermissionDenied,
        *BODY_ERRORS,
    )
    | {200: example("Claimed", Envelope[ClaimResponse], _CLAIMED)},
)
async def claim_badge(
    request: ApiRequest,
    badge_id: PathId,
    data: Annotated[JsonBody[ClaimBody], Body(examples=[_CLAIM_EXAMPLE])],
    badges: NamedDependency[BadgeService],
) -> Envelope[ClaimResponse]:
    """Register an owner with its reference id."""
    claim = data.read(unchanged)
    await badges.claim(request.user, read_badge_id(badge_id), claim.owner_type, claim.reference_id)
    return Envelope(ClaimResponse(read_badge_id(badge_id), claim.owner_type, claim.reference_id, True))


@post(
    "/badgeMeta/{badge_id:str}/unclaim",
    operation_id="unclaimBadge",
    summary="End a claim",
    status_code=200,
    tags=["Claims"],
    responses=error_responses(
        errors.InvalidInput, errors.ClaimNotFound, errors.BadgeNotFound, errors.PermissionDenied, *BODY_ERRORS
    ),
)
async def unclaim_badge(
    request: ApiRequest,
    badge_id: PathId,
    data: Annotated[JsonBody[ClaimBody], Body(examples=[_CLAIM_EXAMPLE])],
    badges: NamedDependency[BadgeService],
) -> Envelope[ClaimResponse]:
    """The owner can no longer issue with this reference id."""
    claim = data.read(unchanged)
    await badges.unclaim(request.user, read_badge_id(badge_id), claim.owner_type, claim.reference_id)
    return Envelope(ClaimResponse(read_badge_id(badge_id), claim.owner_type, claim.reference_id, False))


def _nested(request: ApiRequest, badge: Badge) -> BadgeResponse:
    return badge_response(badge, request.context.arrived_at, ZoneInfo(request.user.time_zone))


async def _switch(
    request: ApiRequest, text: str, badges: BadgeService, *, is_active: bool
) -> Envelope[ActivationResponse]:
    badge_id = read_badge_id(text)
    await badges.set_active(request.user, badge_id, is_active)
    return Envelope(ActivationResponse(badge_id, is_active))
