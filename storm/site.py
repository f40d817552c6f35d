"""Where a storm happens: two services on one database, and the wires between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from storm.proxy import Wire, url_through, wire_to_database
from tests.acceptance.service import Service

CALL_S_MAX = 15
"""The bound of a call, here."""
SETTINGS = {"LOG_LEVEL": "warning", "POOL_SIZE": "6", "LOCK_TIMEOUT_S": "5", "CALL_S_MAX": str(CALL_S_MAX)}


class Site(Struct, frozen=True, kw_only=True):
    """What is running."""

    owner: Service
    """It owns the database."""
    guest: Service
    """It reaches the database by a wire."""
    wires: list[Wire]
    """To the database, to the owner, to the guest."""
    origins: list[str]
    """All addresses that callers may use: each service, and each by its wire."""

    @property
    def database_url(self) -> str:
        """The database itself, without a wire."""
        return self.owner.database_url


@asynccontextmanager
async def site(home: Path, *, workers: int, seed: int) -> AsyncGenerator[Site]:
    """Running, with so many workers for each service."""
    chance = random.Random(f"{seed} wires")
    async with AsyncExitStack() as stack:

        async def started(name: str, **settings: str) -> Service:
            place = home / name
            place.mkdir(mode=0o755)
            service = Service(place, workers=workers, settings=SETTINGS | settings)
            # In a thread, for the wires have to go on meanwhile.
            stack.push_async_callback(asyncio.to_thread, service.close)
            await asyncio.to_thread(service.start)
            return service

        async def strung(wire: Wire) -> Wire:
            return await stack.enter_async_context(wire.running())

        owner = await started("owner")
        to_database = await strung(wire_to_database(owner.database_url, chance))
        guest = await started("guest", DATABASE_URL=url_through(to_database, owner.database_url))
        to_callers = [await strung(Wire("127.0.0.1", service.port, chance)) for service in (owner, guest)]
        yield Site(
            owner=owner,
            guest=guest,
            wires=[to_database, *to_callers],
            origins=[owner.origin, guest.origin, *(f"http://127.0.0.1:{wire.port}" for wire in to_callers)],
        )
