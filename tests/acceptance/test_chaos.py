"""A short chaos test, and tests of its checker. `make chaos` runs the long one."""

from __future__ import annotations

import ast
import random
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from chaos import checker, history, windows
from chaos.checker import Guarantee, check
from chaos.environment import Environment, start_environment
from chaos.history import History
from chaos.report import report
from chaos.run import RunOptions, run_faults, verify
from tests.acceptance.mutations import MUTATIONS, Corruptor, Mutation
from tests.acceptance.service import temporary_home

WITHOUT_FAULTS_S = 4.0
WITH_FAULTS_S = 12.0
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "chaos-testing.md"


@pytest_asyncio.fixture(scope="module")
async def environment() -> AsyncGenerator[Environment]:
    """Two services on one database."""
    with temporary_home() as home:
        async with start_environment(home, workers=2, seed=0) as started:
            yield started


@pytest_asyncio.fixture(scope="module")
async def without_faults(environment: Environment) -> History:
    """The history of a short run without faults."""
    recorded = History()
    await run_faults(environment, RunOptions(seconds=WITHOUT_FAULTS_S, seed=1, fault_pause_s=None), recorded)
    return recorded


async def test_run_without_faults_has_no_violations(
    environment: Environment, without_faults: History
) -> None:
    assert await verify(environment.database_url, without_faults) == []


@pytest.mark.parametrize(
    ("mutation", "guarantee"), MUTATIONS, ids=[mutation.__name__ for mutation, _ in MUTATIONS]
)
async def test_checker_reports_exactly_the_violated_guarantee(
    environment: Environment, without_faults: History, mutation: Mutation, guarantee: Guarantee
) -> None:
    connection = await asyncpg.connect(environment.database_url)
    transaction = connection.transaction()
    await transaction.start()
    try:
        copy = without_faults.copy()
        await mutation(Corruptor(connection, copy))
        violations = await check(connection, copy)
    finally:
        await transaction.rollback()
        await connection.close()
    assert {violation.guarantee for violation in violations} == {guarantee}, violations[:5]


def test_every_guarantee_has_a_mutation() -> None:
    assert {guarantee for _, guarantee in MUTATIONS} == set(Guarantee)


def test_docs_list_every_guarantee_and_mutation() -> None:
    page = PAGE.read_text()
    names = [mutation.__name__.replace("_", " ") for mutation, _ in MUTATIONS]
    assert [name for name in [*names, *Guarantee] if name not in page] == []


@pytest.mark.parametrize("module", [checker, windows, history], ids=lambda module: module.__name__)
def test_checker_shares_no_code_with_the_service(module: object) -> None:
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


async def test_short_run_with_faults_has_no_violations(
    environment: Environment, record_property: Callable[[str, object], None]
) -> None:
    recorded = History()
    seed = random.SystemRandom().randrange(2**31)
    await run_faults(environment, RunOptions(seconds=WITH_FAULTS_S, seed=seed), recorded)
    violations = await verify(environment.database_url, recorded)
    lines = report(recorded, violations)
    record_property("chaos test", "; ".join(line.strip() for line in lines))
    assert violations == [], "\n".join(lines)
