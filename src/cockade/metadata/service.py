"""Create, read and change groups, custom fields and the org meta."""

from __future__ import annotations

import secrets

from cockade import ids
from cockade.audit.model import Action
from cockade.audit.rules import changes
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.clock import Clock
from cockade.errors import CustomFieldNotFound, GroupNotFound, InvalidInput, OrgMetaExists, OrgMetaNotFound
from cockade.ids import CustomFieldId, GroupId
from cockade.metadata import rules, store
from cockade.metadata.model import (
    CustomField,
    FieldChange,
    FieldDraft,
    Group,
    GroupChange,
    OrgMeta,
    TagDefinition,
)
from cockade.storage.database import Database, Tx


class MetadataService:
    """Metadata of the caller's org. Each method is one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create_group(self, caller: Caller, name: str, rank: int | None) -> Group:
        """Create an active group. Names need not be unique."""
        now, group_id = self._clock(), GroupId(self._new_id())

        async def body(tx: Tx) -> Group:
            group = await store.insert_group(tx, caller.org_id, group_id, name, rank, now, caller.username)
            await record(tx, caller, now, Action.CREATE_GROUP, group_id, rules.group_audit_details(group))
            return group

        return await self._database.transaction("group.create", body)

    async def update_group(self, caller: Caller, group_id: GroupId, change: GroupChange) -> Group:
        """Change a group. Raises GroupNotFound."""
        now = self._clock()

        async def body(tx: Tx) -> Group:
            before = await store.lock_group(tx, caller.org_id, group_id)
            group = await store.update_group(tx, caller.org_id, group_id, change, now, caller.username)
            if before is None or group is None:
                raise GroupNotFound
            changed = changes(rules.group_audit_details(before), rules.group_audit_details(group))
            await record(tx, caller, now, Action.UPDATE_GROUP, group_id, {"changed": changed})
            return group

        return await self._database.transaction("group.update", body)

    async def get_group(self, caller: Caller, group_id: GroupId) -> Group:
        """Return a group. Raises GroupNotFound."""
        group = await self._database.transaction(
            "group.get", lambda tx: store.find_group(tx, caller.org_id, group_id)
        )
        if group is None:
            raise GroupNotFound
        return group

    async def list_groups(self, caller: Caller, *, page: int, size: int) -> tuple[list[Group], int]:
        """Return a page (from 0) of the org's groups by rank and name, and the number on all pages."""
        return await self._database.transaction(
            "group.list", lambda tx: store.list_groups(tx, caller.org_id, page, size)
        )

    async def create_field(self, caller: Caller, draft: FieldDraft) -> CustomField:
        """Create a custom field. Raises InvalidInput or CustomFieldNameTaken."""
        if field_errors := rules.custom_field_errors(draft):
            raise InvalidInput(field_errors)
        now, field_id = self._clock(), CustomFieldId(self._new_id())

        async def body(tx: Tx) -> CustomField:
            field = await store.insert_field(tx, caller.org_id, field_id, draft, now, caller.username)
            details = {"name": draft.name, "dataType": draft.data_type}
            await record(tx, caller, now, Action.CREATE_FIELD, field_id, details)
            return field

        return await self._database.transaction("custom_field.create", body)

    async def update_field(self, caller: Caller, field_id: CustomFieldId, change: FieldChange) -> CustomField:
        """Change a custom field. Badges keep their values.

        Raises CustomFieldNotFound, InvalidInput or CustomFieldNameTaken.
        """

        async def body(tx: Tx) -> CustomField:
            before = await store.lock_field(tx, caller.org_id, field_id)
            if before is None:
                raise CustomFieldNotFound
            draft = rules.changed(before.draft, change)
            if field_errors := rules.custom_field_errors(draft):
                raise InvalidInput(field_errors)
            now = self._clock()
            field = await store.update_field(tx, caller.org_id, field_id, draft, now, caller.username)
            changed = changes(rules.field_audit_details(before.draft), rules.field_audit_details(draft))
            await record(tx, caller, now, Action.UPDATE_FIELD, field_id, {"changed": changed})
            return field

        return await self._database.transaction("custom_field.update", body)

    async def get_field(self, caller: Caller, field_id: CustomFieldId) -> CustomField:
        """Return a custom field. Raises CustomFieldNotFound."""
        field = await self._database.transaction(
            "custom_field.get", lambda tx: store.find_field(tx, caller.org_id, field_id)
        )
        if field is None:
            raise CustomFieldNotFound
        return field

    async def list_fields(self, caller: Caller, *, page: int, size: int) -> tuple[list[CustomField], int]:
        """Return a page (from 0) of the org's custom fields, newest first, and the number on all pages."""
        return await self._database.transaction(
            "custom_field.list", lambda tx: store.list_fields(tx, caller.org_id, page, size)
        )

    async def all_fields(self, caller: Caller) -> list[CustomField]:
        """Return all custom fields of the org, to validate the values of a badge."""
        return await self._database.transaction(
            "custom_field.list_all", lambda tx: store.all_fields(tx, caller.org_id)
        )

    async def create_org_meta(self, caller: Caller, tags: list[TagDefinition]) -> OrgMeta:
        """Create the org's tag definitions. Raises OrgMetaExists."""
        now, meta_id = self._clock(), self._new_id()

        async def body(tx: Tx) -> OrgMeta:
            meta = await store.insert_org_meta(tx, caller.org_id, meta_id, tags, now, caller.username)
            if meta is None:
                raise OrgMetaExists
            changed = changes({}, {"tags": tags})
            await record(tx, caller, now, Action.CREATE_ORG_META, meta_id, {"changed": changed})
            return meta

        return await self._database.transaction("org_meta.create", body)

    async def update_org_meta(self, caller: Caller, tags: list[TagDefinition]) -> OrgMeta:
        """Replace the org's tag definitions. Raises OrgMetaNotFound."""
        now = self._clock()

        async def body(tx: Tx) -> OrgMeta:
            before = await store.lock_org_meta(tx, caller.org_id)
            meta = await store.update_org_meta(tx, caller.org_id, tags, now, caller.username)
            if before is None or meta is None:
                raise OrgMetaNotFound
            changed = changes({"tags": before.tags}, {"tags": tags})
            await record(tx, caller, now, Action.UPDATE_ORG_META, meta.meta_id, {"changed": changed})
            return meta

        return await self._database.transaction("org_meta.update", body)

    async def get_org_meta(self, caller: Caller) -> OrgMeta:
        """Return the org's tag definitions. Raises OrgMetaNotFound."""
        meta = await self._database.transaction(
            "org_meta.get", lambda tx: store.find_org_meta(tx, caller.org_id)
        )
        if meta is None:
            raise OrgMetaNotFound
        return meta

    def _new_id(self) -> str:
        return ids.new_id(int(self._clock().timestamp()), secrets.token_bytes(8))
