"""README, tutorial and how-to guides name only settings, commands, options and log events that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cockade import config
from cockade.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "src").rglob("*.py")))
SHELL = re.compile(r"^ *```sh\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:^ *|\.venv/bin/|=\S+ |\| )cockade ([a-z][^#|&\n]*)", re.MULTILINE)
"""The rest of a line after `cockade`, at its start, after an assignment or in a pipe."""


def _page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _find_command(words: list[str]) -> Any | None:
    """Return the command that the words begin with, or None if there is none."""
    command: Any = typer.main.get_command(app)
    for word in words:
        if not hasattr(command, "commands"):
            break
        command = command.commands.get(word)
        if command is None:
            return None
    return None if hasattr(command, "commands") else command


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_every_setting_of_a_guide_exists(page: Path) -> None:
    names = re.findall(r"\bCOCKADE_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8"))
    assert config.unknown(dict.fromkeys(names, "")) == []


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_every_command_of_a_guide_exists_with_its_options(page: Path) -> None:
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        for found in COMMAND.findall(block.replace("\\\n", " ")):
            words = found.split()
            command = _find_command(words)
            assert command is not None, found
            options = {
                name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
            }
            assert {word for word in words if word.startswith("--")} <= options, found


@pytest.mark.parametrize("page", PAGES, ids=_page_id)
def test_every_log_event_of_a_guide_exists(page: Path) -> None:
    """Check the first cells of tables whose header is `event` or `action`."""
    for table in re.findall(
        r"^\| `?(?:event|action)`? \|.*\n\| ---.*\n((?:\|.*\n?)*)",
        page.read_text(encoding="utf-8"),
        re.MULTILINE,
    ):
        for row in table.splitlines():
            for event in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
                assert f'"{event}"' in SOURCE, event
