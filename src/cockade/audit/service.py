"""Read the audit trail. Entries are written by the services that make the changes."""

from __future__ import annotations

from cockade.audit import store
from cockade.audit.model import AuditRecord, EntryFilter
from cockade.storage.database import Database


class AuditService:
    """Read the audit trail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_entries(self, filters: EntryFilter, before: int | None, size: int) -> list[AuditRecord]:
        """Return at most `size` entries, newest first, starting before the entry id `before`."""
        return await self._database.transaction(
            "audit.list", lambda tx: store.list_entries(tx, filters, before, size)
        )
