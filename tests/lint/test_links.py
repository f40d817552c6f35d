"""Every relative link in the documentation leads to an existing file."""

import re
from pathlib import Path

import pytest

from tests.lint import repo

CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
UNKNOWN_OPERATION = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)


def violations(text: str, folder: Path, root: Path) -> list[str]:
    """Return targets of relative links that do not exist or are outside the root."""
    targets = [found[1] or found[2] for found in LINK.finditer(CODE.sub("", text))]
    return [
        target
        for target in targets
        if not UNKNOWN_OPERATION.match(target) and not _leads(target, folder, root)
    ]


def _leads(target: str, folder: Path, root: Path) -> bool:
    place = (folder / target.partition("#")[0]).resolve()
    return place.exists() and place.is_relative_to(root.resolve())


def _pages() -> list[Path]:
    top = [repo.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [page for page in top if page.exists()] + sorted((repo.ROOT / "docs").rglob("*.md"))


def test_every_relative_link_has_a_target() -> None:
    found = [
        f"{repo.short(page)}: {target}"
        for page in _pages()
        for target in violations(page.read_text(encoding="utf-8"), page.parent, repo.ROOT)
    ]
    assert found == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `docs` with the page `there.md`, in a root with a README."""
    (tmp_path / "README.md").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "there.md").touch()
    return tmp_path / "docs"


@pytest.mark.parametrize(
    "text", ["[a](gone.md)", "![a](gone.png 'title')", "[a]: gone.md", "[a](../../README.md)"]
)
def test_broken_link_is_caught(folder: Path, text: str) -> None:
    assert len(violations(text, folder, folder.parent)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[a](there.md)",
        "[a](there.md#part 'title')",
        "[a](../README.md)",
        "[a](#part)",
        "[a](https://example.org/x)",
        "`[a](gone.md)`",
        "```\n[a](gone.md)\n```",
    ],
)
def test_working_link_is_allowed(folder: Path, text: str) -> None:
    assert violations(text, folder, folder.parent) == []
