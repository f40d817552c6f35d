"""The process that converts one column of a Parquet file: `python -m cockade.job.parquet_worker COLUMN
<file`, started by `job.parquet`.

It writes CSV lines to standard output. If it crashes, the file is the cause: only its content can exhaust the
memory.
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
from cockade.job.parser import place_of

MEMORY_BYTES_MAX = 768 * 1024 * 1024
"""Limit of the address space, of which the libraries use 300 MiB. A usual file needs less than 100 MiB of
memory.
"""
READ_BYTES = 64 * 1024
ROWS_AT_ONCE = 10_000
REFUSED = 3
"""Exit status: standard error has the problem as JSON."""
UNREADABLE = "The audience cannot be read as Parquet: it is not a Parquet file, or it is truncated, damaged, encrypted, or has huge pages."
_PLAIN = re.compile(r"[\w@.+-]+", re.ASCII)
"""A field that needs no quotes with any delimiter."""
_BREAKS = re.compile(r"[\r\n]")


def main(wanted: str | None) -> None:
    """Convert this column from standard input to standard output."""
    with suppress(ValueError, OSError):  # not supported on every system
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader has gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service handles Ctrl-C
    try:
        # Makes the library reserve less memory. It reads these variables when it is loaded.
        os.environ |= {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
        for text in read(sys.stdin.buffer, wanted):
            sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    except InvalidInput as error:
        sys.stderr.buffer.write(msgspec.json.encode(error.field_errors()[0]))
        sys.exit(REFUSED)


def read(source: IO[bytes], wanted: str | None) -> Iterator[str]:
    """Yield CSV in large pieces. Raises InvalidInput, and the library's exceptions."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    arrow.set_cpu_count(1)
    arrow.set_io_thread_count(1)
    file = parquet.ParquetFile(source, pre_buffer=False, buffer_size=READ_BYTES)
    names: list[str] = file.schema_arrow.names
    place, header = choose(names, wanted)
    fields = _fields_of(arrow, file.schema_arrow.field(place))
    yield header + "\n"
    rows = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=[names[place]], use_threads=False):
        rows += batch.num_rows
        yield "\n".join(fields(batch.column(0))) + "\n"
    if rows != file.metadata.num_rows:
        raise InvalidInput([FieldError(MALFORMED, UNREADABLE, "audience")])


def choose(names: Sequence[str], wanted: str | None) -> tuple[int, str]:
    """Return the index of the customer column and its header. Raises InvalidInput."""
    columns = [_BREAKS.sub(" ", name).strip() for name in names]
    place = place_of(columns, wanted)
    if wanted is None and ids.customer_id(columns[place]) is not None:
        # As a header, this name would be parsed as a customer.
        raise InvalidInput(
            [FieldError(MALFORMED, f"Add the parameter that names the column: {columns[place]!r}.", "column")]
        )
    return place, quoted(columns[place])


def _fields_of(arrow: Any, column: Any) -> Callable[[Any], list[str]]:
    """Return the function that formats values of this column. Raises InvalidInput if its type cannot hold
    customers.
    """
    types = arrow.types
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_integer(kind) or (types.is_decimal(kind) and kind.scale == 0):
        return lambda values: _plain(values, kind).cast(arrow.string()).fill_null('""').to_pylist()
    if types.is_string(kind) or types.is_large_string(kind):
        binary = arrow.large_binary()
        return lambda values: [_text(value) for value in _plain(values, kind).cast(binary).to_pylist()]
    message = (
        f"The column {column.name!r} has type {kind}; the customer column must have integers or strings."[
            :1000
        ]
    )
    raise InvalidInput([FieldError(MALFORMED, message, "column")])


def _plain(values: Any, kind: Any) -> Any:
    return values if values.type == kind else values.cast(kind)


def _text(value: bytes | None) -> str:
    return '""' if value is None else quoted(_BREAKS.sub(" ", value.decode(errors="replace")))


def quoted(text: str) -> str:
    """Quote one field, which can be the whole line. An empty field gives an empty line."""
    return text if _PLAIN.fullmatch(text) else '"' + text.replace('"', '""') + '"'


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
