"""The environment of a run: two services on one database, and proxies to each of the three."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from chaos.proxy import Proxy, database_proxy, proxied_url
from tests.acceptance.service import Service

REQUEST_TIMEOUT_S = 15
SETTINGS = {
    "LOG_LEVEL": "warning",
    "POOL_SIZE": "6",
    "LOCK_TIMEOUT_S": "5",
    "REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S),
}


class Environment(Struct, frozen=True, kw_only=True):
    """Two running services and their proxies."""

    first: Service
    """Runs the embedded database server."""
    second: Service
    """Connects to the database of the first service through a proxy."""
    proxies: list[Proxy]
    """Proxies to the database, to the first and to the second service, in this order."""
    origins: list[str]
    """URLs that clients use: each service directly, and each through its proxy."""

    @property
    def database_url(self) -> str:
        """URL of the database, without a proxy."""
        return self.first.database_url


@asynccontextmanager
async def start_environment(home: Path, *, workers: int, seed: int) -> AsyncGenerator[Environment]:
    """Run both services with this number of workers each, until the block ends."""
    rng = random.Random(f"{seed} proxies")
    async with AsyncExitStack() as stack:

        async def start_service(name: str, **settings: str) -> Service:
            folder = home / name
            folder.mkdir(mode=0o755)
            service = Service(folder, workers=workers, settings=SETTINGS | settings)
            # Starting and stopping block, so they run in threads: the proxies need the event loop.
            stack.push_async_callback(asyncio.to_thread, service.close)
            await asyncio.to_thread(service.start)
            return service

        async def start_proxy(proxy: Proxy) -> Proxy:
            return await stack.enter_async_context(proxy.listen())

        first = await start_service("first")
        to_database = await start_proxy(database_proxy(first.database_url, rng))
        second = await start_service("second", DATABASE_URL=proxied_url(to_database, first.database_url))
        to_services = [
            await start_proxy(Proxy("127.0.0.1", service.port, rng)) for service in (first, second)
        ]
        yield Environment(
            first=first,
            second=second,
            proxies=[to_database, *to_services],
            origins=[
                first.origin,
                second.origin,
                *(f"http://127.0.0.1:{proxy.port}" for proxy in to_services),
            ],
        )
