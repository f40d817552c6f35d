"""Module names say what the module is about: never utils, helpers, common, core or manager."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lint import repo

SHUNNED = {"util", "utils", "helper", "helpers", "common", "core", "manager", "managers"}


def violations(paths: Iterable[Path]) -> list[str]:
    """Return modules and folders, relative to the root, with such a name."""
    return [path.as_posix() for path in paths if SHUNNED & {Path(part).stem.lower() for part in path.parts}]


def test_every_module_has_a_specific_name() -> None:
    folders = [repo.ROOT / name for name in ("src", "tests", "bench", "chaos")]
    paths = [path.relative_to(repo.ROOT) for folder in folders for path in folder.rglob("*.py")]
    assert violations(paths) == []


@pytest.mark.parametrize(
    "name", ["src/cockade/utils.py", "src/cockade/core/badge.py", "tests/helpers/__init__.py"]
)
def test_generic_name_is_caught(name: str) -> None:
    assert violations([Path(name)]) == [name]
