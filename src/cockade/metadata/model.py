"""What a group, a custom field and the org meta are."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from cockade.ids import CustomFieldId, GroupId, OrgId


class DataType(StrEnum):
    """What the values of a custom field or a tag are."""

    INTEGER = "INTEGER"
    """A whole number of at most 64 bits, or its digits as text."""
    BOOLEAN = "BOOLEAN"
    """True or false, or one of these words as text."""
    DATE = "DATE"
    """A time in any of the contract's spellings."""
    STRING = "STRING"
    """Text without NUL."""


class Record(Struct, frozen=True, kw_only=True):
    """Whose it is, who made it, and who changed it last."""

    org_id: OrgId
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class Group(Record, frozen=True, kw_only=True):
    """What badges are sorted by."""

    group_id: GroupId
    name: str
    rank: int | None
    """Its place among the groups, the lowest first; groups without one come last."""
    is_active: bool


class GroupChange(Struct, frozen=True, kw_only=True):
    """What is to become of a group; what is not given stays."""

    name: str | None = None
    rank: int | UnsetType | None = UNSET
    """None takes the rank away."""
    is_active: bool | None = None


class FieldDraft(Struct, frozen=True, kw_only=True):
    """A custom field as somebody wants to have it."""

    name: str
    data_type: DataType
    is_mandatory: bool
    """Whether every new badge gets a value."""
    default_value: Any
    """What it gets where none was sent, as it was written; None: there is no default."""
    is_active: bool = True
    """What is not active is neither filled in nor checked."""


class CustomField(Record, frozen=True, kw_only=True):
    """A custom field as it is stored."""

    field_id: CustomFieldId
    draft: FieldDraft


class FieldChange(Struct, frozen=True, kw_only=True):
    """What is to become of a custom field; what is not given stays, and its data type always does."""

    name: str | None = None
    is_mandatory: bool | None = None
    default_value: Any = UNSET
    """None takes the default away."""
    is_active: bool | None = None


class TagDefinition(Struct, frozen=True, kw_only=True, rename="camel"):
    """A tag that badges of the org may carry; told to callers, and asked of no badge."""

    key: str
    data_type: DataType
    description: str | None
    mandatory: bool


class OrgMeta(Record, frozen=True, kw_only=True):
    """The tag definitions of an org."""

    meta_id: str
    tags: list[TagDefinition]
