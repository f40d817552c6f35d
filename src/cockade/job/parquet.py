"""Convert an audience in Parquet to the CSV lines of its customer column.

A Parquet file is read from its end, so it is first written to a temporary file. A separate process with
limited memory converts it, because a malicious file can expand without bound or crash the library; only that
process then ends. The library is optional, and the service itself never loads it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from typing import IO

import msgspec
import structlog

from cockade.config import PREFIX
from cockade.errors import MALFORMED, BodyTooLarge, FieldError, InvalidInput, ParquetNotInstalled, Unavailable
from cockade.job.parquet_worker import READ_BYTES, REFUSED, UNREADABLE

PROCESSES_MAX = 2
"""Maximum number of files that a worker process converts at a time. Others wait on disk."""
COLUMN_CHARS_MAX = 1000
NO_ROOM = "There is not enough disk space for a Parquet audience now. Nothing was changed; send the request again later."

_places = asyncio.Semaphore(PROCESSES_MAX)
log = structlog.get_logger()


def require_installed() -> None:
    """Raise ParquetNotInstalled if the library is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ParquetNotInstalled


async def as_csv(pieces: AsyncIterator[bytes], column: str | None, bytes_max: int) -> AsyncGenerator[bytes]:
    """Yield the customer column as CSV with a header, after the upload is complete.

    A null becomes an empty field. Raises InvalidInput; BodyTooLarge if it expands to more than `bytes_max`;
    Unavailable if there is no disk space; and the exceptions of `pieces`.
    """
    if column is not None and len(column) > COLUMN_CHARS_MAX:
        raise InvalidInput([FieldError(MALFORMED, "No column has a name of this length.", "column")])
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as field_errors:
        try:
            await _spool(pieces, file)
            async with _places:
                with await asyncio.to_thread(_start, file, field_errors, column) as process:
                    try:
                        async for lines in _lines(process, bytes_max):
                            yield lines
                        _check(await asyncio.to_thread(process.wait), field_errors)
                    finally:
                        process.kill()
        finally:
            await asyncio.to_thread(file.close)  # freeing gigabytes on disk takes time


async def _spool(pieces: AsyncIterator[bytes], file: IO[bytes]) -> None:
    async for piece in pieces:
        try:
            await asyncio.to_thread(_write, file, piece)
        except OSError as error:
            log.warning("cannot write an audience to disk", action="job.unpack", cause=repr(error))
            raise Unavailable(NO_ROOM) from None


def _write(file: IO[bytes], piece: bytes) -> None:
    file.write(piece)
    file.flush()


def _start(file: IO[bytes], field_errors: IO[bytes], column: str | None) -> subprocess.Popen[bytes]:
    """Start the process. It inherits the file, but no secrets of the service."""
    return subprocess.Popen(
        [sys.executable, "-m", "cockade.job.parquet_worker", json.dumps(column)],
        bufsize=0,
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=field_errors,
        env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
    )


async def _lines(process: subprocess.Popen[bytes], bytes_max: int) -> AsyncGenerator[bytes]:
    assert process.stdout is not None
    taken = 0
    while piece := await asyncio.to_thread(process.stdout.read, READ_BYTES):
        taken += len(piece)
        if taken > bytes_max:
            raise BodyTooLarge(
                f"The audience has more than {bytes_max} bytes when uncompressed (COCKADE_MAX_AUDIENCE_BYTES). Split it."
            )
        yield piece


def _check(status: int, field_errors: IO[bytes]) -> None:
    """Raise the error that the process reported."""
    if status == 0:
        return
    field_errors.seek(0)
    said = field_errors.read(READ_BYTES)
    if status == REFUSED:
        raise InvalidInput([msgspec.json.decode(said, type=FieldError)])
    cause = said.decode(errors="replace").strip().rpartition("\n")[2]
    log.warning("cannot read a Parquet file", action="job.unpack", status=status, cause=cause)
    raise InvalidInput([FieldError(MALFORMED, UNREADABLE, "audience")])
