"""`model.py` and `rules.py` depend only on their arguments, so that every decision can be tested as a table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lint import repo

ALLOWED = {
    "__future__", "bisect", "calendar", "collections", "collections.abc", "dataclasses", "datetime", "enum",
    "email.utils", "functools", "ipaddress", "itertools", "math", "msgspec", "numpy",
    "numpy.typing", "re", "typing", "urllib.parse", "uuid", "zoneinfo",
    "cockade.errors", "cockade.ids", "cockade.times",
}  # fmt: skip
PURE = {"model", "rules"}
IMPURE_CALLS = {
    "open", "print", "input", "__import__", "eval", "exec",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7",
}  # fmt: skip


def violations(tree: ast.Module) -> list[str]:
    """Return imports that are not allowed, and calls with side effects."""
    imports = [f"line {line}: imports {name}" for line, name in _imports(tree) if not _is_pure(name)]
    calls = [f"line {line}: uses {name}" for line, name in repo.used_names(tree) if _is_impure(name)]
    return imports + calls


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [module] if _is_pure(module) else [f"{module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in names)


def _is_pure(name: str) -> bool:
    parts = name.split(".")
    return name in ALLOWED or (parts[0] == "cockade" and len(parts) == 3 and parts[2] in PURE)


def _is_impure(name: str) -> bool:
    return name in IMPURE_CALLS or name.startswith("numpy.random")


def _pure_modules() -> list[Path]:
    return [path for path in repo.modules() if path.stem in PURE]


def test_models_and_rules_are_pure() -> None:
    found = [
        f"{repo.short(path)} {field_error}"
        for path in _pure_modules()
        for field_error in violations(repo.parse(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "import time",
        "from random import choice",
        "import asyncpg",
        "import cockade.clock",
        "from cockade import clock",
        "from cockade.badge import store",
        "from cockade.badge.service import BadgeService",
        "from .store import load",
        "import datetime as dt\nx = dt.datetime.now(dt.UTC)",
        "from datetime import date\nx = date.today()",
        "from uuid import uuid4\nx = uuid4()",
        "x = open('y')",
        "import numpy as np\nx = np.random.default_rng()",
    ],
)
def test_impure_line_is_caught(line: str) -> None:
    assert violations(ast.parse(line))


@pytest.mark.parametrize(
    "line",
    [
        "from collections.abc import Sequence",
        "from cockade import errors, ids",
        "from cockade.badge import model",
        "from cockade.limit.rules import decide",
        "from uuid import UUID\ndef f(x: UUID) -> str: return x.hex",
        "from datetime import UTC, datetime\nx = datetime(2026, 1, 1, tzinfo=UTC)",
    ],
)
def test_pure_line_is_allowed(line: str) -> None:
    assert violations(ast.parse(line)) == []
