"""Loading named SQL statements from files."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from cockade.storage.sql import load

PACKAGES = ["cockade.auth", "cockade.badge", "cockade.earning", "cockade.request"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of an importable package that exists for one test."""
    name = "package_with_sql"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("-- name: one\nselect 1;\n", {"one": "select 1"}),
        ("-- name: one\nselect 1", {"one": "select 1"}),
        ("-- What all this is.\n\n-- name: one\nselect 1;\n", {"one": "select 1"}),
        (
            "-- name: one\n-- Why.\nselect 1;\n\n-- name: two_more\nselect $1;\n",
            {"one": "-- Why.\nselect 1", "two_more": "select $1"},
        ),
        ("-- name: one\nselect 1 -- name: not_one\n;\n", {"one": "select 1 -- name: not_one\n"}),
    ],
)
def test_statements_are_found_by_name(package: Path, text: str, expected: dict[str, str]) -> None:
    (package / "queries.sql").write_text(text)
    assert load(package.name) == expected


def test_file_with_another_name_can_be_loaded(package: Path) -> None:
    (package / "other.sql").write_text("-- name: one\nselect 1;")
    assert load(package.name, "other.sql") == {"one": "select 1"}


def test_duplicate_name_is_rejected(package: Path) -> None:
    (package / "queries.sql").write_text("-- name: one\nselect 1;\n-- name: one\nselect 2;\n")
    with pytest.raises(ValueError, match="duplicate statement name"):
        load(package.name)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_loads_its_statements(name: str) -> None:
    store = import_module(f"{name}.store")
    assert load(name) == store.SQL
    assert all(sql and not sql.endswith(";") for sql in load(name).values())
