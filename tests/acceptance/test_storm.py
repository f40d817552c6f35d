"""A short storm, and the proof that its checker would find each promise broken. `make storm` is the long one."""

from __future__ import annotations

import ast
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from storm import checker, diary, windows
from storm.checker import Promise, check
from storm.diary import Diary
from storm.report import report
from storm.run import Weather, blow, verify
from storm.site import Site, site
from tests.acceptance.service import temporary_home
from tests.acceptance.tampering import BREAKS, Break, Forger

CALM_S = 4.0
STORM_S = 12.0
DOCS = Path(__file__).parents[2] / "docs" / "storm.md"


@pytest_asyncio.fixture(scope="module")
async def place() -> AsyncGenerator[Site]:
    """Two services on one database."""
    with temporary_home() as home:
        async with site(home, workers=2, seed=0) as made:
            yield made


@pytest_asyncio.fixture(scope="module")
async def calm(place: Site) -> Diary:
    """What was called and answered while nobody disturbed."""
    written = Diary()
    await blow(place, Weather(seconds=CALM_S, seed=1, sabotage_pause_s=None), written)
    return written


async def test_calm_breaks_no_promise(place: Site, calm: Diary) -> None:
    assert await verify(place.database_url, calm) == []


@pytest.mark.parametrize(("broken", "promise"), BREAKS, ids=[each.__name__ for each, _ in BREAKS])
async def test_checker_names_exactly_the_promise_that_was_broken(
    place: Site, calm: Diary, broken: Break, promise: Promise
) -> None:
    connection = await asyncpg.connect(place.database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        copy = calm.copy()
        await broken(Forger(connection, copy))
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


@pytest.mark.parametrize("module", [checker, windows, diary], ids=lambda module: module.__name__)
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
    place: Site, record_property: Callable[[str, object], None]
) -> None:
    written = Diary()
    seed = random.SystemRandom().randrange(2**31)
    await blow(place, Weather(seconds=STORM_S, seed=seed), written)
    violations = await verify(place.database_url, written)
    lines = report(written, violations)
    record_property("storm", "; ".join(line.strip() for line in lines))
    assert violations == [], "\n".join(lines)
