"""Types of groups, custom fields and the org meta."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from cockade.ids import CustomFieldId, GroupId, OrgId


class DataType(StrEnum):
    """Data type of the values of a custom field or tag."""

    INTEGER = "INTEGER"
    """A 64-bit integer, as a number or a string of digits."""
    BOOLEAN = "BOOLEAN"
    """True or false, as a boolean or a string."""
    DATE = "DATE"
    """A time in any format that the contract allows."""
    STRING = "STRING"
    """Text without null characters."""


class Record(Struct, frozen=True, kw_only=True):
    """The org, and when and by which user the record was created and last changed."""

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
    """Sort position among the groups, lowest first. Groups without a rank come last."""
    is_active: bool


class GroupChange(Struct, frozen=True, kw_only=True):
    """A change of a group. Fields that are not set stay unchanged."""

    name: str | None = None
    rank: int | UnsetType | None = UNSET
    """None removes the rank."""
    is_active: bool | None = None


class FieldDraft(Struct, frozen=True, kw_only=True):
    """The changeable part of a custom field."""

    name: str
    data_type: DataType
    is_mandatory: bool
    """Whether each new badge gets a value."""
    default_value: Any
    """The value of new badges that have none, as it was sent. None means no default."""
    is_active: bool = True
    """Inactive fields are not filled in and not validated."""


class CustomField(Record, frozen=True, kw_only=True):
    """A stored custom field."""

    field_id: CustomFieldId
    draft: FieldDraft


class FieldChange(Struct, frozen=True, kw_only=True):
    """A change of a custom field. Fields that are not set stay unchanged. The data type cannot change."""

    name: str | None = None
    is_mandatory: bool | None = None
    default_value: Any = UNSET
    """None removes the default."""
    is_active: bool | None = None


class TagDefinition(Struct, frozen=True, kw_only=True, rename="camel"):
    """Definition of a tag of the org's badges. Informational: badges are not validated against it."""

    key: str
    data_type: DataType
    description: str | None
    mandatory: bool


class OrgMeta(Record, frozen=True, kw_only=True):
    """The tag definitions of an org."""

    meta_id: str
    tags: list[TagDefinition]
