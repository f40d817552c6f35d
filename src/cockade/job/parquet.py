"""Convert the customer column of a Parquet audience to lines of CSV.

The metadata of a Parquet file is at its end, so the file is written to disk first. A subprocess with a memory
limit reads it: a malicious file can expand to any size or crash the library, and then only the subprocess
fails. The service does not load the library, which is an optional extra.
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
from cockade.job.parquet_worker import READ_BYTES, REJECTED, UNREADABLE

MAX_PROCESSES = 2
"""Maximum number of subprocesses per server process. Further files wait on disk."""
MAX_COLUMN_CHARS = 1000
DISK_FULL = "The server has no disk space for a Parquet file. Nothing was changed; send it again later."

_slots = asyncio.Semaphore(MAX_PROCESSES)
log = structlog.get_logger()


def require_installed() -> None:
    """Raise ParquetNotInstalled if the extra is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ParquetNotInstalled


async def as_csv(stream: AsyncIterator[bytes], column: str | None, max_bytes: int) -> AsyncGenerator[bytes]:
    """Yield the customer column as CSV, with its name on the first line, after the whole file was received.

    Null is an empty field. Raises InvalidInput, BodyTooLarge if the output exceeds `max_bytes`, Unavailable
    if the disk is full, and any exception of `stream`.
    """
    if column is not None and len(column) > MAX_COLUMN_CHARS:
        raise InvalidInput(
            [
                FieldError(
                    MALFORMED, f"A column name must have at most {MAX_COLUMN_CHARS} characters.", "column"
                )
            ]
        )
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as stderr:
        try:
            await _spool(stream, file)
            async with _slots:
                with await asyncio.to_thread(_start, file, stderr, column) as process:
                    try:
                        async for lines in _lines(process, max_bytes):
                            yield lines
                        _check(await asyncio.to_thread(process.wait), stderr)
                    finally:
                        process.kill()
        finally:
            await asyncio.to_thread(file.close)  # freeing gigabytes takes time


async def _spool(stream: AsyncIterator[bytes], file: IO[bytes]) -> None:
    async for data in stream:
        try:
            await asyncio.to_thread(_write, file, data)
        except OSError as error:
            log.warning("cannot write audience to disk", action="job.unpack", cause=repr(error))
            raise Unavailable(DISK_FULL) from None


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _start(file: IO[bytes], stderr: IO[bytes], column: str | None) -> subprocess.Popen[bytes]:
    """Start the subprocess. It inherits the file, but not the settings and secrets of the service."""
    return subprocess.Popen(
        [sys.executable, "-m", "cockade.job.parquet_worker", json.dumps(column)],
        bufsize=0,
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
    )


async def _lines(process: subprocess.Popen[bytes], max_bytes: int) -> AsyncGenerator[bytes]:
    assert process.stdout is not None
    received = 0
    while data := await asyncio.to_thread(process.stdout.read, READ_BYTES):
        received += len(data)
        if received > max_bytes:
            raise BodyTooLarge(
                f"The audience must have at most {max_bytes} bytes when unpacked (COCKADE_MAX_AUDIENCE_BYTES)."
            )
        yield data


def _check(status: int, stderr: IO[bytes]) -> None:
    """Raise the error that the subprocess reported."""
    if status == 0:
        return
    stderr.seek(0)
    output = stderr.read(READ_BYTES)
    if status == REJECTED:
        raise InvalidInput([msgspec.json.decode(output, type=FieldError)])
    cause = output.decode(errors="replace").strip().rpartition("\n")[2]
    log.warning("cannot read Parquet file", action="job.unpack", status=status, cause=cause)
    raise InvalidInput([FieldError(MALFORMED, UNREADABLE, "audience")])
