"""Create, find, change, activate and claim badges."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from cockade import ids
from cockade.audit import store as audit_store
from cockade.audit.model import Action
from cockade.audit.rules import changes
from cockade.auth.model import Caller
from cockade.badge import rules, store
from cockade.badge.model import Badge, BadgeCounts, BadgeDraft, BadgeFilter
from cockade.clock import Clock
from cockade.errors import BadgeNotFound, ClaimNotFound, FieldError, InvalidInput, OwnerNotAllowed
from cockade.ids import BadgeId, BadgeKey
from cockade.metadata.rules import value_errors
from cockade.metadata.store import all_fields
from cockade.request.model import OwnerType
from cockade.storage.database import Database, Tx

Recount = Callable[[Tx, BadgeKey, BadgeDraft, BadgeDraft], Awaitable[None]]
"""Recounts earned badges after a change from the first draft to the second, in the same transaction."""


class BadgeService:
    """Use cases of `badge`. Each one is a transaction in the caller's org."""

    def __init__(self, database: Database, clock: Clock, recount: Recount) -> None:
        self._database = database
        self._clock = clock
        self._recount = recount

    async def create(
        self,
        caller: Caller,
        draft: BadgeDraft,
        *,
        migrated_id: BadgeId | None = None,
        is_migration: bool = False,
    ) -> Badge:
        """Create a badge. Raises InvalidInput with all errors, NameTaken and BadgeIdTaken."""
        now = self._clock()
        field_errors = self.creation_errors(caller, draft, is_migration=is_migration)
        badge_id = migrated_id or BadgeId(ids.new_id(int(now.timestamp()), secrets.token_bytes(8)))

        async def body(tx: Tx) -> Badge:
            fields = await all_fields(tx, caller.org_id)
            if found := field_errors + value_errors(draft.presentation.custom_fields, fields):
                raise InvalidInput(found)
            made = resolve_badge_key(rules.with_defaults(draft, fields), None)
            await store.insert(tx, caller.org_id, badge_id, made, now, caller.username)
            await _record(tx, caller, now, Action.BADGE_CREATE, badge_id, {"name": made.name})
            return await _found(tx, caller, badge_id)

        return await self._database.transaction("badge.create", body)

    async def update(self, caller: Caller, badge_id: BadgeId, change: Callable[[Badge], BadgeDraft]) -> Badge:
        """Change a badge with the function `change`. The validity of earned badges stays.

        Raises BadgeNotFound, InvalidInput with all errors, NameTaken, and the errors of `change`.
        """

        async def body(tx: Tx) -> Badge:
            badge_key = await _locked(tx, caller, badge_id)
            stored, now = await _found(tx, caller, badge_id), self._clock()
            fields = await all_fields(tx, caller.org_id)
            draft = resolve_badge_key(rules.with_defaults(change(stored), fields), stored.draft)
            field_errors = rules.change_errors(stored, draft, now, ZoneInfo(caller.time_zone))
            values = draft.presentation.custom_fields
            if (
                values != stored.draft.presentation.custom_fields
            ):  # valid when stored, so it must not prevent other changes
                field_errors += value_errors(values, fields)
            if field_errors:
                raise InvalidInput(field_errors)
            await store.update(tx, badge_key, draft, now, caller.username)
            if rules.limits_differ(stored.draft, draft):
                await self._recount(tx, badge_key, stored.draft, draft)
            changed = changes(rules.audit_details(stored.draft), rules.audit_details(draft))
            await _record(tx, caller, now, Action.BADGE_UPDATE, badge_id, {"changed": changed})
            return await _found(tx, caller, badge_id)

        return await self._database.transaction("badge.update", body)

    def creation_errors(self, caller: Caller, draft: BadgeDraft, *, is_migration: bool) -> list[FieldError]:
        """Return all errors of creating this badge now, except those of its custom fields.

        For callers that report them together with other errors.
        """
        return rules.creation_errors(
            draft, self._clock(), ZoneInfo(caller.time_zone), is_migration=is_migration
        )

    async def get(self, caller: Caller, badge_id: BadgeId) -> Badge:
        """Return one badge with its claims. Raises BadgeNotFound."""
        return await self._database.transaction("badge.get", lambda tx: _found(tx, caller, badge_id))

    async def list_page(
        self, caller: Caller, wanted: BadgeFilter, *, page: int, size: int
    ) -> tuple[list[Badge], int]:
        """Return one page (from 0) of the org's badges, newest first, and their total number."""
        return await self._database.transaction(
            "badge.list", lambda tx: store.list_page(tx, caller.org_id, wanted, self._clock(), page, size)
        )

    async def counts(self, badge_keys: Sequence[BadgeKey]) -> dict[BadgeKey, BadgeCounts]:
        """Return the number of enrolments and earned badges, without revoked ones, of each badge with
        issuances.
        """
        return await self._database.transaction("badge.counts", lambda tx: store.counts(tx, badge_keys))

    async def set_active(self, caller: Caller, badge_id: BadgeId, is_active: bool) -> None:
        """Activate or deactivate a badge. Later decisions see the new state. Raises BadgeNotFound."""
        action = Action.BADGE_ACTIVATE if is_active else Action.BADGE_DEACTIVATE

        async def body(tx: Tx) -> None:
            badge_key, now = await _locked(tx, caller, badge_id), self._clock()
            await store.set_active(tx, badge_key, is_active, now, caller.username)
            await _record(tx, caller, now, action, badge_id, {})

        await self._database.transaction(action.value, body)

    async def claim(self, caller: Caller, badge_id: BadgeId, owner: OwnerType, reference_id: str) -> None:
        """Claim the badge for an owner. Repeating it has no effect. Raises BadgeNotFound and OwnerNotAllowed."""

        async def body(tx: Tx) -> None:
            badge_key = await _locked(tx, caller, badge_id)
            if owner not in (await _found(tx, caller, badge_id)).draft.owners:
                raise OwnerNotAllowed(reference="ownerType")
            if await store.claim(tx, badge_key, owner, reference_id):
                details = {"ownerType": owner, "referenceId": reference_id}
                await _record(tx, caller, self._clock(), Action.BADGE_CLAIM, badge_id, details)

        await self._database.transaction("badge.claim", body)

    async def unclaim(self, caller: Caller, badge_id: BadgeId, owner: OwnerType, reference_id: str) -> None:
        """End a claim, so that its owner cannot issue the badge. Raises BadgeNotFound and ClaimNotFound."""

        async def body(tx: Tx) -> None:
            badge_key = await _locked(tx, caller, badge_id)
            if not await store.unclaim(tx, badge_key, owner, reference_id):
                raise ClaimNotFound
            details = {"ownerType": owner, "referenceId": reference_id}
            await _record(tx, caller, self._clock(), Action.BADGE_UNCLAIM, badge_id, details)

        await self._database.transaction("badge.unclaim", body)


async def _record(
    tx: Tx, caller: Caller, now: datetime, action: Action, badge_id: BadgeId, details: Mapping[str, object]
) -> None:
    await audit_store.record(tx, caller, now, action, badge_id, details, badge_id=badge_id)


async def _found(tx: Tx, caller: Caller, badge_id: BadgeId) -> Badge:
    badge = await store.find(tx, caller.org_id, badge_id)
    if badge is None:
        raise BadgeNotFound
    return badge


async def _locked(tx: Tx, caller: Caller, badge_id: BadgeId) -> BadgeKey:
    hold = await store.lock(tx, caller.org_id, badge_id, exclusive=True)
    if hold is None:
        raise BadgeNotFound
    return hold.badge_key


def resolve_badge_key(draft: BadgeDraft, before: BadgeDraft | None) -> BadgeDraft:
    """Return the draft with an id for each fixed window, kept from the stored badge if it had one."""
    fresh = (str(uuid.uuid4()) for _ in itertools.count())
    return msgspec.structs.replace(
        draft,
        customer_constraints=rules.with_reference_ids(
            draft.customer_constraints, before.customer_constraints if before else [], fresh
        ),
        badge_constraints=rules.with_reference_ids(
            draft.badge_constraints, before.badge_constraints if before else [], fresh
        ),
    )
