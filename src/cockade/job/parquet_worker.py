"""Subprocess of `job.parquet` that reads one column of a Parquet file: `python -m cockade.job.parquet_worker
COLUMN <file`.

It writes CSV lines to standard output. If it crashes, the file is reported as unreadable: only the content of
the file can have exhausted its memory.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

import msgspec

from cockade import ids
from cockade.errors import MALFORMED, FieldError, InvalidInput
from cockade.job.parser import find_column

MAX_MEMORY_BYTES = 768 * 1024 * 1024
"""Limit of the address space. The libraries take 300 MiB of it; a typical file needs less than 100 MiB of
memory.
"""
READ_BYTES = 64 * 1024
ROWS_PER_BATCH = 10_000
REJECTED = 3
"""Exit status: standard error has a FieldError as JSON."""
UNREADABLE = "The audience cannot be read as Parquet: it is not a Parquet file, or it is truncated, damaged or encrypted, or it has very large pages."
_UNQUOTED = re.compile(r"[\w@.+-]+", re.ASCII)
"""A field that needs no quotes with any delimiter."""
_LINE_BREAKS = re.compile(r"[\r\n]")


def main(requested: str | None) -> None:
    """Write the column from standard input to standard output."""
    with suppress(ValueError, OSError):  # not supported on every system
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the service has closed the pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service handles Ctrl-C
    try:
        # Reduces reserved memory. Must be set before the library is loaded.
        os.environ |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
        for text in read(sys.stdin.buffer, requested):
            sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except InvalidInput as error:
        sys.stderr.buffer.write(msgspec.json.encode(error.field_errors()[0]))
        sys.exit(REJECTED)


def read(source: IO[bytes], requested: str | None) -> Iterator[str]:
    """Yield lines, many at a time. Raises InvalidInput, or any exception of the library if the file is
    damaged.
    """
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    arrow.set_cpu_count(1)
    arrow.set_io_thread_count(1)
    file = parquet.ParquetFile(source, pre_buffer=False, buffer_size=READ_BYTES)
    names: list[str] = file.schema_arrow.names
    index, header = select_column(names, requested)
    fields = _formatter(arrow, file.schema_arrow.field(index))
    yield header + "\n"
    rows = 0
    for batch in file.iter_batches(ROWS_PER_BATCH, columns=[names[index]], use_threads=False):
        rows += batch.num_rows
        yield "\n".join(fields(batch.column(0))) + "\n"
    if rows != file.metadata.num_rows:
        raise InvalidInput([FieldError(MALFORMED, UNREADABLE, "audience")])


def select_column(names: Sequence[str], requested: str | None) -> tuple[int, str]:
    """Return the index of the customer column, and the header line. Raises InvalidInput."""
    columns = [_LINE_BREAKS.sub(" ", name).strip() for name in names]
    index = find_column(columns, requested)
    if requested is None and ids.customer_id(columns[index]) is not None:
        # Otherwise the parser would read this header as a customer.
        raise InvalidInput(
            [
                FieldError(
                    MALFORMED,
                    f"The column name {columns[index]!r} is also a customer id; set the parameter column to it.",
                    "column",
                )
            ]
        )
    return index, quoted(columns[index])


def _formatter(arrow: Any, column: Any) -> Callable[[Any], list[str]]:
    """Return a function that formats the values of the column. Raises InvalidInput if the type is not
    supported.
    """
    types = arrow.types
    value_type = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_integer(value_type) or (types.is_decimal(value_type) and value_type.scale == 0):
        return lambda values: _decoded(values, value_type).cast(arrow.string()).fill_null('""').to_pylist()
    if types.is_string(value_type) or types.is_large_string(value_type):
        binary = arrow.large_binary()
        return lambda values: [
            _format_text(value) for value in _decoded(values, value_type).cast(binary).to_pylist()
        ]
    message = f"The column {column.name!r} has type {value_type}; customers must be integers or strings."[
        :1000
    ]
    raise InvalidInput([FieldError(MALFORMED, message, "column")])


def _decoded(values: Any, value_type: Any) -> Any:
    return values if values.type == value_type else values.cast(value_type)


def _format_text(value: bytes | None) -> str:
    return '""' if value is None else quoted(_LINE_BREAKS.sub(" ", value.decode(errors="replace")))


def quoted(text: str) -> str:
    """Return the field, quoted if necessary. An empty field is quoted, because an empty line would be
    skipped.
    """
    return text if _UNQUOTED.fullmatch(text) else '"' + text.replace('"', '""') + '"'


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
