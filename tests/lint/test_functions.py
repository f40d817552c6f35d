"""Modules have a docstring. Functions have a return type and fit on a screen."""

import ast
from collections.abc import Iterator

from tests.lint import repo

LINES_MAX = 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


def violations(tree: ast.Module) -> list[str]:
    """Return a missing module docstring, missing return types, and functions that are too long."""
    field_errors = ["has no docstring"] if tree.body and not ast.get_docstring(tree) else []
    field_errors += [
        f"line {function.lineno}: {function.name} does not say what it returns"
        for function in _public_functions(tree)
        if function.returns is None
    ]
    field_errors += [
        f"line {node.lineno}: {node.name} has {_lines(node)} lines"
        for node in ast.walk(tree)
        if isinstance(node, Function) and _lines(node) > LINES_MAX
    ]
    return field_errors


def _public_functions(scope: ast.Module | ast.ClassDef) -> Iterator[Function]:
    for node in scope.body:
        if isinstance(node, ast.ClassDef):
            yield from _public_functions(node)
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield node


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_functions_are_short_and_have_return_types() -> None:
    found = [
        f"{repo.short(path)} {field_error}"
        for path in repo.modules()
        for field_error in violations(repo.parse(path))
    ]
    assert found == []


def test_module_without_docstring_is_caught() -> None:
    assert violations(ast.parse("x = 1")) == ["has no docstring"]


def test_empty_module_is_allowed() -> None:
    assert violations(ast.parse("")) == []


def test_missing_return_annotation_is_caught() -> None:
    bad = '"""Doc."""\nclass A:\n    async def f(self): ...\n    def _g(self): ...\ndef h() -> None: ...'
    assert violations(ast.parse(bad)) == ["line 3: f does not say what it returns"]


def test_long_function_is_caught() -> None:
    body = "\n".join("    x = 1" for _ in range(LINES_MAX))
    assert violations(ast.parse(f'"""Doc."""\ndef _f():\n{body}')) == ["line 2: _f has 61 lines"]
