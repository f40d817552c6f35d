"""Read the audit trail. Entries are written by the services that change things."""

from __future__ import annotations

from cockade.audit import store
from cockade.audit.model import AuditRecord, EntryFilter
from cockade.storage.database import Database


class AuditService:
    """Use cases of `audit`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_entries(self, wanted: EntryFilter, before: int | None, size: int) -> list[AuditRecord]:
        """Return up to `size` entries before the entry `before`, newest first."""
        return await self._database.transaction(
            "audit.list", lambda tx: store.list_entries(tx, wanted, before, size)
        )
