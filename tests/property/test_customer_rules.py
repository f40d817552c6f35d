"""Properties of normalized identifiers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cockade.customer.model import IdentifierKind
from cockade.customer.rules import identifier

kinds = st.sampled_from(IdentifierKind)
blanks = st.text(" \t\n\u00a0", max_size=3)


@given(kinds, st.text())
def test_normalization_is_idempotent(kind: IdentifierKind, text: str) -> None:
    once = identifier(kind, text)
    assert identifier(kind, once.value) == once


@given(kinds, blanks, st.text(), blanks)
def test_surrounding_whitespace_does_not_matter(
    kind: IdentifierKind, left: str, text: str, right: str
) -> None:
    assert identifier(kind, left + text + right) == identifier(kind, text)
