"""Save the SQL statements of a released version: `python -m tests.storage.snapshot main`.

Copies each `queries.sql` of that commit to `tests/storage/snapshots/NNNN/`, where NNNN is the commit's newest migration.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = Path(__file__).parent / "snapshots"


def save(commit: str) -> Path:
    """Save the statements of the commit and return their folder."""
    files = _git("ls-tree", "-r", "--name-only", commit, "src/cockade").split()
    newest = max(Path(file).name[:4] for file in files if "/migrations/" in file and file.endswith(".sql"))
    folder = SNAPSHOTS / newest
    folder.mkdir(exist_ok=True)
    for file in files:
        if file.endswith("/queries.sql"):
            (folder / f"{Path(file).parent.name}.sql").write_text(_git("show", f"{commit}:{file}"))
    return folder


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.stdout.write(f"{save(sys.argv[1])}\n")
