"""Groups, custom fields and the org meta: the handlers. Their wire structs are in `cockade.http.catalogue`."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter

from cockade import errors, ids
from cockade.catalogue.service import CatalogueService
from cockade.errors import CustomFieldNotFound, GroupNotFound
from cockade.http import wire
from cockade.http.catalogue import (
    EXAMPLE_FIELD,
    EXAMPLE_FIELD_CHANGE,
    EXAMPLE_GROUP,
    EXAMPLE_GROUP_CHANGE,
    EXAMPLE_ORG_META,
    EXAMPLE_ORG_META_ANSWER,
    FieldAnswer,
    FieldBody,
    FieldChangeBody,
    FieldPage,
    GroupAnswer,
    GroupBody,
    GroupChangeBody,
    GroupPage,
    OrgMetaAnswer,
    OrgMetaBody,
    field_answer,
    group_answer,
    org_meta_answer,
    to_field,
    to_field_change,
    to_group,
    to_group_change,
    to_tags,
)
from cockade.http.errors import BODIES, documented, example
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.routes.badge import Page, Size
from cockade.http.wire import Envelope
from cockade.ids import CustomFieldId, GroupId

PathGroup = Annotated[
    str,
    PathParameter(
        description="The group's id, 24 hex digits.",
        examples=[Example(summary="A group", value="0123456789abcdef01234567")],
    ),
]
PathField = Annotated[
    str,
    PathParameter(
        description="The custom field's id, 24 hex digits.",
        examples=[Example(summary="A custom field", value="0123456789abcdef01234567")],
    ),
]
WRITING = (errors.InvalidInput, errors.NotAllowed, *BODIES)
"""How every call that brings a body can fail."""


@post(
    "/group",
    operation_id="createGroup",
    summary="Create a group",
    tags=["Groups"],
    responses=documented(*WRITING),
)
async def create_group(
    request: ApiRequest,
    data: Annotated[JsonBody[GroupBody], Body(examples=[Example(summary="A group", value=EXAMPLE_GROUP)])],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[GroupAnswer]:
    """Make a group."""
    body = data.read(to_group)
    return Envelope(group_answer(await catalogue.create_group(request.user, body.name, body.rank)))


@put(
    "/{group_id:str}",
    operation_id="updateGroup",
    summary="Change a group",
    description="Fields that are absent stay as they are; a null rank takes the rank away.",
    tags=["Groups"],
    responses=documented(*WRITING, errors.GroupNotFound),
)
async def update_group(
    request: ApiRequest,
    group_id: PathGroup,
    data: Annotated[
        JsonBody[GroupChangeBody],
        Body(examples=[Example(summary="Without rank, and not active", value=EXAMPLE_GROUP_CHANGE)]),
    ],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[GroupAnswer]:
    """The group as it is then."""
    change = data.read(to_group_change)
    return Envelope(group_answer(await catalogue.update_group(request.user, _group_id(group_id), change)))


@get(
    "/group/{group_id:str}",
    operation_id="getGroup",
    summary="Get a group",
    tags=["Groups"],
    responses=documented(errors.InvalidInput, errors.GroupNotFound),
)
async def get_group(
    request: ApiRequest, group_id: PathGroup, catalogue: NamedDependency[CatalogueService]
) -> Envelope[GroupAnswer]:
    """One group."""
    return Envelope(group_answer(await catalogue.get_group(request.user, _group_id(group_id))))


@get(
    "/group",
    operation_id="listGroups",
    summary="List groups",
    description="By rank, those without one last; then by name.",
    tags=["Groups"],
    responses=documented(errors.InvalidInput),
)
async def list_groups(
    request: ApiRequest, catalogue: NamedDependency[CatalogueService], page: Page = 0, size: Size = 10
) -> Envelope[GroupPage]:
    """A page of groups."""
    groups, total = await catalogue.list_groups(request.user, page=page, size=size)
    return Envelope(GroupPage([group_answer(group) for group in groups], wire.paginate(page, size, total)))


@post(
    "/customField",
    operation_id="createCustomField",
    summary="Create a custom field",
    tags=["Custom fields"],
    responses=documented(*WRITING, errors.CustomFieldNameTaken),
)
async def create_field(
    request: ApiRequest,
    data: Annotated[
        JsonBody[FieldBody], Body(examples=[Example(summary="A mandatory field", value=EXAMPLE_FIELD)])
    ],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[FieldAnswer]:
    """Make a custom field."""
    return Envelope(field_answer(await catalogue.create_field(request.user, data.read(to_field))))


@put(
    "/customField/{field_id:str}",
    operation_id="updateCustomField",
    summary="Change a custom field",
    description="Fields that are absent stay as they are; a null defaultValue takes the default away. "
    "The data type cannot be changed. Badges keep the values that they have.",
    tags=["Custom fields"],
    responses=documented(*WRITING, errors.CustomFieldNotFound, errors.CustomFieldNameTaken),
)
async def update_field(
    request: ApiRequest,
    field_id: PathField,
    data: Annotated[
        JsonBody[FieldChangeBody],
        Body(examples=[Example(summary="Another default", value=EXAMPLE_FIELD_CHANGE)]),
    ],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[FieldAnswer]:
    """The custom field as it is then."""
    found = await catalogue.get_field(request.user, _field_id(field_id))
    change = data.read(lambda body, faults: to_field_change(body, found, faults))
    return Envelope(field_answer(await catalogue.update_field(request.user, found.field_id, change)))


@get(
    "/customField/{field_id:str}",
    operation_id="getCustomField",
    summary="Get a custom field",
    tags=["Custom fields"],
    responses=documented(errors.InvalidInput, errors.CustomFieldNotFound),
)
async def get_field(
    request: ApiRequest, field_id: PathField, catalogue: NamedDependency[CatalogueService]
) -> Envelope[FieldAnswer]:
    """One custom field."""
    return Envelope(field_answer(await catalogue.get_field(request.user, _field_id(field_id))))


@get(
    "/customField",
    operation_id="listCustomFields",
    summary="List custom fields",
    description="Newest first.",
    tags=["Custom fields"],
    responses=documented(errors.InvalidInput),
)
async def list_fields(
    request: ApiRequest, catalogue: NamedDependency[CatalogueService], page: Page = 0, size: Size = 10
) -> Envelope[FieldPage]:
    """A page of custom fields."""
    fields, total = await catalogue.list_fields(request.user, page=page, size=size)
    return Envelope(FieldPage([field_answer(field) for field in fields], wire.paginate(page, size, total)))


@post(
    "/orgMeta",
    operation_id="createOrgMeta",
    summary="Define the org's tags",
    tags=["Org meta"],
    responses=documented(*WRITING, errors.OrgMetaExists),
)
async def create_org_meta(
    request: ApiRequest,
    data: Annotated[JsonBody[OrgMetaBody], Body(examples=[Example(summary="A tag", value=EXAMPLE_ORG_META)])],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[OrgMetaAnswer]:
    """Make the org meta."""
    return Envelope(org_meta_answer(await catalogue.create_org_meta(request.user, data.read(to_tags))))


@put(
    "/orgMeta",
    operation_id="updateOrgMeta",
    summary="Define the org's tags anew",
    description="The tags of the body take the place of all that there were.",
    tags=["Org meta"],
    responses=documented(*WRITING, errors.OrgMetaNotFound),
)
async def update_org_meta(
    request: ApiRequest,
    data: Annotated[JsonBody[OrgMetaBody], Body(examples=[Example(summary="A tag", value=EXAMPLE_ORG_META)])],
    catalogue: NamedDependency[CatalogueService],
) -> Envelope[OrgMetaAnswer]:
    """The org meta as it is then."""
    return Envelope(org_meta_answer(await catalogue.update_org_meta(request.user, data.read(to_tags))))


@get(
    "/orgMeta",
    operation_id="getOrgMeta",
    summary="Get the org's tag definitions",
    tags=["Org meta"],
    responses=documented(errors.OrgMetaNotFound)
    | {200: example("One tag", Envelope[OrgMetaAnswer], EXAMPLE_ORG_META_ANSWER)},
)
async def get_org_meta(
    request: ApiRequest, catalogue: NamedDependency[CatalogueService]
) -> Envelope[OrgMetaAnswer]:
    """The org meta."""
    return Envelope(org_meta_answer(await catalogue.get_org_meta(request.user)))


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
