"""The environment of a run: two services on one database, with proxies between them and their clients."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from chaos.proxy import Proxy, proxy_to_database, url_via
from tests.acceptance.service import Service

REQUEST_TIMEOUT_S = 15
"""The request timeout in this environment."""
SETTINGS = {
    "LOG_LEVEL": "warning",
    "POOL_SIZE": "6",
    "LOCK_TIMEOUT_S": "5",
    "CALL_S_MAX": str(REQUEST_TIMEOUT_S),
}


class Environment(Struct, frozen=True, kw_only=True):
    """The running processes."""

    owner: Service
    """The service that owns the embedded database."""
    guest: Service
    """The service that reaches the database through a proxy."""
    proxies: list[Proxy]
    """Proxies to the database, to the owner and to the guest."""
    origins: list[str]
    """All addresses that clients may use: each service directly and through its proxy."""

    @property
    def database_url(self) -> str:
        """The URL of the database without a proxy."""
        return self.owner.database_url


@asynccontextmanager
async def environment(home: Path, *, workers: int, seed: int) -> AsyncGenerator[Environment]:
    """Start both services, with this many workers each."""
    chance = random.Random(f"{seed} wires")
    async with AsyncExitStack() as stack:

        async def started(name: str, **settings: str) -> Service:
            place = home / name
            place.mkdir(mode=0o755)
            service = Service(place, workers=workers, settings=SETTINGS | settings)
            # In a thread, because the proxies have to keep running meanwhile.
            stack.push_async_callback(asyncio.to_thread, service.close)
            await asyncio.to_thread(service.start)
            return service

        async def strung(proxy: Proxy) -> Proxy:
            return await stack.enter_async_context(proxy.running())

        owner = await started("owner")
        to_database = await strung(proxy_to_database(owner.database_url, chance))
        guest = await started("guest", DATABASE_URL=url_via(to_database, owner.database_url))
        to_callers = [await strung(Proxy("127.0.0.1", service.port, chance)) for service in (owner, guest)]
        yield Environment(
            owner=owner,
            guest=guest,
            proxies=[to_database, *to_callers],
            origins=[owner.origin, guest.origin, *(f"http://127.0.0.1:{proxy.port}" for proxy in to_callers)],
        )
