"""Parse the bytes of an audience into chunks, with bounded memory for any size.

A line has one customer. A CSV field can be quoted, but cannot contain a newline, so that a missing quote
spoils only its own line. The usual file, one number per line, is parsed a chunk at a time.
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
"""Maximum size of a chunk; a chunk of long lines has fewer lines."""
VALUE_CHARS_MAX = 200
"""Maximum length of the stored value of an invalid line."""
DELIMITERS = (",", ";", "\t")
_DIGITS = b"0123456789\r"
_AS_BYTES = msgspec.json.Decoder()

NO_CUSTOMER = f"A customer id must be an integer from 1 to {ids.CUSTOMER_ID_MAX}."
NO_IDENTIFIER = "The identifier is missing."


class ChunkDraft(Struct, frozen=True, eq=False):
    """A chunk whose identifiers are not yet resolved."""

    chunk: Chunk
    names: Sequence[tuple[int, int, str]]
    """Index in the chunk, line number in the file, and identifier of each customer to be resolved."""


class AudienceParser:
    """Parses the bytes of one audience as they arrive. Raises InvalidInput if the audience cannot be parsed
    at all.
    """

    def __init__(self, form: AudienceLayout, chunk_lines: int) -> None:
        self.form = form
        """Includes the columns after the first line was parsed."""
        self._chunk_lines = chunk_lines
        self._rest = b""
        self._lines: list[bytes] = []
        self._bytes = 0
        self._row = 1
        """Line number in the file of the first buffered line."""
        self._is_begun = form.format is AudienceFormat.NDJSON

    def feed(self, data: bytes) -> Iterator[ChunkDraft]:
        """Add bytes and yield the chunks that are complete."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES_MAX or any(len(line) > LINE_BYTES_MAX for line in lines):
            raise InvalidInput(
                [
                    FieldError(
                        MALFORMED,
                        f"The audience has a line with more than {LINE_BYTES_MAX} bytes.",
                        "audience",
                    )
                ]
            )
        self._lines += lines
        self._bytes += len(data)
        yield from self._complete(is_last=False)

    def finish(self) -> Iterator[ChunkDraft]:
        """Yield the remaining chunks at the end of the audience."""
        self._lines.append(self._rest)
        self._rest = b""
        yield from self._complete(is_last=True)

    def _complete(self, *, is_last: bool) -> Iterator[ChunkDraft]:
        if not self._is_begun and self._lines:
            self._begin()
        while len(self._lines) >= self._chunk_lines or (
            self._lines and (is_last or self._bytes >= CHUNK_BYTES_MAX)
        ):
            lines, self._lines = self._lines[: self._chunk_lines], self._lines[self._chunk_lines :]
            self._bytes -= sum(map(len, lines)) + len(lines)
            first_row, self._row = self._row, self._row + len(lines)
            draft = self._plain(lines) or _draft(self.form, lines, first_row)
            if len(draft.chunk.numbers):
                yield draft

    def _begin(self) -> None:
        """Parse the first line, which is a header or already a customer."""
        first = self._lines[0].removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r")
        self._lines[0] = first
        self._is_begun = True
        try:
            text = first.decode()
            delimiter = max(DELIMITERS, key=text.count)
            columns = [column.strip() for column in _fields(text, delimiter)]
        except (UnicodeDecodeError, csv.Error):
            message = "The first line is not valid CSV in UTF-8."
            raise InvalidInput([FieldError(MALFORMED, message, "audience")]) from None
        named = self.form.column is not None or self.form.identifier is not None
        if len(columns) == 1 and not named and ids.customer_id(columns[0]) is not None:
            return
        place = place_of(columns, self.form.column)
        self.form = msgspec.structs.replace(self.form, columns=columns, delimiter=delimiter, place=place)
        del self._lines[0]
        self._row += 1

    def _plain(self, lines: Sequence[bytes]) -> ChunkDraft | None:
        """Return the chunk if each line is only a number, otherwise None."""
        if not _says_it_all(self.form) or b"".join(lines).translate(None, _DIGITS):
            return None
        try:
            numbers = np.array(list(map(int, lines)), dtype=np.int64)
        except (ValueError, OverflowError):
            return None
        if numbers.min() < 1:
            return None
        return ChunkDraft(Chunk(numbers=numbers, line_errors=(), raw_lines=None), ())


def _says_it_all(form: AudienceLayout) -> bool:
    """Whether a line has nothing but the customer id."""
    return form.format is AudienceFormat.CSV and form.identifier is None and len(form.columns) <= 1


def place_of(columns: Sequence[str], wanted: str | None) -> int:
    """Return the index of the customer column. Raises InvalidInput with all column names."""
    if wanted is not None:
        for place, column in enumerate(columns):
            if column == wanted:
                return place
        message = f"There is no column {wanted!r}; the audience has the columns {', '.join(columns)}."[:1000]
        raise InvalidInput([FieldError(MALFORMED, message, "column")])
    places = [place for place, column in enumerate(columns) if column.lower() != REASON_COLUMN]
    if len(places) == 1:
        return places[0]
    for name in CUSTOMER_COLUMNS:
        for place, column in enumerate(columns):
            if column.lower() == name.lower():
                return place
    message = f"Specify which column has the customers; the audience has the columns {', '.join(columns)}."[
        :1000
    ]
    raise InvalidInput([FieldError(MALFORMED, message, "column")])


def _draft(form: AudienceLayout, lines: Sequence[bytes], first_row: int) -> ChunkDraft:
    """Parse the chunk line by line, without empty lines."""
    numbers: list[int] = []
    line_errors: list[LineError] = []
    names: list[tuple[int, int, str]] = []
    texts: list[str] = []
    for row, line in enumerate(lines, first_row):
        text = line.decode(errors="replace").rstrip("\r")
        if not text.strip():
            continue
        value, message = _value(form, text)
        number = 0
        if message is None:
            if form.identifier is None:
                number = ids.customer_id(value) or 0
                message = None if number else NO_CUSTOMER
            elif value and "\0" not in value:
                names.append((len(numbers), row, value))
            else:
                message = NO_IDENTIFIER
        if message is not None:
            line_errors.append(
                LineError(len(numbers), row, LineErrorKind.MALFORMED, value[:VALUE_CHARS_MAX], message)
            )
        numbers.append(number)
        texts.append(text)
    sent = None if _says_it_all(form) else zlib.compress("\n".join(texts).encode(), 1)
    return ChunkDraft(
        Chunk(numbers=np.array(numbers, dtype=np.int64), line_errors=line_errors, raw_lines=sent), names
    )


def _value(form: AudienceLayout, text: str) -> tuple[str, str | None]:
    """Return the line's value in the place of the customer, and the error of the line, if any."""
    if "\ufffd" in text:
        return text, "The line is not valid UTF-8."
    if form.format is AudienceFormat.NDJSON:
        return _json_value(form, text)
    try:
        fields = _fields(text, form.delimiter)
    except csv.Error:
        return text, "The line has an unclosed quote."
    expected = max(len(form.columns), 1)
    if len(fields) != expected:
        return text, f"The line has {len(fields)} fields instead of {expected}."
    return fields[form.place].strip(), None


def _json_value(form: AudienceLayout, text: str) -> tuple[str, str | None]:
    try:
        found = _AS_BYTES.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text, "The line is not valid JSON."
    if isinstance(found, dict):
        fields = cast("dict[str, object]", found)
        wanted = CUSTOMER_COLUMNS if form.column is None else (form.column,)
        found = next((fields[name] for name in wanted if name in fields), None)
    if isinstance(found, bool) or not isinstance(found, int | str):
        return text, "The line has no customer."
    return str(found).strip(), None


def _fields(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter, strict=True))


def split_raw_lines(sent: bytes) -> list[str]:
    """Return the lines of a chunk as sent."""
    return zlib.decompress(sent).decode().split("\n")


def raw_value(form: AudienceLayout, text: str) -> str:
    """Return the value of a stored line in the place of the customer."""
    return _value(form, text)[0]


def raw_fields(form: AudienceLayout, text: str) -> list[str]:
    """Return the columns of a stored CSV line, or the whole line as one column if it is invalid."""
    try:
        return _fields(text, form.delimiter)
    except csv.Error:
        return [text]
