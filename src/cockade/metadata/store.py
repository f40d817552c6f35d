"""Statements on groups, custom fields and the org meta, one function each."""

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
    """Insert an active group."""
    row = await tx.row(SQL["insert_group"], org_id, group_id, name, rank, now, username)
    assert row is not None
    return _group(row)


async def update_group(
    tx: Tx, org_id: OrgId, group_id: GroupId, change: GroupChange, now: datetime, username: str
) -> Group | None:
    """Update and return the group, or return None if the org does not have it."""
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
    """Return the group, locked until the transaction ends, or None."""
    row = await tx.row(SQL["lock_group"], org_id, group_id)
    return None if row is None else _group(row)


async def find_group(tx: Tx, org_id: OrgId, group_id: GroupId) -> Group | None:
    """Return the group, or None."""
    row = await tx.row(SQL["find_group"], org_id, group_id)
    return None if row is None else _group(row)


async def list_groups(tx: Tx, org_id: OrgId, page: int, size: int) -> tuple[list[Group], int]:
    """Return one page of the org's groups, by rank and name, and their total number."""
    rows = await tx.rows(SQL["list_groups"], org_id, size, page * size)
    return [_group(row) for row in rows], await tx.value(SQL["count_groups"], org_id)


async def group_names(tx: Tx, org_id: OrgId, group_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of those of the groups that the org has."""
    wanted = sorted(set(group_ids))
    return {row[0]: row[1] for row in await tx.rows(SQL["group_names"], org_id, wanted)} if wanted else {}


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
    """Update a custom field. Raises CustomFieldNameTaken."""
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
    """Return the custom field, or None."""
    row = await tx.row(SQL["find_field"], org_id, field_id)
    return None if row is None else _field(row)


async def lock_field(tx: Tx, org_id: OrgId, field_id: CustomFieldId) -> CustomField | None:
    """Return the custom field, locked until the transaction ends, or None."""
    row = await tx.row(SQL["lock_field"], org_id, field_id)
    return None if row is None else _field(row)


async def list_fields(tx: Tx, org_id: OrgId, page: int, size: int) -> tuple[list[CustomField], int]:
    """Return one page of the org's custom fields, newest first, and their total number."""
    rows = await tx.rows(SQL["list_fields"], org_id, size, page * size)
    return [_field(row) for row in rows], await tx.value(SQL["count_fields"], org_id)


async def all_fields(tx: Tx, org_id: OrgId) -> list[CustomField]:
    """Return every custom field of the org, newest first."""
    return [_field(row) for row in await tx.rows(SQL["list_fields"], org_id, None, 0)]


async def insert_org_meta(
    tx: Tx, org_id: OrgId, meta_id: str, tags: list[TagDefinition], now: datetime, username: str
) -> OrgMeta | None:
    """Insert the org meta. Return None if the org has one."""
    row = await tx.row(SQL["insert_org_meta"], org_id, meta_id, _encode(tags), now, username)
    return None if row is None else _org_meta(row)


async def update_org_meta(
    tx: Tx, org_id: OrgId, tags: list[TagDefinition], now: datetime, username: str
) -> OrgMeta | None:
    """Replace the tags of the org meta. Return None if the org has none."""
    row = await tx.row(SQL["update_org_meta"], org_id, _encode(tags), now, username)
    return None if row is None else _org_meta(row)


async def find_org_meta(tx: Tx, org_id: OrgId) -> OrgMeta | None:
    """Return the org meta, or None."""
    row = await tx.row(SQL["find_org_meta"], org_id)
    return None if row is None else _org_meta(row)


async def lock_org_meta(tx: Tx, org_id: OrgId) -> OrgMeta | None:
    """Return the org meta, locked until the transaction ends, or None."""
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


def _record(row: Row) -> dict[str, Any]:
    """Return the columns that are common to all rows here."""
    return {
        "org_id": OrgId(row[0]),
        "created_at": row[1],
        "created_by": row[2],
        "updated_at": row[3],
        "updated_by": row[4],
    }


def _group(row: Row) -> Group:
    return Group(**_record(row), group_id=GroupId(row[5]), name=row[6], rank=row[7], is_active=row[8])


def _field(row: Row) -> CustomField:
    return CustomField(
        **_record(row),
        field_id=CustomFieldId(row[5]),
        draft=FieldDraft(
            name=row[6],
            data_type=DataType(row[7]),
            is_mandatory=row[8],
            default_value=None if row[9] is None else _decode(row[9]),
            is_active=row[10],
        ),
    )


def _org_meta(row: Row) -> OrgMeta:
    return OrgMeta(**_record(row), meta_id=row[5], tags=_tags(row[6]))
