"""The wire structs of groups, custom fields and the org meta, and how they become commands, and records answers."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cockade.catalogue import rules
from cockade.catalogue.model import (
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
from cockade.errors import Fault
from cockade.http.body import Faults
from cockade.http.wire import NO_NUL, Pagination, Text, time_fields

TAGS_MAX = 100
"""How many tags an org meta may define."""

Rank = Annotated[int, Meta(ge=0, le=2**31 - 1)]

EXAMPLE_GROUP = {"name": "Socks", "rank": 1}
EXAMPLE_GROUP_CHANGE = {"rank": None, "isActive": False}
EXAMPLE_FIELD = {"name": "season", "dataType": "STRING", "isMandatory": True, "defaultValue": "summer"}
EXAMPLE_FIELD_CHANGE = {"defaultValue": "winter"}
EXAMPLE_ORG_META = {
    "tags": [{"key": "colour", "dataType": "STRING", "description": "Of the sock", "mandatory": False}]
}


class RecordAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose it is, who made it, and who changed it last."""

    id: Annotated[str, Meta(description="24 hex digits.")]
    org_id: int
    created_on: float
    created_on_iso: str = msgspec.field(name="createdOnISO")
    created_by: str
    last_updated_on: float
    last_updated_on_iso: str = msgspec.field(name="lastUpdatedOnISO")
    last_updated_by: str


class GroupBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A group as somebody wants to have it."""

    name: Annotated[Text, Meta(description="Need not be unique.")]
    rank: Annotated[Rank | None, Meta(description="Its place in lists, the lowest first.")] = None


class GroupChangeBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is to become of a group; absent fields stay."""

    name: Text | None = None
    rank: Annotated[Rank | UnsetType | None, Meta(description="Null takes it away.")] = UNSET
    is_active: bool | None = None


class GroupAnswer(RecordAnswer, frozen=True, kw_only=True, rename="camel"):
    """A group."""

    name: str
    rank: int | None
    is_active: bool


class GroupPage(Struct, frozen=True, rename="camel"):
    """One page of groups, by rank and name."""

    badge_groups: list[GroupAnswer]
    pagination: Pagination


class FieldBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A custom field as somebody wants to have it."""

    name: Annotated[Text, Meta(description="Unique in the org, case sensitive.")]
    data_type: DataType
    is_mandatory: Annotated[bool | None, Meta(description="False when absent.")] = None
    default_value: Annotated[
        Any, Meta(description="Of the data type; what a new badge gets where the field is mandatory.")
    ] = None


class FieldChangeBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is to become of a custom field; absent fields stay."""

    name: Text | None = None
    data_type: Annotated[DataType | None, Meta(description="Cannot be changed.")] = None
    is_mandatory: bool | None = None
    default_value: Annotated[Any, Meta(description="Null takes it away.")] = UNSET
    is_active: bool | None = None


class FieldAnswer(RecordAnswer, frozen=True, kw_only=True, rename="camel"):
    """A custom field."""

    name: str
    data_type: DataType
    is_mandatory: bool
    default_value: Any
    is_active: bool


class FieldPage(Struct, frozen=True):
    """One page of custom fields, newest first."""

    custom_fields: list[FieldAnswer] = msgspec.field(name="customFieldROList")
    pagination: Pagination


class TagBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A tag that badges may carry."""

    key: Annotated[Text, Meta(description="Distinct in the org meta.")]
    data_type: Annotated[DataType | None, Meta(description="STRING when absent.")] = None
    description: Annotated[str, Meta(max_length=10_000, pattern=NO_NUL)] | None = None
    mandatory: Annotated[bool | None, Meta(description="False when absent.")] = None


class OrgMetaBody(Struct, frozen=True, kw_only=True):
    """The tag definitions of the org, all of them."""

    tags: Annotated[list[TagBody], Meta(max_length=TAGS_MAX)]


class OrgMetaAnswer(RecordAnswer, frozen=True, kw_only=True, rename="camel"):
    """The tag definitions of the org."""

    tags: list[TagDefinition]


EXAMPLE_ORG_META_ANSWER = OrgMetaAnswer(
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


def to_group(body: GroupBody, faults: Faults) -> GroupBody:
    """The body, once its name is one."""
    _check_name(body.name, faults)
    return body


def to_group_change(body: GroupChangeBody, faults: Faults) -> GroupChange:
    """The change that the body asks for."""
    _check_name(body.name, faults)
    return GroupChange(name=body.name, rank=body.rank, is_active=body.is_active)


def to_field(body: FieldBody, faults: Faults) -> FieldDraft:
    """The custom field that the body asks for."""
    _check_name(body.name, faults)
    draft = FieldDraft(
        name=body.name,
        data_type=body.data_type,
        is_mandatory=bool(body.is_mandatory),
        default_value=body.default_value,
    )
    if body.data_type:  # else it could not be read, which has been noted
        _note(rules.field_faults(draft), faults)
    return draft


def to_field_change(body: FieldChangeBody, field: CustomField, faults: Faults) -> FieldChange:
    """The change that the body asks for of this custom field."""
    _check_name(body.name, faults)
    if body.data_type not in (None, field.draft.data_type):
        faults.note("dataType", f"The data type cannot be changed; it is {field.draft.data_type}.")
    change = FieldChange(
        name=body.name,
        is_mandatory=body.is_mandatory,
        default_value=body.default_value,
        is_active=body.is_active,
    )
    _note(rules.field_faults(rules.changed(field.draft, change)), faults)
    return change


def to_tags(body: OrgMetaBody, faults: Faults) -> list[TagDefinition]:
    """The tag definitions of the body; notes keys that come a second time."""
    tags: dict[str, TagDefinition] = {}
    for place, tag in enumerate(body.tags or []):
        if not tag or not tag.key:  # it could not be read, which has been noted
            continue
        if not tag.key.strip():
            faults.note(f"tags[{place}].key", "key is mandatory.")
        if tag.key in tags:
            faults.note(f"tags[{place}].key", "Another tag has this key.")
        tags[tag.key] = TagDefinition(
            key=tag.key,
            data_type=tag.data_type or DataType.STRING,
            description=tag.description,
            mandatory=bool(tag.mandatory),
        )
    return list(tags.values())


def group_answer(group: Group) -> GroupAnswer:
    """A group."""
    return GroupAnswer(
        **_record(group), id=group.group_id, name=group.name, rank=group.rank, is_active=group.is_active
    )


def field_answer(field: CustomField) -> FieldAnswer:
    """A custom field."""
    draft = field.draft
    return FieldAnswer(
        **_record(field),
        id=field.field_id,
        name=draft.name,
        data_type=draft.data_type,
        is_mandatory=draft.is_mandatory,
        default_value=draft.default_value,
        is_active=draft.is_active,
    )


def org_meta_answer(meta: OrgMeta) -> OrgMetaAnswer:
    """The tag definitions."""
    return OrgMetaAnswer(**_record(meta), id=meta.meta_id, tags=meta.tags)


def _record(record: Record) -> dict[str, Any]:
    return {
        "org_id": record.org_id,
        **time_fields("created_on", record.created_at),
        "created_by": record.created_by,
        **time_fields("last_updated_on", record.updated_at),
        "last_updated_by": record.updated_by,
    }


def _check_name(name: str | None, faults: Faults) -> None:
    if name and not name.strip():
        faults.note("name", "name is mandatory.")


def _note(found: list[Fault], faults: Faults) -> None:
    for fault in found:
        faults.note(fault.reference, fault.message, fault.code)
