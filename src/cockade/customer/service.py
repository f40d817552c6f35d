"""Store customer identifiers, and find customers by them."""

from __future__ import annotations

from collections.abc import Mapping

from cockade.audit.model import Action
from cockade.audit.rules import named
from cockade.audit.store import record
from cockade.auth.model import Caller
from cockade.clock import Clock
from cockade.customer import store
from cockade.customer.model import Identifier, IdentifierCounts
from cockade.errors import CustomerNotFound
from cockade.ids import CustomerId
from cockade.storage.database import Database, Tx


class CustomerService:
    """Identifiers of the customers of the caller's org. Each method is one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put_identifiers(
        self, caller: Caller, owned: Mapping[Identifier, CustomerId]
    ) -> IdentifierCounts:
        """Assign each identifier to its customer, even if it belonged to another one."""

        async def body(tx: Tx) -> IdentifierCounts:
            counts = await store.put(tx, caller.org_id, owned)
            if counts.created or counts.updated:
                details = {"createdCount": counts.created, "updatedCount": counts.updated}
                details |= named(owned.values())
                await record(tx, caller, self._clock(), Action.PUT_IDENTIFIERS, "identifiers", details)
            return counts

        return await self._database.transaction("customer.put_identifiers", body)

    async def find(self, caller: Caller, identifier: Identifier) -> CustomerId:
        """Return the customer with this identifier. Raises CustomerNotFound."""
        customer = None
        if "\0" not in identifier.value:  # PostgreSQL text cannot contain NUL
            customer = await self._database.transaction(
                "customer.find", lambda tx: store.find(tx, caller.org_id, identifier)
            )
        if customer is None:
            raise CustomerNotFound(f"No customer has this {identifier.kind}.")
        return customer
