"""The licence page is complete, and every licence has been accepted."""

import importlib.util
import re
from email.message import Message
from types import ModuleType
from typing import Any

import pytest

from tests.lint import repo

ACCEPTED = {
    "0BSD",
    "Apache Software License",
    "Apache License 2.0",
    "Apache-2.0",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC License (ISCL)",
    "MIT",
    "MIT License",
    "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "PSF-2.0",
    "Zlib",
}
"""Licences that allow use and distribution. Read a new licence before you add it."""


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", repo.ROOT / "tools" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def violations(page: str) -> list[str]:
    """Return lines whose licence is not accepted. If there is a choice, one accepted licence is enough."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)[2:]
    return [f"{name}: {said}" for name, said in rows if not _is_accepted(said)]


def _is_accepted(said: str) -> bool:
    choices = [re.split(r" AND ", choice) for choice in re.split(r" or | OR ", said)]
    return any(ACCEPTED.issuperset(choice) for choice in choices)


def test_licence_page_is_up_to_date() -> None:
    written = (repo.ROOT / "docs" / "reference" / "licences.md").read_text(encoding="utf-8")
    assert written == _tool().page(), "run `make licences`"


def test_every_licence_is_accepted() -> None:
    assert violations(_tool().page()) == []


def test_unknown_licence_is_caught() -> None:
    page = "| package | licence |\n| --- | --- |\n| a | MIT |\n| b | AGPL-3.0 |\n| c | GPL OR MIT |\n| d | not named |\n| e | MIT AND X |\n"
    assert violations(page) == ["b: AGPL-3.0", "d: not named", "e: MIT AND X"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "MIT"), ("License", "x")], "MIT"),
        (
            [("Classifier", "License :: OSI Approved :: MIT License"), ("License", "see LICENSE")],
            "MIT License",
        ),
        ([("License", "Apache License 2.0")], "Apache License 2.0"),
        ([("License", "Permission is hereby granted, free of charge, to")], "not named"),
        ([], "not named"),
    ],
)
def test_licence_is_read_from_where_the_package_declares_it(
    fields: list[tuple[str, str]], expected: str
) -> None:
    about: Any = Message()
    for name, value in fields:
        about[name] = value
    assert _tool().licence(about) == expected
