"""Reading the audit trail; it is written by those who change things."""

from __future__ import annotations

from cockade.audit import store
from cockade.audit.model import AuditRecord, EntryFilter
from cockade.storage.database import Database


class AuditService:
    """Use cases of `audit`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_entries(self, wanted: EntryFilter, before: int | None, size: int) -> list[AuditRecord]:
        """So many entries, newest first, the first one being that before the entry `before`."""
        return await self._database.transaction(
            "audit.list", lambda tx: store.list_entries(tx, wanted, before, size)
        )
