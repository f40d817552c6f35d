"""Laws of identifiers, whatever is written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cockade.customer.model import IdentifierKind
from cockade.customer.rules import identifier

kinds = st.sampled_from(IdentifierKind)
blanks = st.text(" \t\n\u00a0", max_size=3)


@given(kinds, st.text())
def test_a_normal_form_is_its_own(kind: IdentifierKind, text: str) -> None:
    once = identifier(kind, text)
    assert identifier(kind, once.value) == once


@given(kinds, blanks, st.text(), blanks)
def test_blanks_around_it_make_no_difference(kind: IdentifierKind, left: str, text: str, right: str) -> None:
    assert identifier(kind, left + text + right) == identifier(kind, text)
