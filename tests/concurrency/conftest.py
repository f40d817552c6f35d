"""Eight processes for the races."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.concurrency.workers import Crew

PROCESSES = 8


@pytest.fixture(scope="session")
def crew(database_url: str) -> Generator[Crew]:
    """Processes with services of their own on the shared database."""
    made = Crew(database_url, PROCESSES)
    yield made
    made.end()
