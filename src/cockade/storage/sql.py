"""Named SQL statements, kept in `.sql` files.

A file holds any number of statements, each under a line `-- name: find_holders`; comment lines that follow say
what it is for. Statements use PostgreSQL's own `$1` placeholders and so run in psql with PREPARE.
"""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load(package: str | None, file: str = "queries.sql") -> dict[str, str]:
    """The statements of `file` in `package`, by name. A name that stands twice is a ValueError."""
    assert package is not None, "a module outside any package has no statements"
    try:
        return parse(resources.files(package).joinpath(file).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{package}/{file} {error}") from None


def parse(text: str) -> dict[str, str]:
    """The statements of a file's text, by name. A name that stands twice is a ValueError."""
    parts = _NAME.split(text)
    names, texts = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError("names a statement twice")
    return {name: text.strip().removesuffix(";") for name, text in zip(names, texts, strict=True)}
