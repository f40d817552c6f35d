"""Fixtures of all tests: one migrated database per test process, and an org per test, so that tests can really commit.

`COCKADE_TEST_DATABASE_URL` selects another server than the embedded one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Generator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from cockade import app, clock
from cockade.app import Services
from cockade.config import Config
from cockade.storage.database import connect
from cockade.storage.embedded import embedded_database
from cockade.storage.migrate import migrate
from tests.support import Org, make_org

ORDER = ("lint", "unit", "property", "storage", "http", "concurrency", "acceptance")
_seconds: dict[str, float] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run fast tests first, to fail early. With several workers, run the slow files first, to finish together."""
    items.sort(key=lambda item: ORDER.index(_layer(item.nodeid)), reverse=hasattr(config, "workerinput"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    layer = _layer(report.nodeid)
    _seconds[layer] = _seconds.get(layer, 0) + report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    spent = ", ".join(f"{layer} {_seconds[layer]:.0f} s" for layer in ORDER if layer in _seconds)
    terminalreporter.write_line(f"Time in tests: {spent}")


def _layer(nodeid: str) -> str:
    return nodeid.split("/")[1]


@pytest.fixture(scope="session")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The migrated database that all tests of this process share."""
    given = os.environ.get("COCKADE_TEST_DATABASE_URL")
    if given:
        asyncio.run(_migrate(given))
        yield given
        return
    with embedded_database(reachable(tmp_path_factory.mktemp("database"))) as url:
        asyncio.run(_migrate(url))
        yield url


def reachable(directory: Path) -> Path:
    """If we are root, let the system user of the embedded server enter `directory`."""
    if os.geteuid() == 0:
        for place in (directory, *directory.parents):
            if place.stat().st_uid == 0 and not place.stat().st_mode & 0o001:
                place.chmod(place.stat().st_mode | 0o111)
    return directory


async def _migrate(url: str) -> None:
    connection = await connect(url)
    await migrate(connection, clock.now())
    await connection.close()


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Generator[None]:
    """Use cheap password hashes in this process. Services in other processes hash as in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "cockade.auth.service.PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=64)
        )
        yield


@pytest_asyncio.fixture(scope="session")
async def services(database_url: str) -> AsyncGenerator[Services]:
    """All services on the shared database, in this process."""
    # All tests sign in from one address, and many of them with wrong secrets.
    settings = Config(pool_size=20, login_failures_per_username=100_000, login_failures_per_ip=100_000)
    async with app.running_services(database_url, settings) as composed:
        yield composed


@pytest_asyncio.fixture
async def org(services: Services) -> AsyncGenerator[Org]:
    """A new org with a caller, and a client whose requests pass through the whole app."""
    made = await make_org(services, f"test-{time.time_ns()}")
    async with made.client:
        yield made


@pytest_asyncio.fixture
async def other_org(services: Services) -> AsyncGenerator[Org]:
    """A second org, for isolation tests."""
    made = await make_org(services, f"other-{time.time_ns()}")
    async with made.client:
        yield made
