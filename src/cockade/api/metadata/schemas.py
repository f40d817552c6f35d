"""Request and response schemas of groups, custom fields and the org meta."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cockade.api.schemas import NO_NUL, RecordResponse, Text
from cockade.errors import FieldError
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import Pagination, json_name, time_fields
from cockade.metadata import rules
from cockade.metadata.model import (
    CustomField,
    DataType,
    FieldChange,
    FieldDraft,
    Group,
    GroupChange,
    OrgMeta,
    Record,
    TagDefinition,
)

TAGS_MAX = 100
"""Maximum number of tags of an org meta."""

Rank = Annotated[int, Meta(ge=0, le=2**31 - 1)]

EXAMPLE_GROUP = {"name": "Socks", "rank": 1}
EXAMPLE_GROUP_CHANGE = {"rank": None, "isActive": False}
EXAMPLE_FIELD = {"name": "season", "dataType": "STRING", "isMandatory": True, "defaultValue": "summer"}
EXAMPLE_FIELD_CHANGE = {"defaultValue": "winter"}
EXAMPLE_ORG_META = {
    "tags": [{"key": "colour", "dataType": "STRING", "description": "Of the sock", "mandatory": False}]
}


class GroupBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The desired state of a group."""

    name: Annotated[Text, Meta(description="Need not be unique.")]
    rank: Annotated[Rank | None, Meta(description="Position in lists, ascending.")] = None


class GroupChangeBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """A change of a group. Missing fields keep their values."""

    name: Text | None = None
    rank: Annotated[Rank | UnsetType | None, Meta(description="Null removes it.")] = UNSET
    is_active: bool | None = None


class GroupResponse(RecordResponse, frozen=True, kw_only=True, rename=json_name):
    """A group of badges."""

    name: str
    rank: int | None
    is_active: bool


class GroupPage(Struct, frozen=True, rename=json_name):
    """One page of groups, by rank and name."""

    badge_groups: list[GroupResponse]
    pagination: Pagination


class FieldBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The desired state of a custom field."""

    name: Annotated[Text, Meta(description="Unique in the org, case-sensitive.")]
    data_type: DataType
    is_mandatory: Annotated[bool | None, Meta(description="Default: false.")] = None
    default_value: Annotated[
        Any, Meta(description="The value of new badges if the field is mandatory. Must match the data type.")
    ] = None


class FieldChangeBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """A change of a custom field. Missing fields keep their values."""

    name: Text | None = None
    data_type: Annotated[DataType | None, Meta(description="Cannot be changed.")] = None
    is_mandatory: bool | None = None
    default_value: Annotated[Any, Meta(description="Null removes it.")] = UNSET
    is_active: bool | None = None


class FieldResponse(RecordResponse, frozen=True, kw_only=True, rename=json_name):
    """A custom field."""

    name: str
    data_type: DataType
    is_mandatory: bool
    default_value: Any
    is_active: bool


class FieldPage(Struct, frozen=True):
    """One page of custom fields, newest first."""

    custom_fields: list[FieldResponse] = msgspec.field(name="customFieldROList")
    pagination: Pagination


class TagBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """A tag that badges may have."""

    key: Annotated[Text, Meta(description="Unique in the org meta.")]
    data_type: Annotated[DataType | None, Meta(description="Default: STRING.")] = None
    description: Annotated[str, Meta(max_length=10_000, pattern=NO_NUL)] | None = None
    mandatory: Annotated[bool | None, Meta(description="Default: false.")] = None


class OrgMetaBody(Struct, frozen=True, kw_only=True):
    """All tag definitions of the org."""

    tags: Annotated[list[TagBody], Meta(max_length=TAGS_MAX)]


class OrgMetaResponse(RecordResponse, frozen=True, kw_only=True, rename=json_name):
    """The tag definitions of the org."""

    tags: list[TagDefinition]


EXAMPLE_ORG_META_RESPONSE = OrgMetaResponse(
    id="0123456789abcdef01234567",
    org_id=1001,
    created_on=1795442899.71158,
    created_on_iso="2026-11-23T14:08:19Z",
    created_by="backend",
    last_updated_on=1795442899.71158,
    last_updated_on_iso="2026-11-23T14:08:19Z",
    last_updated_by="backend",
    tags=[TagDefinition(key="colour", data_type=DataType.STRING, description="Of the sock", mandatory=False)],
)


def to_group(body: GroupBody, field_errors: FieldErrors) -> GroupBody:
    """Check that the name is not empty."""
    _check_name(body.name, field_errors)
    return body


def to_group_change(body: GroupChangeBody, field_errors: FieldErrors) -> GroupChange:
    """Return the change of the body."""
    _check_name(body.name, field_errors)
    return GroupChange(name=body.name, rank=body.rank, is_active=body.is_active)


def to_field(body: FieldBody, field_errors: FieldErrors) -> FieldDraft:
    """Return the custom field of the body."""
    _check_name(body.name, field_errors)
    draft = FieldDraft(
        name=body.name,
        data_type=body.data_type,
        is_mandatory=bool(body.is_mandatory),
        default_value=body.default_value,
    )
    if body.data_type:  # otherwise its error is already added
        _note(rules.custom_field_errors(draft), field_errors)
    return draft


def to_field_change(body: FieldChangeBody, field: CustomField, field_errors: FieldErrors) -> FieldChange:
    """Return the change of this custom field."""
    _check_name(body.name, field_errors)
    if body.data_type not in (None, field.draft.data_type):
        field_errors.add("dataType", f"The data type cannot be changed; it is {field.draft.data_type}.")
    change = FieldChange(
        name=body.name,
        is_mandatory=body.is_mandatory,
        default_value=body.default_value,
        is_active=body.is_active,
    )
    _note(rules.custom_field_errors(rules.changed(field.draft, change)), field_errors)
    return change


def to_tags(body: OrgMetaBody, field_errors: FieldErrors) -> list[TagDefinition]:
    """Return the tag definitions. Adds errors for duplicate keys."""
    tags: dict[str, TagDefinition] = {}
    for place, tag in enumerate(body.tags or []):
        if not tag or not tag.key:  # its error is already added
            continue
        if not tag.key.strip():
            field_errors.add(f"tags[{place}].key", "key is mandatory.")
        if tag.key in tags:
            field_errors.add(f"tags[{place}].key", "Another tag has the same key.")
        tags[tag.key] = TagDefinition(
            key=tag.key,
            data_type=tag.data_type or DataType.STRING,
            description=tag.description,
            mandatory=bool(tag.mandatory),
        )
    return list(tags.values())


def group_response(group: Group) -> GroupResponse:
    """Return a group."""
    return GroupResponse(
        **_record(group), id=group.group_id, name=group.name, rank=group.rank, is_active=group.is_active
    )


def field_response(field: CustomField) -> FieldResponse:
    """Return a custom field."""
    draft = field.draft
    return FieldResponse(
        **_record(field),
        id=field.field_id,
        name=draft.name,
        data_type=draft.data_type,
        is_mandatory=draft.is_mandatory,
        default_value=draft.default_value,
        is_active=draft.is_active,
    )


def org_meta_response(meta: OrgMeta) -> OrgMetaResponse:
    """Return the tag definitions."""
    return OrgMetaResponse(**_record(meta), id=meta.meta_id, tags=meta.tags)


def _record(record: Record) -> dict[str, Any]:
    return {
        "org_id": record.org_id,
        **time_fields("created_on", record.created_at),
        "created_by": record.created_by,
        **time_fields("last_updated_on", record.updated_at),
        "last_updated_by": record.updated_by,
    }


def _check_name(name: str | None, field_errors: FieldErrors) -> None:
    if name and not name.strip():
        field_errors.add("name", "name is mandatory.")


def _note(found: list[FieldError], field_errors: FieldErrors) -> None:
    for field_error in found:
        field_errors.add(field_error.reference, field_error.message, field_error.code)
