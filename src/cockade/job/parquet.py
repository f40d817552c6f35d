"""An audience in Parquet, as the lines of CSV that its column of customers comes to.

What a Parquet file holds can be found only from its end, so it is spooled to disk first. It is unpacked by a process of its
own, with a bound on its memory: a file may be made to unpack to anything, or to make the library crash, and either ends
that process alone. Nor does the service load the library, which is an extra.
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
"""So many files a worker process of the service has unpacked at a time; further ones wait, on disk."""
COLUMN_CHARS_MAX = 1000
NO_ROOM = "There is no room on the service's disk for an audience in Parquet now. Nothing was changed; send it again later."

_places = asyncio.Semaphore(PROCESSES_MAX)
log = structlog.get_logger()


def require_installed() -> None:
    """Raises ParquetNotInstalled."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ParquetNotInstalled


async def as_csv(pieces: AsyncIterator[bytes], column: str | None, bytes_max: int) -> AsyncGenerator[bytes]:
    """The column of customers, its name on the first line, once all of the file is there.

    An empty field stands for what is null. Raises InvalidInput, BodyTooLarge where it unpacks to more than `bytes_max`,
    Unavailable where there is no room on disk, and whatever `pieces` raises.
    """
    if column is not None and len(column) > COLUMN_CHARS_MAX:
        raise InvalidInput([FieldError(MALFORMED, "No column has such a long name.", "column")])
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
            await asyncio.to_thread(file.close)  # giving gigabytes back to a disk takes its time


async def _spool(pieces: AsyncIterator[bytes], file: IO[bytes]) -> None:
    async for piece in pieces:
        try:
            await asyncio.to_thread(_write, file, piece)
        except OSError as error:
            log.warning("an audience cannot be spooled", action="job.unpack", cause=repr(error))
            raise Unavailable(NO_ROOM) from None


def _write(file: IO[bytes], piece: bytes) -> None:
    file.write(piece)
    file.flush()


def _start(file: IO[bytes], field_errors: IO[bytes], column: str | None) -> subprocess.Popen[bytes]:
    """It inherits the file, and none of the service's secrets."""
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
                f"An audience has at most {bytes_max} bytes, unpacked (COCKADE_MAX_AUDIENCE_BYTES)."
            )
        yield piece


def _check(status: int, field_errors: IO[bytes]) -> None:
    """Raise what the process ended with."""
    if status == 0:
        return
    field_errors.seek(0)
    said = field_errors.read(READ_BYTES)
    if status == REFUSED:
        raise InvalidInput([msgspec.json.decode(said, type=FieldError)])
    cause = said.decode(errors="replace").strip().rpartition("\n")[2]
    log.warning("a Parquet file cannot be read", action="job.unpack", status=status, cause=cause)
    raise InvalidInput([FieldError(MALFORMED, UNREADABLE, "audience")])
