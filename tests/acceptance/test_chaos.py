"""A short storm, and the proof that its checker would find each promise broken. `make storm` is the long one."""

from __future__ import annotations

import ast
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from chaos import checker, history, windows
from chaos.checker import Promise, check
from chaos.environment import Environment, environment
from chaos.history import History
from chaos.report import report
from chaos.run import Intensity, run_faults, verify
from tests.acceptance.mutations import BREAKS, Corruptor, Mutation
from tests.acceptance.service import temporary_home

CALM_S = 4.0
STORM_S = 12.0
DOCS = Path(__file__).parents[2] / "docs" / "explanation" / "chaos-testing.md"


@pytest_asyncio.fixture(scope="module")
async def place() -> AsyncGenerator[Environment]:
    """Two services on one database."""
    with temporary_home() as home:
        async with environment(home, workers=2, seed=0) as made:
            yield made


@pytest_asyncio.fixture(scope="module")
async def direct_sender(place: Environment) -> History:
    """What was called and answered while nobody disturbed."""
    written = History()
    await run_faults(place, Intensity(seconds=CALM_S, seed=1, fault_pause_s=None), written)
    return written


async def test_calm_breaks_no_promise(place: Environment, direct_sender: History) -> None:
    assert await verify(place.database_url, direct_sender) == []


@pytest.mark.parametrize(("broken", "promise"), BREAKS, ids=[each.__name__ for each, _ in BREAKS])
async def test_checker_names_exactly_the_promise_that_was_broken(
    place: Environment, direct_sender: History, broken: Mutation, promise: Promise
) -> None:
    connection = await asyncpg.connect(place.database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        copy = direct_sender.copy()
        await broken(Corruptor(connection, copy))
        violations = await check(connection, copy)
    finally:
        await transaction.rollback()
        await connection.close()
    assert {each.promise for each in violations} == {promise}, violations[:5]


def test_each_promise_is_broken_by_somebody() -> None:
    assert {promise for _, promise in BREAKS} == set(Promise)


def test_page_lists_every_promise_and_every_break() -> None:
    page = DOCS.read_text()
    words = [each.__name__.replace("_", " ") for each, _ in BREAKS]
    assert [word for word in [*words, *Promise] if word not in page] == []


@pytest.mark.parametrize("module", [checker, windows, history], ids=lambda module: module.__name__)
def test_checker_shares_no_code_with_what_it_checks(module: object) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())  # pyright: ignore[reportAttributeAccessIssue]
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
    }  # fmt: skip
    assert not {name for name in imported if name.partition(".")[0] in ("cockade", "tests")}


async def test_short_storm_breaks_no_promise(
    place: Environment, record_property: Callable[[str, object], None]
) -> None:
    written = History()
    seed = random.SystemRandom().randrange(2**31)
    await run_faults(place, Intensity(seconds=STORM_S, seed=seed), written)
    violations = await verify(place.database_url, written)
    lines = report(written, violations)
    record_property("storm", "; ".join(line.strip() for line in lines))
    assert violations == [], "\n".join(lines)
