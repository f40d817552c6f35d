"""Named SQL statements in `.sql` files.

A file has any number of statements, each after a line `-- name: find_holders`; comment lines that follow
describe it. Statements use PostgreSQL's `$1` placeholders, so they run in psql with PREPARE.
"""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load(package: str | None, file: str = "queries.sql") -> dict[str, str]:
    """Return the statements of `file` in `package` by name. Raises ValueError for a duplicate name."""
    assert package is not None, "a module outside any package has no statements"
    try:
        return parse(resources.files(package).joinpath(file).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{package}/{file} {error}") from None


def parse(text: str) -> dict[str, str]:
    """Return the statements of a file's text by name. Raises ValueError for a duplicate name."""
    parts = _NAME.split(text)
    names, texts = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError("duplicate statement name")
    return {name: text.strip().removesuffix(";") for name, text in zip(names, texts, strict=True)}
