"""The files of the repository, their syntax trees, and the names that they use."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "cockade"
UNWALKED = {".git", ".venv", "build", "dist", "__pycache__"}


def modules() -> list[Path]:
    """Return every Python module of cockade."""
    return sorted(SOURCE.rglob("*.py"))


def sql_files() -> list[Path]:
    """Return every SQL file of cockade: queries and migrations."""
    return sorted(SOURCE.rglob("*.sql"))


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def short(path: Path) -> str:
    """Return the path for failure messages."""
    return path.relative_to(ROOT).as_posix()


def committed() -> list[Path]:
    """Return every file that git tracks or would add; without git, every file that is not generated."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [path for path in sorted(ROOT.rglob("*")) if path.is_file() and not _is_made(path)]
    return [ROOT / name for name in sorted(listed.split("\0")) if name and (ROOT / name).is_file()]


def _is_made(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return bool(UNWALKED & set(parts)) or any(part.endswith("_cache") for part in parts)


def used_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything that is used: with `import datetime as dt`, `dt.now` is
    `datetime.now`.
    """
    called = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            head, _, tail = _dotted(node).partition(".")
            full = called.get(head, head)
            yield node.lineno, f"{full}.{tail}" if tail else full


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"
