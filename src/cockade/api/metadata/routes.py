"""Route handlers of groups, custom fields and the org meta."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from cockade import errors, ids
from cockade.api.metadata.schemas import (
    EXAMPLE_FIELD,
    EXAMPLE_FIELD_CHANGE,
    EXAMPLE_GROUP,
    EXAMPLE_GROUP_CHANGE,
    EXAMPLE_ORG_META,
    EXAMPLE_ORG_META_RESPONSE,
    FieldBody,
    FieldChangeBody,
    FieldPage,
    FieldResponse,
    GroupBody,
    GroupChangeBody,
    GroupPage,
    GroupResponse,
    OrgMetaBody,
    OrgMetaResponse,
    field_response,
    group_response,
    org_meta_response,
    to_field,
    to_field_change,
    to_group,
    to_group_change,
    to_tags,
)
from cockade.api.parameters import Page, Size
from cockade.errors import CustomFieldNotFound, GroupNotFound
from cockade.http.envelope import Envelope, paginate
from cockade.http.errors import BODY_ERRORS, error_responses, example
from cockade.http.request import ApiRequest, JsonBody
from cockade.ids import CustomFieldId, GroupId
from cockade.metadata.service import MetadataService

PathGroup = Annotated[
    str,
    PathParameter(
        description="Group id, 24 hex digits.",
        examples=[Example(summary="A group", value="0123456789abcdef01234567")],
    ),
]
PathField = Annotated[
    str,
    PathParameter(
        description="Custom field id, 24 hex digits.",
        examples=[Example(summary="A custom field", value="0123456789abcdef01234567")],
    ),
]
WRITING = (errors.InvalidInput, errors.PermissionDenied, *BODY_ERRORS)
"""Errors of every operation with a body."""


@post(
    "/group",
    operation_id="createGroup",
    summary="Create a group",
    tags=["Groups"],
    responses=error_responses(*WRITING),
)
async def create_group(
    request: ApiRequest,
    data: Annotated[JsonBody[GroupBody], Body(examples=[Example(summary="A group", value=EXAMPLE_GROUP)])],
    metadata: NamedDependency[MetadataService],
) -> Envelope[GroupResponse]:
    """Create a group."""
    body = data.read(to_group)
    return Envelope(group_response(await metadata.create_group(request.user, body.name, body.rank)))


@put(
    "/{group_id:str}",
    operation_id="updateGroup",
    summary="Change a group",
    description="Missing fields keep their values; a null rank removes the rank.",
    tags=["Groups"],
    responses=error_responses(*WRITING, errors.GroupNotFound),
)
async def update_group(
    request: ApiRequest,
    group_id: PathGroup,
    data: Annotated[
        JsonBody[GroupChangeBody],
        Body(examples=[Example(summary="Remove the rank and deactivate", value=EXAMPLE_GROUP_CHANGE)]),
    ],
    metadata: NamedDependency[MetadataService],
) -> Envelope[GroupResponse]:
    """Return the changed group."""
    change = data.read(to_group_change)
    return Envelope(group_response(await metadata.update_group(request.user, _group_id(group_id), change)))


@get(
    "/group/{group_id:str}",
    operation_id="getGroup",
    summary="Get a group",
    tags=["Groups"],
    responses=error_responses(errors.InvalidInput, errors.GroupNotFound),
)
async def get_group(
    request: ApiRequest, group_id: PathGroup, metadata: NamedDependency[MetadataService]
) -> Envelope[GroupResponse]:
    """Return one group."""
    return Envelope(group_response(await metadata.get_group(request.user, _group_id(group_id))))


@get(
    "/group",
    operation_id="listGroups",
    summary="List groups",
    description="By rank and then by name; groups without a rank come last.",
    tags=["Groups"],
    responses=error_responses(errors.InvalidInput),
)
async def list_groups(
    request: ApiRequest, metadata: NamedDependency[MetadataService], page: Page = 0, size: Size = 10
) -> Envelope[GroupPage]:
    """Return a page of groups."""
    groups, total = await metadata.list_groups(request.user, page=page, size=size)
    return Envelope(GroupPage([group_response(group) for group in groups], paginate(page, size, total)))


@post(
    "/customField",
    operation_id="createCustomField",
    summary="Create a custom field",
    tags=["Custom fields"],
    responses=error_responses(*WRITING, errors.CustomFieldNameTaken),
)
async def create_field(
    request: ApiRequest,
    data: Annotated[
        JsonBody[FieldBody], Body(examples=[Example(summary="A mandatory field", value=EXAMPLE_FIELD)])
    ],
    metadata: NamedDependency[MetadataService],
) -> Envelope[FieldResponse]:
    """Create a custom field."""
    return Envelope(field_response(await metadata.create_field(request.user, data.read(to_field))))


@put(
    "/customField/{field_id:str}",
    operation_id="updateCustomField",
    summary="Change a custom field",
    description="Missing fields keep their values; a null defaultValue removes the default. The data type cannot change. The values of badges stay.",
    tags=["Custom fields"],
    responses=error_responses(*WRITING, errors.CustomFieldNotFound, errors.CustomFieldNameTaken),
)
async def update_field(
    request: ApiRequest,
    field_id: PathField,
    data: Annotated[
        JsonBody[FieldChangeBody],
        Body(examples=[Example(summary="A new default", value=EXAMPLE_FIELD_CHANGE)]),
    ],
    metadata: NamedDependency[MetadataService],
) -> Envelope[FieldResponse]:
    """Return the changed custom field."""
    found = await metadata.get_field(request.user, _field_id(field_id))
    change = data.read(lambda body, field_errors: to_field_change(body, found, field_errors))
    return Envelope(field_response(await metadata.update_field(request.user, found.field_id, change)))


@get(
    "/customField/{field_id:str}",
    operation_id="getCustomField",
    summary="Get a custom field",
    tags=["Custom fields"],
    responses=error_responses(errors.InvalidInput, errors.CustomFieldNotFound),
)
async def get_field(
    request: ApiRequest, field_id: PathField, metadata: NamedDependency[MetadataService]
) -> Envelope[FieldResponse]:
    """Return one custom field."""
    return Envelope(field_response(await metadata.get_field(request.user, _field_id(field_id))))


@get(
    "/customField",
    operation_id="listCustomFields",
    summary="List custom fields",
    description="Newest first.",
    tags=["Custom fields"],
    responses=error_responses(errors.InvalidInput),
)
async def list_fields(
    request: ApiRequest, metadata: NamedDependency[MetadataService], page: Page = 0, size: Size = 10
) -> Envelope[FieldPage]:
    """Return a page of custom fields."""
    fields, total = await metadata.list_fields(request.user, page=page, size=size)
    return Envelope(FieldPage([field_response(field) for field in fields], paginate(page, size, total)))


@post(
    "/orgMeta",
    operation_id="createOrgMeta",
    summary="Define the org's tags",
    tags=["Org meta"],
    responses=error_responses(*WRITING, errors.OrgMetaExists),
)
async def create_org_meta(
    request: ApiRequest,
    data: Annotated[JsonBody[OrgMetaBody], Body(examples=[Example(summary="A tag", value=EXAMPLE_ORG_META)])],
    metadata: NamedDependency[MetadataService],
) -> Envelope[OrgMetaResponse]:
    """Create the org meta."""
    return Envelope(org_meta_response(await metadata.create_org_meta(request.user, data.read(to_tags))))


@put(
    "/orgMeta",
    operation_id="updateOrgMeta",
    summary="Replace the org's tags",
    description="The tags of the body replace all existing ones.",
    tags=["Org meta"],
    responses=error_responses(*WRITING, errors.OrgMetaNotFound),
)
async def update_org_meta(
    request: ApiRequest,
    data: Annotated[JsonBody[OrgMetaBody], Body(examples=[Example(summary="A tag", value=EXAMPLE_ORG_META)])],
    metadata: NamedDependency[MetadataService],
) -> Envelope[OrgMetaResponse]:
    """Return the changed org meta."""
    return Envelope(org_meta_response(await metadata.update_org_meta(request.user, data.read(to_tags))))


@get(
    "/orgMeta",
    operation_id="getOrgMeta",
    summary="Get the org's tag definitions",
    tags=["Org meta"],
    responses=error_responses(errors.OrgMetaNotFound)
    | {200: example("One tag", Envelope[OrgMetaResponse], EXAMPLE_ORG_META_RESPONSE)},
)
async def get_org_meta(
    request: ApiRequest, metadata: NamedDependency[MetadataService]
) -> Envelope[OrgMetaResponse]:
    """Return the org meta."""
    return Envelope(org_meta_response(await metadata.get_org_meta(request.user)))


def _group_id(text: str) -> GroupId:
    found = ids.read_id(text)
    if found is None:
        raise GroupNotFound
    return GroupId(found)


def _field_id(text: str) -> CustomFieldId:
    found = ids.read_id(text)
    if found is None:
        raise CustomFieldNotFound
    return CustomFieldId(found)
