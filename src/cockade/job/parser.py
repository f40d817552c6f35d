"""Parse an audience into chunks as it is received, with bounded memory.

Each line is one customer. CSV fields can be quoted, but a quoted field cannot contain a line break: an
unclosed quote affects only its own line. The common case, one number per line, is parsed per chunk instead of
per line.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
import numpy as np
from msgspec import Struct

from cockade import ids
from cockade.errors import MALFORMED, FieldError, InvalidInput
from cockade.job.model import (
    CUSTOMER_COLUMNS,
    REASON_COLUMN,
    AudienceFormat,
    AudienceLayout,
    Chunk,
    LineError,
    LineErrorKind,
)

LINE_BYTES_MAX = 64 * 1024
CHUNK_BYTES_MAX = 1024 * 1024
"""A chunk of long lines is ended at this size, even if it has few lines."""
MAX_VALUE_CHARS = 200
"""Maximum length of the stored value of a malformed line."""
DELIMITERS = (",", ";", "\t")
_DIGITS = b"0123456789\r"
_AS_BYTES = msgspec.json.Decoder()

NO_CUSTOMER = f"The customer id must be an integer from 1 to {ids.CUSTOMER_ID_MAX}."
NO_IDENTIFIER = "The identifier is empty or invalid."


class ChunkDraft(Struct, frozen=True, eq=False):
    """A chunk with identifiers that have not been resolved."""

    chunk: Chunk
    identifiers: Sequence[tuple[int, int, str]]
    """Line in the chunk, row in the file, and identifier."""


class AudienceParser:
    """Incremental parser for one audience. Raises InvalidInput if the audience cannot be read."""

    def __init__(self, layout: AudienceLayout, chunk_lines: int) -> None:
        self.layout = layout
        """Includes the columns after the first line was read."""
        self._chunk_lines = chunk_lines
        self._buffer = b""
        self._lines: list[bytes] = []
        self._bytes = 0
        self._row = 1
        """Row in the file of the first line in `_lines`."""
        self._has_header = layout.format is AudienceFormat.NDJSON

    def feed(self, data: bytes) -> Iterator[ChunkDraft]:
        """Add data, and yield the chunks that are complete."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > LINE_BYTES_MAX or any(len(line) > LINE_BYTES_MAX for line in lines):
            raise InvalidInput(
                [FieldError(MALFORMED, f"A line must have at most {LINE_BYTES_MAX} bytes.", "audience")]
            )
        self._lines += lines
        self._bytes += len(data)
        yield from self._pop_chunks(is_last=False)

    def finish(self) -> Iterator[ChunkDraft]:
        """Yield the remaining chunks after all data was added."""
        self._lines.append(self._buffer)
        self._buffer = b""
        yield from self._pop_chunks(is_last=True)

    def _pop_chunks(self, *, is_last: bool) -> Iterator[ChunkDraft]:
        if not self._has_header and self._lines:
            self._read_header()
        while len(self._lines) >= self._chunk_lines or (
            self._lines and (is_last or self._bytes >= CHUNK_BYTES_MAX)
        ):
            lines, self._lines = self._lines[: self._chunk_lines], self._lines[self._chunk_lines :]
            self._bytes -= sum(map(len, lines)) + len(lines)
            first_row, self._row = self._row, self._row + len(lines)
            draft = self._parse_ids(lines) or _parse_lines(self.layout, lines, first_row)
            if len(draft.chunk.numbers):
                yield draft

    def _read_header(self) -> None:
        """Read the first line, which has the column names or is already a customer."""
        first = self._lines[0].removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r")
        self._lines[0] = first
        self._has_header = True
        try:
            text = first.decode()
            delimiter = max(DELIMITERS, key=text.count)
            columns = [column.strip() for column in _fields(text, delimiter)]
        except (UnicodeDecodeError, csv.Error):
            message = "The first line is not valid CSV in UTF-8."
            raise InvalidInput([FieldError(MALFORMED, message, "audience")]) from None
        is_configured = self.layout.column is not None or self.layout.identifier is not None
        if len(columns) == 1 and not is_configured and ids.customer_id(columns[0]) is not None:
            return
        index = find_column(columns, self.layout.column)
        self.layout = msgspec.structs.replace(self.layout, columns=columns, delimiter=delimiter, place=index)
        del self._lines[0]
        self._row += 1

    def _parse_ids(self, lines: Sequence[bytes]) -> ChunkDraft | None:
        """Parse lines that are all customer ids, or return None if they are not."""
        if not _is_ids_only(self.layout) or b"".join(lines).translate(None, _DIGITS):
            return None
        try:
            numbers = np.array(list(map(int, lines)), dtype=np.int64)
        except (ValueError, OverflowError):
            return None
        if numbers.min() < 1:
            return None
        return ChunkDraft(Chunk(numbers=numbers, line_errors=(), raw_lines=None), ())


def _is_ids_only(layout: AudienceLayout) -> bool:
    """Whether lines have nothing but a customer id, so that the original text is not needed."""
    return layout.format is AudienceFormat.CSV and layout.identifier is None and len(layout.columns) <= 1


def find_column(columns: Sequence[str], requested: str | None) -> int:
    """Return the index of the column with the customers. Raises InvalidInput with the names of all columns."""
    if requested is not None:
        for index, column in enumerate(columns):
            if column == requested:
                return index
        message = f"The audience has no column {requested!r}; its columns are {', '.join(columns)}."[:1000]
        raise InvalidInput([FieldError(MALFORMED, message, "column")])
    indexes = [index for index, column in enumerate(columns) if column.lower() != REASON_COLUMN]
    if len(indexes) == 1:
        return indexes[0]
    for name in CUSTOMER_COLUMNS:
        for index, column in enumerate(columns):
            if column.lower() == name.lower():
                return index
    message = (
        f"Set the parameter column to the column of the customers; the columns are {', '.join(columns)}."[
            :1000
        ]
    )
    raise InvalidInput([FieldError(MALFORMED, message, "column")])


def _parse_lines(layout: AudienceLayout, lines: Sequence[bytes], first_row: int) -> ChunkDraft:
    """Parse a chunk line by line. Empty lines are skipped."""
    numbers: list[int] = []
    line_errors: list[LineError] = []
    identifiers: list[tuple[int, int, str]] = []
    texts: list[str] = []
    for row, line in enumerate(lines, first_row):
        text = line.decode(errors="replace").rstrip("\r")
        if not text.strip():
            continue
        value, message = _value(layout, text)
        number = 0
        if message is None:
            if layout.identifier is None:
                number = ids.customer_id(value) or 0
                message = None if number else NO_CUSTOMER
            elif value and "\0" not in value:
                identifiers.append((len(numbers), row, value))
            else:
                message = NO_IDENTIFIER
        if message is not None:
            line_errors.append(
                LineError(len(numbers), row, LineErrorKind.MALFORMED, value[:MAX_VALUE_CHARS], message)
            )
        numbers.append(number)
        texts.append(text)
    raw_lines = None if _is_ids_only(layout) else zlib.compress("\n".join(texts).encode(), 1)
    return ChunkDraft(
        Chunk(numbers=np.array(numbers, dtype=np.int64), line_errors=line_errors, raw_lines=raw_lines),
        identifiers,
    )


def _value(layout: AudienceLayout, text: str) -> tuple[str, str | None]:
    """Return the value of the customer, and the error of the line or None."""
    if "\ufffd" in text:
        return text, "The line is not valid UTF-8."
    if layout.format is AudienceFormat.NDJSON:
        return _json_value(layout, text)
    try:
        fields = _fields(text, layout.delimiter)
    except csv.Error:
        return text, "The line has invalid quotes."
    expected = max(len(layout.columns), 1)
    if len(fields) != expected:
        return text, f"The line has {len(fields)} fields; expected {expected}."
    return fields[layout.place].strip(), None


def _json_value(layout: AudienceLayout, text: str) -> tuple[str, str | None]:
    try:
        found = _AS_BYTES.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text, "The line is not valid JSON."
    if isinstance(found, dict):
        fields = cast("dict[str, object]", found)
        requested = CUSTOMER_COLUMNS if layout.column is None else (layout.column,)
        found = next((fields[name] for name in requested if name in fields), None)
    if isinstance(found, bool) or not isinstance(found, int | str):
        return text, "The line has no customer."
    return str(found).strip(), None


def _fields(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter, strict=True))


def split_raw_lines(raw_lines: bytes) -> list[str]:
    """Return the original lines of a chunk."""
    return zlib.decompress(raw_lines).decode().split("\n")


def raw_value(layout: AudienceLayout, text: str) -> str:
    """Return the value of the customer in an original line."""
    return _value(layout, text)[0]


def raw_fields(layout: AudienceLayout, text: str) -> list[str]:
    """Return the columns of an original CSV line. If it cannot be parsed, return the line as one column."""
    try:
        return _fields(text, layout.delimiter)
    except csv.Error:
        return [text]
