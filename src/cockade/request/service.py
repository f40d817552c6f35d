"""Asking what a request did."""

from __future__ import annotations

from cockade.access.model import Caller
from cockade.errors import RequestNotFound
from cockade.request import store
from cockade.request.model import RequestOutcome
from cockade.storage.database import Database


class RequestService:
    """Use cases of `request`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, caller: Caller, request_id: str) -> RequestOutcome:
        """What the request with this id did in the caller's org. Raises RequestNotFound."""
        outcome = await self._database.transaction(
            "request.get", lambda tx: store.find(tx, caller.org_id, request_id)
        )
        if outcome is None:
            raise RequestNotFound(reference="requestId")
        return outcome
