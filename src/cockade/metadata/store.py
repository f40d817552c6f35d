"""Typed functions, one per SQL statement, of groups, custom fields and the org meta."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from asyncpg import UniqueViolationError
from msgspec import UNSET

from cockade.errors import CustomFieldNameTaken
from cockade.ids import CustomFieldId, GroupId, OrgId
from cockade.metadata.model import (
    CustomField,
    DataType,
    FieldDraft,
    Group,
    GroupChange,
    OrgMeta,
    TagDefinition,
)
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_tags = msgspec.json.Decoder(list[TagDefinition]).decode


async def insert_group(
    tx: Tx, org_id: OrgId, group_id: GroupId, name: str, rank: int | None, now: datetime, username: str
) -> Group:
    """Store an active group."""
    row = await tx.row(SQL["insert_group"], org_id, group_id, name, rank, now, username)
    assert row is not None
    return _group(row)


async def update_group(
    tx: Tx, org_id: OrgId, group_id: GroupId, change: GroupChange, now: datetime, username: str
) -> Group | None:
    """Change a group and return it, or None if the org does not have it."""
    row = await tx.row(
        SQL["update_group"],
        org_id,
        group_id,
        change.name,
        None if change.rank is UNSET else change.rank,
        change.rank is not UNSET,
        change.is_active,
        now,
        username,
    )
    return None if row is None else _group(row)


async def lock_group(tx: Tx, org_id: OrgId, group_id: GroupId) -> Group | None:
    """Return the group and lock its row until the end of the transaction, or None."""
    row = await tx.row(SQL["lock_group"], org_id, group_id)
    return None if row is None else _group(row)


async def find_group(tx: Tx, org_id: OrgId, group_id: GroupId) -> Group | None:
    """Return the group, or None if the org does not have it."""
    row = await tx.row(SQL["find_group"], org_id, group_id)
    return None if row is None else _group(row)


async def list_groups(tx: Tx, org_id: OrgId, page: int, size: int) -> tuple[list[Group], int]:
    """Return a page of the org's groups by rank and name, and the number on all pages."""
    rows = await tx.rows(SQL["list_groups"], org_id, size, page * size)
    return [_group(row) for row in rows], await tx.value(SQL["count_groups"], org_id)


async def group_names(tx: Tx, org_id: OrgId, group_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of the groups that exist in the org, by id."""
    distinct_ids = sorted(set(group_ids))
    if not distinct_ids:
        return {}
    return {row[0]: row[1] for row in await tx.rows(SQL["group_names"], org_id, distinct_ids)}


async def insert_field(
    tx: Tx, org_id: OrgId, field_id: CustomFieldId, draft: FieldDraft, now: datetime, username: str
) -> CustomField:
    """Insert a custom field. Raises CustomFieldNameTaken."""
    with _unique_names():
        row = await tx.row(
            SQL["insert_field"],
            org_id,
            field_id,
            draft.name,
            draft.data_type.value,
            draft.is_mandatory,
            _encode_default(draft),
            draft.is_active,
            now,
            username,
        )
    assert row is not None
    return _field(row)


async def update_field(
    tx: Tx, org_id: OrgId, field_id: CustomFieldId, draft: FieldDraft, now: datetime, username: str
) -> CustomField:
    """Store a change of an existing custom field. Raises CustomFieldNameTaken."""
    with _unique_names():
        row = await tx.row(
            SQL["update_field"],
            org_id,
            field_id,
            draft.name,
            draft.is_mandatory,
            _encode_default(draft),
            draft.is_active,
            now,
            username,
        )
    assert row is not None
    return _field(row)


async def find_field(tx: Tx, org_id: OrgId, field_id: CustomFieldId) -> CustomField | None:
    """Return the custom field, or None if the org does not have it."""
    row = await tx.row(SQL["find_field"], org_id, field_id)
    return None if row is None else _field(row)


async def lock_field(tx: Tx, org_id: OrgId, field_id: CustomFieldId) -> CustomField | None:
    """Return the custom field and lock its row until the end of the transaction, or None."""
    row = await tx.row(SQL["lock_field"], org_id, field_id)
    return None if row is None else _field(row)


async def list_fields(tx: Tx, org_id: OrgId, page: int, size: int) -> tuple[list[CustomField], int]:
    """Return a page of the org's custom fields, newest first, and the number on all pages."""
    rows = await tx.rows(SQL["list_fields"], org_id, size, page * size)
    return [_field(row) for row in rows], await tx.value(SQL["count_fields"], org_id)


async def all_fields(tx: Tx, org_id: OrgId) -> list[CustomField]:
    """Return all custom fields of the org, newest first."""
    return [_field(row) for row in await tx.rows(SQL["list_fields"], org_id, None, 0)]


async def insert_org_meta(
    tx: Tx, org_id: OrgId, meta_id: str, tags: list[TagDefinition], now: datetime, username: str
) -> OrgMeta | None:
    """Store the org meta. Returns None if the org already has one."""
    row = await tx.row(SQL["insert_org_meta"], org_id, meta_id, _encode(tags), now, username)
    return None if row is None else _org_meta(row)


async def update_org_meta(
    tx: Tx, org_id: OrgId, tags: list[TagDefinition], now: datetime, username: str
) -> OrgMeta | None:
    """Replace the tags of the org meta. Returns None if the org has none."""
    row = await tx.row(SQL["update_org_meta"], org_id, _encode(tags), now, username)
    return None if row is None else _org_meta(row)


async def find_org_meta(tx: Tx, org_id: OrgId) -> OrgMeta | None:
    """Return the org meta, or None."""
    row = await tx.row(SQL["find_org_meta"], org_id)
    return None if row is None else _org_meta(row)


async def lock_org_meta(tx: Tx, org_id: OrgId) -> OrgMeta | None:
    """Return the org meta and lock its row until the end of the transaction, or None."""
    row = await tx.row(SQL["lock_org_meta"], org_id)
    return None if row is None else _org_meta(row)


@contextmanager
def _unique_names() -> Generator[None]:
    try:
        yield
    except UniqueViolationError as error:
        if error.constraint_name == "custom_field_name_unique":
            raise CustomFieldNameTaken(reference="name") from None
        raise


def _encode_default(draft: FieldDraft) -> bytes | None:
    return None if draft.default_value is None else _encode(draft.default_value)


def _record(
    org_id: int, created_at: datetime, created_by: str, updated_at: datetime, updated_by: str
) -> dict[str, Any]:
    """Return the fields of the first five columns, which all tables of this module have."""
    return {
        "org_id": OrgId(org_id),
        "created_at": created_at,
        "created_by": created_by,
        "updated_at": updated_at,
        "updated_by": updated_by,
    }


def _group(row: Row) -> Group:
    *common, group_id, name, rank, is_active = row
    return Group(**_record(*common), group_id=GroupId(group_id), name=name, rank=rank, is_active=is_active)


def _field(row: Row) -> CustomField:
    *common, field_id, name, data_type, is_mandatory, default_value, is_active = row
    return CustomField(
        **_record(*common),
        field_id=CustomFieldId(field_id),
        draft=FieldDraft(
            name=name,
            data_type=DataType(data_type),
            is_mandatory=is_mandatory,
            default_value=None if default_value is None else _decode(default_value),
            is_active=is_active,
        ),
    )


def _org_meta(row: Row) -> OrgMeta:
    *common, meta_id, tags = row
    return OrgMeta(**_record(*common), meta_id=meta_id, tags=_tags(tags))
