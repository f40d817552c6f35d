"""Rules of custom fields: data types, validation of fields, default values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cockade.errors import FieldError
from cockade.ids import CustomFieldId, OrgId
from cockade.metadata import rules
from cockade.metadata.model import CustomField, DataType, FieldChange, FieldDraft

INTEGER, BOOLEAN, DATE, STRING = DataType
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def draft(
    data_type: DataType = STRING,
    *,
    name: str = "season",
    default: Any = None,
    is_mandatory: bool = False,
    is_active: bool = True,
) -> FieldDraft:
    return FieldDraft(
        name=name,
        data_type=data_type,
        is_mandatory=is_mandatory,
        default_value=default,
        is_active=is_active,
    )


def field(data_type: DataType = STRING, **more: Any) -> CustomField:
    return CustomField(
        org_id=OrgId(1001),
        created_at=NOW,
        created_by="a",
        updated_at=NOW,
        updated_by="a",
        field_id=CustomFieldId("0" * 24),
        draft=draft(data_type, **more),
    )


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (0, {INTEGER, DATE}),
        (-1, {INTEGER}),
        (2**63 - 1, {INTEGER}),
        (2**63, set()),
        (-(2**63), {INTEGER}),
        (-(2**63) - 1, set()),
        (10**400, set()),
        (5.0, {DATE}),
        (-0.5, set()),
        (True, {BOOLEAN}),
        (False, {BOOLEAN}),
        ("5", {INTEGER, DATE, STRING}),
        ("-5", {INTEGER, STRING}),
        ("007", {INTEGER, DATE, STRING}),
        (str(2**63 - 1), {INTEGER, STRING}),
        (str(2**63), {STRING}),
        (str(-(2**63)), {INTEGER, STRING}),
        ("9" * 5000, {STRING}),
        ("+5", {STRING}),
        ("--5", {STRING}),
        ("5\n", {DATE, STRING}),
        (" 5", {DATE, STRING}),
        ("5.0", {DATE, STRING}),
        ("1e3", {STRING}),
        ("٣", {STRING}),
        ("", {STRING}),
        ("true", {BOOLEAN, STRING}),
        ("false", {BOOLEAN, STRING}),
        ("True", {STRING}),
        ("yes", {STRING}),
        ("2026-01-01T00:00:00Z", {DATE, STRING}),
        ("2026-01-01T00:00:00.5+05:30", {DATE, STRING}),
        ("2026-01-01T00:00:00", {STRING}),
        ("2026-01-01", {STRING}),
        ("2026-02-30T00:00:00Z", {STRING}),
        (1_735_689_600_000, {INTEGER, DATE}),
        ("x" * 10_000, {STRING}),
        ("x" * 10_001, set()),
        ("a\0", set()),
        ([], set()),
        (["a"], set()),
        ({}, set()),
    ],
)
def test_value_has_exactly_its_data_types(value: object, kinds: set[DataType]) -> None:
    assert {kind for kind in DataType if rules.is_of(kind, value)} == kinds


def test_every_data_type_has_an_error_message() -> None:
    assert list(rules.TYPE_NAMES) == list(DataType)
    assert all(str(kind) in message for kind, message in rules.TYPE_NAMES.items())


@pytest.mark.parametrize(
    ("field_draft", "expected"),
    [
        (draft(), []),
        (draft(default="summer"), []),
        (draft(default="summer", is_mandatory=True), []),
        (draft(INTEGER, default=0, is_mandatory=True), []),
        (draft(BOOLEAN, default=False, is_mandatory=True), []),
        (draft(default="", is_mandatory=True), []),
        (draft(is_mandatory=True), ["A mandatory field needs a defaultValue."]),
        (draft(is_mandatory=True, is_active=False), ["A mandatory field needs a defaultValue."]),
        (draft(INTEGER, default="x"), [rules.TYPE_NAMES[INTEGER]]),
        (draft(BOOLEAN, default=1, is_mandatory=True), [rules.TYPE_NAMES[BOOLEAN]]),
    ],
)
def test_custom_field_validation(field_draft: FieldDraft, expected: list[str]) -> None:
    assert rules.custom_field_errors(field_draft) == [
        FieldError(400, message, "defaultValue") for message in expected
    ]


WHOLE = draft(default="summer", is_mandatory=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (FieldChange(), WHOLE),
        (FieldChange(name="other"), draft(name="other", default="summer", is_mandatory=True)),
        (FieldChange(is_mandatory=False), draft(default="summer")),
        (FieldChange(default_value="winter"), draft(default="winter", is_mandatory=True)),
        (FieldChange(default_value=None), draft(is_mandatory=True)),
        (FieldChange(default_value=""), draft(default="", is_mandatory=True)),
        (FieldChange(is_active=False), draft(default="summer", is_mandatory=True, is_active=False)),
    ],
)
def test_change_keeps_fields_that_are_not_set(change: FieldChange, expected: FieldDraft) -> None:
    assert rules.changed(WHOLE, change) == expected


FIELDS = [
    field(INTEGER, name="size"),
    field(BOOLEAN, name="warm", is_mandatory=True, default=False),
    field(DATE, name="sold", is_active=False, is_mandatory=True, default=0),
]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"size": 5, "warm": "true"}, []),
        ({"size": None, "warm": None}, []),
        ({"size": "x"}, ["size"]),
        ({"size": True, "warm": 1}, ["size", "warm"]),
        ({"sold": "x"}, []),
        ({"other": ["x"], "Size": "x"}, []),
    ],
)
def test_values_are_validated_against_active_fields(values: dict[str, Any], expected: list[str]) -> None:
    field_errors = rules.value_errors(values, FIELDS)
    assert [(field_error.code, field_error.reference) for field_error in field_errors] == [
        (400, f"customFields.{name}") for name in expected
    ]


def test_error_of_a_value_names_the_data_type() -> None:
    [field_error] = rules.value_errors({"size": "x"}, FIELDS)
    assert "INTEGER" in field_error.message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"warm": False}),
        ({"warm": None}, {"warm": False}),
        ({"warm": True}, {"warm": True}),
        ({"warm": "true", "size": None, "x": 1}, {"warm": "true", "size": None, "x": 1}),
        ({"Warm": True}, {"Warm": True, "warm": False}),
    ],
)
def test_missing_mandatory_values_get_their_default(values: dict[str, Any], expected: dict[str, Any]) -> None:
    assert rules.complete(values, FIELDS) == expected
    assert rules.complete(expected, FIELDS) == expected


def test_undefined_returns_unknown_names() -> None:
    assert rules.undefined(["size", "sold", "Size", "", "other"], FIELDS) == ["Size", "", "other"]
