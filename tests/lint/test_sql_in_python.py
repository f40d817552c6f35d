"""SQL is in `.sql` files, where it can be run in psql, prepared by a test, and searched by table."""

import ast
import re

import pytest

from tests.lint import repo

SQL = re.compile(
    r"\s*(?:select\s+(?:\d|\$|\*|[\w.]+\s*\(|.+\sfrom\s)|insert\s+into\s|update\s+[\w.]+\s+set\s|delete\s+from\s"
    r"|with\s+(?:recursive\s+)?\w+\s+as\s|(?:create|alter|drop)\s+(?:unique\s+)?(?:table|index|sequence|schema)\s"
    r"|truncate\s+\w|copy\s+\w+\s.*(?:stdin|stdout)|lock\s+table\s|set\s+(?:local|session)\s)",
    re.IGNORECASE | re.DOTALL,
)


def violations(tree: ast.Module) -> list[str]:
    """Return string constants that look like the beginning of a statement. Docstrings are ignored."""
    prose = {id(docstring) for node in ast.walk(tree) for docstring in _docstrings(node)}
    return [
        f"line {node.lineno}: {node.value.strip()[:40]!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in prose and SQL.match(node.value)
    ]


def _docstrings(node: ast.AST) -> list[ast.expr]:
    body = getattr(node, "body", None)
    return [line.value for line in body if isinstance(line, ast.Expr)] if isinstance(body, list) else []


def test_no_sql_in_python() -> None:
    others = [path for path in repo.modules() if repo.SOURCE / "storage" not in path.parents]
    found = [
        f"{repo.short(path)} {field_error}" for path in others for field_error in violations(repo.parse(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "SELECT badge_id FROM badge",
        "select nextval('request_key')",
        "insert into badge values ($1)",
        "update badge set name = $1",
        "delete from badge",
        "with gone as (select 1) select 1",
        "copy badge from stdin",
    ],
)
def test_sql_is_caught(sql: str) -> None:
    assert violations(ast.parse(f"x = f({sql!r})"))
    assert violations(ast.parse(f"x = f{sql + ' {y}'!r}"))


@pytest.mark.parametrize(
    "text", ["Update the badge", "With a limit", "select an org first", "Delete a credential", "Insert coin"]
)
def test_prose_is_allowed(text: str) -> None:
    assert violations(ast.parse(f"x = {text!r}")) == []
    assert violations(ast.parse(f'def f():\n    """{text}: select 1 from x."""')) == []
