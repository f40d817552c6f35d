"""Parsing of audience files: lines, and errors of lines."""

from __future__ import annotations

import pytest

from cockade.customer.model import IdentifierKind
from cockade.errors import InvalidInput
from cockade.job.model import AudienceFormat, AudienceLayout
from cockade.job.parser import (
    LINE_BYTES_MAX,
    NO_CUSTOMER,
    AudienceParser,
    ChunkDraft,
    find_column,
    split_raw_lines,
)

CSV, NDJSON = AudienceLayout(format=AudienceFormat.CSV), AudienceLayout(format=AudienceFormat.NDJSON)
LineErrors = list[tuple[int, str, str]]


def drafts(layout: AudienceLayout, data: bytes, chunk_lines: int = 100) -> list[ChunkDraft]:
    parser = AudienceParser(layout, chunk_lines)
    return [*parser.feed(data), *parser.finish()]


def read(layout: AudienceLayout, data: bytes, chunk_lines: int = 100) -> tuple[list[int], LineErrors]:
    """Return the customers, and row, value and message of each line error."""
    chunks = drafts(layout, data, chunk_lines)
    numbers = [number for draft in chunks for number in draft.chunk.numbers.tolist()]
    return numbers, [
        (error.row, error.value, error.message) for draft in chunks for error in draft.chunk.line_errors
    ]


@pytest.mark.parametrize(
    ("data", "numbers", "line_errors"),
    [
        (b"5\n6\n7\n", [5, 6, 7], []),
        (b"customerId\n5\n6", [5, 6], []),
        (b"\xef\xbb\xbfcustomerId\r\n5\r\n6\r\n", [5, 6], []),
        (b"anything\n5\n", [5], []),
        (b"5\n\n \n6\n", [5, 6], []),
        (b"5\nx\n7\n", [5, 0, 7], [(2, "x", NO_CUSTOMER)]),
        (b"5\n0\n", [5, 0], [(2, "0", NO_CUSTOMER)]),
        (b"5\n-6\n1_0\n", [5, 0, 0], [(2, "-6", NO_CUSTOMER), (3, "1_0", NO_CUSTOMER)]),
        (b"5\n9223372036854775807\n", [5, 2**63 - 1], []),
        (b"5\n9223372036854775808\n", [5, 0], [(2, "9223372036854775808", NO_CUSTOMER)]),
        (b"5\n 6 \n", [5, 6], []),
        (b"id\n5,6\n7", [0, 7], [(2, "5,6", "The line has 2 fields; expected 1.")]),
        (b"name,ID\nA,5\n", [5], []),
        (b"name;customerid\nA;5\n", [5], []),
        (b"name\tcustomerId\tid\nA\t5\t6\n", [5], []),
        (b'name,id\n"A, B",5\n', [5], []),
        (b'name,id\n"A,5\nB,6\n', [0, 6], [(2, '"A,5', "The line has invalid quotes.")]),
        (b"name,id\nA\n", [0], [(2, "A", "The line has 1 fields; expected 2.")]),
        (b"name,id\n\xff,5\nB,6\n", [0, 6], [(2, "\ufffd,5", "The line is not valid UTF-8.")]),
        (b"id,reason\n5,1040 x\n", [5], []),
        (b"phone,reason\n5,1040 x\n", [5], []),
        (b"customerId\n", [], []),
        (b"", [], []),
    ],
)
def test_lines_of_csv(data: bytes, numbers: list[int], line_errors: LineErrors) -> None:
    assert read(CSV, data) == (numbers, line_errors)


@pytest.mark.parametrize(
    ("line", "number", "message"),
    [
        (b"5", 5, None),
        (b'"5"', 5, None),
        (b'{"customerId": 5}', 5, None),
        (b'{"id": "5", "more": [1]}', 5, None),
        (b"true", 0, "The line has no customer."),
        (b"5.0", 0, "The line has no customer."),
        (b"{}", 0, "The line has no customer."),
        (b"{", 0, "The line is not valid JSON."),
        (b"0", 0, NO_CUSTOMER),
    ],
)
def test_lines_of_ndjson(line: bytes, number: int, message: str | None) -> None:
    numbers, line_errors = read(NDJSON, b"1\n" + line + b"\n")
    assert numbers == [1, number]
    assert [(row, text) for row, _, text in line_errors] == ([] if message is None else [(2, message)])


def test_column_is_chosen_by_name() -> None:
    layout = AudienceLayout(format=AudienceFormat.CSV, column="b")
    assert read(layout, b"a,b\n1,2\n") == ([2], [])
    layout = AudienceLayout(format=AudienceFormat.NDJSON, column="b")
    assert read(layout, b'{"a": 1, "b": 2}\n') == ([2], [])


def test_identifiers_are_left_to_be_looked_up() -> None:
    form = AudienceLayout(format=AudienceFormat.CSV, identifier=IdentifierKind.MOBILE)
    [draft] = drafts(form, b"mobile\n+49 1\n\n4915\n")
    assert draft.identifiers == [(0, 2, "+49 1"), (1, 4, "4915")]
    assert draft.chunk.numbers.tolist() == [0, 0]
    assert draft.chunk.raw_lines is not None
    assert split_raw_lines(draft.chunk.raw_lines) == ["+49 1", "4915"]


def test_raw_lines_are_kept_if_they_have_more_than_the_number() -> None:
    [draft] = drafts(CSV, b"id,name\n5,A\n")
    assert draft.chunk.raw_lines is not None
    assert split_raw_lines(draft.chunk.raw_lines) == ["5,A"]
    assert [draft.chunk.raw_lines for draft in drafts(CSV, b"5\nx\n")] == [None]


def test_chunks_have_the_chunk_size_and_rows_are_numbered_across_chunks() -> None:
    chunks = drafts(CSV, b"id\n1\n2\n3\n4\nx\n", 2)
    assert [draft.chunk.numbers.tolist() for draft in chunks] == [[1, 2], [3, 4], [0]]
    assert [error.row for draft in chunks for error in draft.chunk.line_errors] == [6]


@pytest.mark.parametrize(
    ("columns", "column", "index"),
    [
        (["a"], None, 0),
        (["a", "Reason"], None, 0),
        (["a", "id"], None, 1),
        (["id", "customerId"], None, 1),
        (["a", "A"], "A", 1),
        (["a", "b"], None, None),
        (["a", "b"], "c", None),
    ],
)
def test_the_column_of_customers(columns: list[str], column: str | None, index: int | None) -> None:
    if index is not None:
        assert find_column(columns, column) == index
        return
    with pytest.raises(InvalidInput, match="a, b"):
        find_column(columns, column)


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most"):
        list(AudienceParser(CSV, 10).feed(b"id\n" + b"5" * (LINE_BYTES_MAX + 1)))
