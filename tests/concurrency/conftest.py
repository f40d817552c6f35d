"""Eight processes for race tests."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.concurrency.workers import Crew

PROCESSES = 8


@pytest.fixture(scope="session")
def crew(database_url: str) -> Generator[Crew]:
    """Start processes with their own services on the shared database."""
    made = Crew(database_url, PROCESSES)
    yield made
    made.end()
