"""`docs/reference/api/operations.md` lists every operation of the OpenAPI document with an acceptance test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.http.test_openapi import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(
    r"^\| [^|]+ \| `(?P<method>[A-Z]+) (?P<path>\S+)` \| (?P<name>\w+) \| (?P<test>\S*) \|$", re.MULTILINE
)
BASE = "/api_gateway/v1/badges"


def rows() -> dict[str, tuple[str, str, str]]:
    """Operation id → method, path, test."""
    page = (ROOT / "docs" / "reference" / "api" / "operations.md").read_text("utf-8")
    found = {row["name"]: (row["method"].lower(), row["path"], row["test"]) for row in ROW.finditer(page)}
    assert len(found) == page.count("\n| ") - 2, (
        "a row of the table is malformed, or an operation has two rows"
    )
    return found


def test_page_lists_all_operations_of_the_openapi_document() -> None:
    """tests/http/test_openapi.py checks that OPERATIONS equals the document."""
    listed = {name: (method, path) for name, (method, path, _) in rows().items()}
    assert listed == {name: (method, path.removeprefix(BASE)) for name, (method, path) in OPERATIONS.items()}


def test_every_operation_is_tested_by_an_acceptance_test_that_exists() -> None:
    for name, (_, _, test) in rows().items():
        file, _, function = test.partition("::")
        assert file.startswith("tests/acceptance/"), name
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        defined = {
            node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert function in defined, test
