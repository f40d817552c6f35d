"""Groups, custom fields and the org meta."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from cockade.ids import CustomFieldId, GroupId, OrgId


class DataType(StrEnum):
    """Data types of custom fields and tags."""

    INTEGER = "INTEGER"
    """An integer of at most 64 bits, or its digits as text."""
    BOOLEAN = "BOOLEAN"
    """true or false, or these words as text."""
    DATE = "DATE"
    """A time in any format of the API."""
    STRING = "STRING"
    """Text without null characters."""


class Record(Struct, frozen=True, kw_only=True):
    """Common fields: id, who created it and who changed it last."""

    org_id: OrgId
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class Group(Record, frozen=True, kw_only=True):
    """A group of badges."""

    group_id: GroupId
    name: str
    rank: int | None
    """Its position among the groups, ascending; groups without a rank come last."""
    is_active: bool


class GroupChange(Struct, frozen=True, kw_only=True):
    """A change of a group. Fields that are not set stay."""

    name: str | None = None
    rank: int | UnsetType | None = UNSET
    """None removes the rank."""
    is_active: bool | None = None


class FieldDraft(Struct, frozen=True, kw_only=True):
    """The desired state of a custom field."""

    name: str
    data_type: DataType
    is_mandatory: bool
    """Whether every new badge gets a value."""
    default_value: Any
    """The value of new badges that have none, as sent. None: no default."""
    is_active: bool = True
    """An inactive field is neither filled in nor checked."""


class CustomField(Record, frozen=True, kw_only=True):
    """A stored custom field."""

    field_id: CustomFieldId
    draft: FieldDraft


class FieldChange(Struct, frozen=True, kw_only=True):
    """A change of a custom field. Fields that are not set stay; the data type cannot change."""

    name: str | None = None
    is_mandatory: bool | None = None
    default_value: Any = UNSET
    """None removes the default."""
    is_active: bool | None = None


class TagDefinition(Struct, frozen=True, kw_only=True, rename="camel"):
    """A tag that badges of the org may have. It is informative: badges are not checked against it."""

    key: str
    data_type: DataType
    description: str | None
    mandatory: bool


class OrgMeta(Record, frozen=True, kw_only=True):
    """The tag definitions of an org."""

    meta_id: str
    tags: list[TagDefinition]
