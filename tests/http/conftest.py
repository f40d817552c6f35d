"""An org for the tables of a module: each row makes what it looks at."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from cockade.app import Services
from tests.support import Org, make_org


@pytest_asyncio.fixture(scope="module")
async def shared_org(services: Services) -> AsyncGenerator[Org]:
    """An org for tests that need no org of their own, because verifying credentials is slow by design."""
    made = await make_org(services, f"shared-{time.time_ns()}")
    async with made.client:
        yield made


MATRIX = pytest.StashKey[dict[str, dict[str, str]]]()


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """Operation → credential → answer, filled in by the tenancy matrix; shown at the end of a run with `-v`."""
    return request.config.stash.setdefault(MATRIX, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    shown = config.stash.get(MATRIX, {}) if config.get_verbosity() > 0 else {}
    columns = list(dict.fromkeys(column for row in shown.values() for column in row))
    widths = [max(len(label) for label in ["operation", *shown])] + [max(11, len(name)) for name in columns]
    for label, row in {"operation": {name: name for name in columns}, **shown}.items() if shown else []:
        cells = [label, *(row.get(column, "-") for column in columns)]
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        terminalreporter.write_line(line.rstrip())
