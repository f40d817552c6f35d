"""Plain English: phrases of a private language that this code base once had do not come back.

The reader is an engineer at work, often not a native speaker. Write what the documentation of PostgreSQL or Stripe would.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lint import repo

PHRASES = re.compile(
    r"\b(?:she|hers?|herself|himself"
    r"|whoever|whomever|whom|nobody|somebody|everybody|anybody"
    r"|likewise|(?-i:Nor)|anew|thereby|henceforth|of late"
    r"|(?:is|are|was|were|be|been) told|told of|tells? (?:of|how|what|whether|which|who)"
    r"|taken? back|carr(?:y|ies|ied) out|can be had|those who|that of which|of its own accord"
    r"|at the most|for the sake of|so many (?:of|are|at)|stands? in the way|as it stands"
    r"|it is no|there is none of)\b",
    re.IGNORECASE,
)
RIDDLES = re.compile(r"(?:What|Who|Whom|Whose|How|That|Those|Likewise|So) ")
"""Docstrings define or command: they start with a noun phrase or a verb, not with a question word."""
QUOTES = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”")
"""Code and quoted messages, for example the contract's published ones, are not our prose."""
EXEMPT = {"tests/lint/test_language.py", "LICENSE"}


def phrases(text: str) -> list[str]:
    """Return the phrases in a text."""
    return [found[0] for found in PHRASES.finditer(QUOTES.sub("", text))]


def prose_of(source: str) -> Iterator[tuple[int, str, bool]]:
    """Yield comments and strings of a module with their line, and whether the string is a docstring."""
    is_statement = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False
        elif token.type == tokenize.STRING:
            yield token.start[0], token.string, is_statement and token.string.startswith('"""')
        if token.type in (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
            is_statement = True
        elif token.type != tokenize.COMMENT:
            is_statement = False


def violations(path: Path) -> Iterator[str]:
    """Yield the phrases in a file, with their line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for line, prose, is_docstring in prose_of(text):
            if " " not in prose:
                continue  # a name or an address
            for phrase in phrases(prose.strip('"')):
                yield f"{line}: {phrase}"
            if is_docstring and RIDDLES.match(prose.strip('"')):
                yield f"{line}: {prose.strip().splitlines()[0][:60]}"
    else:
        for line, prose in enumerate(text.splitlines(), start=1):
            for phrase in phrases(prose if path.suffix != ".sql" else prose.partition("--")[2]):
                yield f"{line}: {phrase}"


def _files() -> list[Path]:
    kinds = {".py", ".md", ".sql", ".toml", ".service", ".timer"}
    return [
        path
        for path in repo.committed()
        if (path.suffix in kinds or path.name == "Makefile") and repo.short(path) not in EXEMPT
    ]


def test_prose_is_plain_english() -> None:
    found = [f"{repo.short(path)}:{violation}" for path in _files() for violation in violations(path)]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        '"""What a caller is told."""',
        '"""Who got this badge."""',
        'def f():\n    """Those of an audience."""',
        "x = 1  # as nobody knows",
        'raise ValueError("She has it already.")',
        'x = "the badge is taken back"',
    ],
)
def test_private_language_is_caught(tmp_path: Path, source: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert list(violations(path))


@pytest.mark.parametrize(
    "source",
    [
        '"""Return the holders of a badge."""',
        'message = "Whether the badge is active."',
        "x = 1  # the `nor` gate",
    ],
)
def test_plain_english_is_left_alone(tmp_path: Path, source: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert list(violations(path)) == []
