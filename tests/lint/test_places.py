"""No file contains a path of a machine or the host of a package registry."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lint import repo

# Split, because this file is searched too.
REGISTRIES = ["py" + "pi.org", "python" + "hosted.org"]
HOME_OF_ROOT = "/ro" + "ot"
ANYBODYS = {
    Path(name) for name in ("/", "/tmp", "/opt", "/srv", "/home", "/usr", "/usr/src", "/var", "/var/lib")
}
HOST = re.compile(r"://|\bfile:|--(?:extra-)?index-url|--find-links|--trusted-host")


def machine_words(root: Path, home: Path) -> list[str]:
    """Return what files must not contain: registries, home directories, this checkout and its parent, unless
    every machine has them.
    """
    own = {place for place in (root, root.parent, home, Path(HOME_OF_ROOT)) if place not in ANYBODYS}
    return REGISTRIES + sorted(f"{place}/" for place in own)


def violations(text: str, words: Iterable[str]) -> list[str]:
    """Return the forbidden words in a text. A path inside a longer path does not count."""
    return [word for word in words if re.search(_pattern(word), text)]


def _pattern(word: str) -> str:
    return rf"(?<![\w.*-]){re.escape(word)}" if word.startswith("/") else re.escape(word)


def lock_violations(lock: str) -> list[str]:
    """Return lines of a lock file that name a package source, which each machine configures itself."""
    return [line for line in lock.splitlines() if HOST.search(line)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_no_file_contains_a_path_of_a_machine() -> None:
    words = machine_words(repo.ROOT, Path.home())
    found = [
        f"{repo.short(path)}: {word}" for path in repo.committed() for word in violations(_text(path), words)
    ]
    assert found == []


def test_no_lock_names_a_host() -> None:
    locks = sorted(repo.ROOT.glob("*.lock"))
    assert len(locks) == 4
    assert [line for lock in locks for line in lock_violations(lock.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        "index: https://" + REGISTRIES[0] + "/simple",
        "https://files." + REGISTRIES[1] + "/x.whl",
        "see " + HOME_OF_ROOT + "/notes",
        "open('/build/agent7/cockade/Makefile')",
        "in /build/agent7/elsewhere",
        "in /people/ada/notes",
    ],
)
def test_path_of_a_machine_is_caught(text: str) -> None:
    assert violations(text, machine_words(Path("/build/agent7/cockade"), Path("/people/ada")))


@pytest.mark.parametrize("text", ["/tmp/cockade.sock", "src/tmp/x/y.py", "/var/lib/cockade/data"])
def test_common_path_is_allowed(text: str) -> None:
    assert violations(text, machine_words(Path("/tmp/x"), Path("/"))) == []


@pytest.mark.parametrize("line", ["--index-url somewhere", "x @ https://host/x.whl", "x @ file:///x.whl"])
def test_lock_that_names_a_host_is_caught(line: str) -> None:
    assert lock_violations(f"msgspec==0.22.0\n{line}") == [line]
