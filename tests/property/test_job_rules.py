"""Properties of audiences: splitting the bytes loses nothing, and each customer counts once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cockade.job import rules
from cockade.job.model import AudienceFormat, AudienceLayout
from cockade.job.parser import AudienceParser, ChunkDraft
from tests.property.laws import law

CSV = AudienceLayout(format=AudienceFormat.CSV)
line = st.one_of(
    st.integers(1, 50).map(str),
    st.sampled_from(["", " ", "x", '"5"', '"', "5,6", "0", "9223372036854775808", "\ufeff", "é"]),
)


def _read(pieces: list[bytes], chunk_lines: int) -> list[ChunkDraft]:
    parser = AudienceParser(CSV, chunk_lines)
    return [draft for piece in pieces for draft in parser.feed(piece)] + list(parser.finish())


def _lines(drafts: list[ChunkDraft]) -> tuple[list[int], list[tuple[int, str]]]:
    numbers = [number for draft in drafts for number in draft.chunk.numbers.tolist()]
    return numbers, [(error.row, error.value) for draft in drafts for error in draft.chunk.line_errors]


@law
@given(st.lists(line, max_size=30), st.integers(1, 7), st.lists(st.integers(0, 200), max_size=5))
def test_result_does_not_depend_on_how_the_bytes_arrive(
    lines: list[str], chunk_lines: int, cuts: list[int]
) -> None:
    data = "\n".join(["id", *lines]).encode()
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(at)]
    drafts = _read(pieces, chunk_lines)
    assert _lines(drafts) == _lines(_read([data], 1000))
    assert all(1 <= len(draft.chunk.numbers) <= chunk_lines for draft in drafts)
    numbers, line_errors = _lines(drafts)
    assert len(numbers) == sum(bool(text.strip()) for text in lines)
    assert len(line_errors) == numbers.count(0)


@law
@given(st.lists(st.integers(1, 20), max_size=40))
def test_first_line_of_a_customer_counts(customers: list[int]) -> None:
    lines = np.arange(len(customers)) + 100
    repeated = set(rules.find_duplicates(np.array(customers, dtype=np.int64), lines).tolist())
    seen: set[int] = set()
    for number, customer in enumerate(customers):
        assert ((number + 100) in repeated) is (customer in seen)
        seen.add(customer)
