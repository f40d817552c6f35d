"""The queue's tables, which a migration of ours makes, are those that its library expects."""

from __future__ import annotations

from cockade.storage.connection import Connection
from cockade.storage.queue import queries


async def test_the_migrations_make_what_the_library_declares(connection: Connection) -> None:
    """Where it fails after an upgrade of the library, a new migration has these statements."""
    plan = await queries(connection).plan_upgrade()
    assert plan.statements == ()
