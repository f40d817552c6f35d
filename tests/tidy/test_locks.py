"""Who adds a dependency also pins it: what is installed is what the lock files say, nothing more."""

import re
import tomllib
from collections.abc import Iterable

from tests.tidy import house

NAME = re.compile(r"[A-Za-z0-9._-]+")


def violations(requirements: Iterable[str], lock: str) -> list[str]:
    """Names of required packages that the lock does not pin."""
    pinned = {_name(line) for line in lock.splitlines() if "==" in line}
    return [name for name in map(_name, requirements) if name not in pinned]


def _name(requirement: str) -> str:
    found = NAME.match(requirement)
    return re.sub(r"[._-]+", "-", found[0]).lower() if found else ""


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((house.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime, dev = project["dependencies"], project["optional-dependencies"]["dev"]
    lock, lock_dev = ((house.ROOT / f"requirements{kind}.lock").read_text("utf-8") for kind in ("", "-dev"))
    assert violations(runtime, lock) == []
    assert violations([*runtime, *dev], lock_dev) == []


def test_unlocked_dependency_is_caught() -> None:
    assert violations(["Rich>=13", "granian[uvloop]", "ty_per>1"], "rich==15.0.0 \\\nty-per==1") == [
        "granian"
    ]
