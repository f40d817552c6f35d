"""Pure rules of custom fields (`docs/reference/api/custom-fields.md`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import msgspec
from msgspec import UNSET

from cockade import times
from cockade.errors import MALFORMED, FieldError
from cockade.metadata.model import CustomField, DataType, FieldChange, FieldDraft, Group

STRING_CHARS_MAX = 10_000
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
_INTEGER = re.compile(r"-?[0-9]{1,19}")

TYPE_NAMES = {
    DataType.INTEGER: f"An INTEGER must be an integer from {INTEGER_MIN} to {INTEGER_MAX}, or a string of its digits.",
    DataType.BOOLEAN: 'A BOOLEAN must be true or false, or "true" or "false".',
    DataType.DATE: "A DATE must be ISO 8601 with an offset, or epoch seconds or milliseconds.",
    DataType.STRING: f"A STRING must have at most {STRING_CHARS_MAX} characters and no NUL.",
}
"""Error messages for values of the wrong type."""


def is_of(data_type: DataType, value: object) -> bool:
    """Whether a decoded JSON value has this type."""
    match data_type:
        case DataType.INTEGER:
            return _is_integer(value)
        case DataType.BOOLEAN:
            return isinstance(value, bool) or value in ("true", "false")
        case DataType.DATE:
            return _is_date(value)
        case DataType.STRING:
            return isinstance(value, str) and len(value) <= STRING_CHARS_MAX and "\0" not in value
        case _:
            assert_never(data_type)


def _is_integer(value: object) -> bool:
    if isinstance(value, str):
        return bool(_INTEGER.fullmatch(value)) and INTEGER_MIN <= int(value) <= INTEGER_MAX
    return isinstance(value, int) and not isinstance(value, bool) and INTEGER_MIN <= value <= INTEGER_MAX


def _is_date(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        times.read_instant(value)
    except ValueError:
        return False
    return True


def custom_field_errors(draft: FieldDraft) -> list[FieldError]:
    """Return the errors of a custom field: a mandatory one needs a default, and a default must have the data
    type.
    """
    if draft.default_value is None:
        message = "A mandatory field needs a defaultValue."
        return [FieldError(MALFORMED, message, "defaultValue")] if draft.is_mandatory else []
    if is_of(draft.data_type, draft.default_value):
        return []
    return [FieldError(MALFORMED, TYPE_NAMES[draft.data_type], "defaultValue")]


def changed(draft: FieldDraft, change: FieldChange) -> FieldDraft:
    """Return the custom field with the change applied."""
    return msgspec.structs.replace(
        draft,
        name=draft.name if change.name is None else change.name,
        is_mandatory=draft.is_mandatory if change.is_mandatory is None else change.is_mandatory,
        default_value=draft.default_value if change.default_value is UNSET else change.default_value,
        is_active=draft.is_active if change.is_active is None else change.is_active,
    )


def value_errors(values: Mapping[str, Any], fields: Iterable[CustomField]) -> list[FieldError]:
    """Return the errors of a badge's values that do not have the type of their active field. Null has every
    type.
    """
    return [
        FieldError(MALFORMED, TYPE_NAMES[draft.data_type], f"customFields.{draft.name}")
        for draft in (field.draft for field in fields)
        if draft.is_active and (value := values.get(draft.name)) is not None
        if not is_of(draft.data_type, value)
    ]


def complete(values: Mapping[str, Any], fields: Iterable[CustomField]) -> dict[str, Any]:
    """Return the values of a badge, with defaults for active mandatory fields that are missing or null."""
    drafts = [field.draft for field in fields]
    return {
        **values,
        **{
            draft.name: draft.default_value
            for draft in drafts
            if draft.is_active and draft.is_mandatory and values.get(draft.name) is None
        },
    }


def undefined(values: Iterable[str], fields: Iterable[CustomField]) -> list[str]:
    """Return the names in `values` that no custom field of the org has, active or not."""
    defined = {field.draft.name for field in fields}
    return [name for name in values if name not in defined]


def group_audit_details(group: Group) -> dict[str, object]:
    """Return the fields of a group with their API names."""
    return {"name": group.name, "rank": group.rank, "isActive": group.is_active}


def field_audit_details(draft: FieldDraft) -> dict[str, object]:
    """Return the fields of a custom field with their API names."""
    return {
        "name": draft.name,
        "dataType": draft.data_type,
        "isMandatory": draft.is_mandatory,
        "defaultValue": draft.default_value,
        "isActive": draft.is_active,
    }
