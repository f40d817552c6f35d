"""An org for the tables of a module: each row makes what it looks at."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import pytest_asyncio

from cockade.http.app import Services
from tests.support import Org, make_org


@pytest_asyncio.fixture(scope="module")
async def shared_org(services: Services) -> AsyncGenerator[Org]:
    """Proving a credential is slow on purpose; whoever needs no org to himself takes this one."""
    made = await make_org(services, f"shared-{time.time_ns()}")
    async with made.client:
        yield made
