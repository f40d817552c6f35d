"""The queue tables in our schema match what the queue library expects."""

from __future__ import annotations

from cockade.storage.connection import Connection
from cockade.storage.queue import queries


async def test_schema_has_the_tables_that_the_queue_library_declares(connection: Connection) -> None:
    """If this fails after an upgrade of the library, add a migration with its new statements."""
    plan = await queries(connection).plan_upgrade()
    assert plan.statements == ()
