"""Properties of ids: each earned badge has a unique id, which leads back to its request and line."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from cockade import ids
from tests.property.laws import law

words = st.integers(0, 2**32 - 1)
parts = st.tuples(words, words, words)


@law
@given(parts)
def test_id_round_trip(part: tuple[int, int, int]) -> None:
    unix_seconds, sequence, line = part
    key = ids.request_key(unix_seconds, sequence)
    text = ids.earned_badge_id(key, line)
    assert re.fullmatch("[0-9a-f]{24}", text)
    assert ids.earned_badge_place(text) == (key, line)
    assert -(2**63) <= key < 2**63


@law
@given(st.lists(parts, unique=True))
def test_different_lines_have_different_ids(chosen: list[tuple[int, int, int]]) -> None:
    created = {
        ids.earned_badge_id(ids.request_key(seconds, sequence), line) for seconds, sequence, line in chosen
    }
    assert len(created) == len(chosen)


@law
@given(st.lists(st.tuples(words, words), unique=True, max_size=5), st.integers(0, 40))
def test_all_ids_of_several_requests_differ(requests: list[tuple[int, int]], count: int) -> None:
    created = [
        badge for request in requests for badge in ids.earned_badge_ids(ids.request_key(*request), count)
    ]
    assert len(set(created)) == len(requests) * count


@law
@given(st.text(max_size=30) | st.text("0123456789abcdefABCDEF", min_size=22, max_size=26))
def test_text_is_an_id_exactly_if_it_has_24_hex_digits(text: str) -> None:
    is_id = re.fullmatch("[0-9a-f]{24}", text.lower()) is not None and text.isascii()
    assert ids.badge_id(text) == (text.lower() if is_id else None)
    assert (ids.earned_badge_place(text) is not None) is is_id
