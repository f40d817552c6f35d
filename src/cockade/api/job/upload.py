"""Receive an audience as a stream."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from litestar.exceptions import InternalServerException

from cockade.api.job.schemas import media_type
from cockade.config import Config
from cockade.errors import (
    MALFORMED,
    BodyTimeout,
    BodyTooLarge,
    CockadeError,
    FieldError,
    InvalidInput,
    UnsupportedContentEncoding,
)
from cockade.http.request import ApiRequest
from cockade.job import parquet
from cockade.job.model import (
    PARQUET,
    AudienceLayout,
)

READ_BYTES = 64 * 1024
"""Bytes that are read at a time."""
DRAIN_TIMEOUT_S = 5.0
"""When an upload is rejected, the rest is received for this time, so that the caller can read the response.
"""
_UNPACKED_BYTES = 1024 * 1024


def audience(request: ApiRequest, form: AudienceLayout) -> AsyncGenerator[bytes]:
    """Return the audience as CSV or NDJSON. The caller must close it. Raises ParquetNotInstalled."""
    taken = pieces(request)
    if media_type(request.headers.get("Content-Type")) != PARQUET:
        return taken
    parquet.require_installed()
    return parquet.as_csv(taken, form.column, request.config.max_audience_bytes)


async def pieces(request: ApiRequest) -> AsyncGenerator[bytes]:
    """Yield the uncompressed audience in small pieces.

    Raises BodyEncoded, BodyTooLarge, BodyTooSlow, and InvalidInput if the client disconnected.
    """
    config: Config = request.config
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise UnsupportedContentEncoding
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    taken, stream = 0, request.stream()
    while packed := await _receive(stream, config.body_timeout_s):
        for piece in _unpacked(unpacking, packed):
            taken += len(piece)
            if taken > config.max_audience_bytes:
                raise BodyTooLarge(
                    f"The audience has more than {config.max_audience_bytes} bytes (COCKADE_MAX_AUDIENCE_BYTES). Split it."
                )
            yield piece
    if unpacking is not None and not unpacking.eof:
        raise _broken_off()


async def _receive(stream: AsyncIterator[bytes], s_max: float) -> bytes:
    """Return the next bytes, or nothing at the end."""
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(s_max):
            while size < READ_BYTES and (part := await anext(stream, None)) is not None:
                parts.append(part)
                size += len(part)
    except TimeoutError:
        raise BodyTimeout from None
    except InternalServerException:
        raise _broken_off() from None
    return b"".join(parts)


def _broken_off() -> InvalidInput:
    return InvalidInput([FieldError(MALFORMED, "The audience is incomplete.", "audience")])


def _unpacked(unpacking: Any, packed: bytes) -> Iterator[bytes]:
    if unpacking is None:
        yield packed
        return
    try:
        while packed:
            yield unpacking.decompress(packed, _UNPACKED_BYTES)
            packed = unpacking.unconsumed_tail
    except zlib.error:
        raise InvalidInput([FieldError(MALFORMED, "The audience is not valid gzip.", "audience")]) from None


async def drain_body(request: ApiRequest) -> None:
    """Receive the rest of the body for a limited time: a client that is cut off while sending cannot read the
    response.
    """
    with suppress(TimeoutError, InternalServerException, CockadeError):
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            async for _ in request.stream():
                pass
