"""Every dependency is pinned with hashes in the lock files."""

import re
import tomllib
from collections.abc import Iterable

import pytest

from tests.lint import repo

NAME = re.compile(r"[A-Za-z0-9._-]+")
ENTRY = re.compile(
    r"[A-Za-z0-9._-]+(?:\[[^\]]+\])?==[\w.!+-]+(?:\s*;[^-]+?)?(?:\s+--hash=sha256:[0-9a-f]{64})+"
)


def violations(requirements: Iterable[str], lock: str) -> list[str]:
    """Return required packages that the lock does not pin."""
    pinned = {_name(line) for line in lock.splitlines() if "==" in line}
    return [name for name in map(_name, requirements) if name not in pinned]


def _name(requirement: str) -> str:
    found = NAME.match(requirement)
    return re.sub(r"[._-]+", "-", found[0]).lower() if found else ""


def unhashed(lock: str) -> list[str]:
    """Return entries of a lock that are not one exact version with at least one SHA-256."""
    bare = re.sub(r"^\s*#.*$", "", lock, flags=re.MULTILINE)
    entries = re.sub(r"\\\n", " ", bare).splitlines()
    return [entry.split()[0] for entry in entries if entry.strip() and not ENTRY.fullmatch(entry.strip())]


def test_every_locked_version_has_its_hashes() -> None:
    for lock in sorted(repo.ROOT.glob("*.lock")):
        text = lock.read_text(encoding="utf-8")
        assert text.count("==") > 40
        assert unhashed(text) == []


def test_development_uses_the_same_versions_as_production() -> None:
    """Tests run with the versions that are deployed."""
    pinned = [
        set(
            re.findall(
                r"^\S+==\S+", (repo.ROOT / f"requirements{kind}.lock").read_text("utf-8"), re.MULTILINE
            )
        )
        for kind in ("", "-parquet", "-dev", "-bench")
    ]
    assert pinned[0] <= pinned[1] <= pinned[2] <= pinned[3]


@pytest.mark.parametrize(
    "entry",
    [
        "rich==15.0.0",
        "rich>=15 --hash=sha256:" + "0" * 64,
        "rich==15.0.0 --hash=md5:" + "0" * 32,
        "-e .",
        "a @ b",
    ],
)
def test_entry_without_version_or_hash_is_caught(entry: str) -> None:
    sound = "uvloop==1 ; a < 'b' \\\n    --hash=sha256:" + "a" * 64 + "\n    # via x\n"
    assert unhashed(sound + entry) == [entry.split()[0]]


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((repo.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime, extras = project["dependencies"], project["optional-dependencies"]
    required = [*runtime, *extras["install"]]
    for kind, extra in (("", None), ("-parquet", "parquet"), ("-dev", "dev"), ("-bench", "bench")):
        required += extras[extra] if extra else []
        assert violations(required, (repo.ROOT / f"requirements{kind}.lock").read_text("utf-8")) == []


def test_unlocked_dependency_is_caught() -> None:
    assert violations(["Rich>=13", "granian[uvloop]", "ty_per>1"], "rich==15.0.0 \\\nty-per==1") == [
        "granian"
    ]
