"""The request class of the app, and types of JSON bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_args, get_origin

from litestar import Request
from litestar.datastructures import State
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from msgspec import Struct

from cockade.auth.model import Caller
from cockade.config import Config
from cockade.errors import (
    MALFORMED,
    BodyTimeout,
    BodyTooLarge,
    FieldError,
    InvalidInput,
    UnsupportedContentEncoding,
)
from cockade.http import decoding
from cockade.http.body_limiter import SMALL_BYTES, BodyMemoryLimiter
from cockade.http.context import RequestContext, get_context, get_header

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.typing import FieldDefinition

REPLAYED_REQUEST_ID = "cockade.replayed_request_id"
"""The key in the ASGI scope."""
S = TypeVar("S", bound=Struct)
C = TypeVar("C")


class JsonBody(Generic[S]):
    """An undecoded JSON body. Handlers declare `data: JsonBody[Shape]`; OpenAPI documents the shape."""

    def __init__(self, raw: bytes, shape: type[S]) -> None:
        self._raw = raw
        self._shape = shape

    def read(self, convert: Callable[[S, decoding.FieldErrors], C]) -> C:
        """Decode the body. See `cockade.http.decoding.read`."""
        return decoding.read(self._raw, self._shape, convert)


class JsonArrayBody(Generic[S]):
    """A JsonBody that is a list of items of the shape."""

    def __init__(self, raw: bytes, shape: type[S]) -> None:
        self._raw = raw
        self._shape = shape

    async def read(
        self, convert: Callable[[S, decoding.FieldErrors], C], rows_max: int
    ) -> list[C | list[FieldError]]:
        """Decode the body in batches, and let other requests run in between. See `decoding.read_rows`."""
        entries = decoding.split_rows(self._raw, rows_max)
        rows: list[C | list[FieldError]] = []
        for start in range(0, len(entries), decoding.ITEMS_PER_BATCH):
            rows += decoding.read_rows(
                entries[start : start + decoding.ITEMS_PER_BATCH], self._shape, convert
            )
            await asyncio.sleep(0)
        return rows


class JsonBodySchema(OpenAPISchemaPlugin):
    """OpenAPI schemas: `JsonBody[Shape]` is the shape, and `JsonArrayBody[Shape]` a list of it."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Whether this is a `JsonBody[…]` or `JsonArrayBody[…]`."""
        return get_origin(value) in (JsonBody, JsonArrayBody)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Return the schema of the shape, or of a list of it."""
        shape = cast("Schema", schema_creator.for_field_definition(field_definition.inner_types[0]))
        is_list = get_origin(field_definition.annotation) is JsonArrayBody
        return Schema(type=OpenAPIType.ARRAY, items=shape) if is_list else shape


class ApiRequest(Request[Caller, None, State]):
    """A request whose JSON body is decoded by its handler, and not by the framework first."""

    async def body(self) -> bytes:
        """Return the whole body. Can be called several times.

        Raises UnsupportedContentEncoding, BodyTooLarge, BodyTimeout, ServiceBusy if no memory was free in
        time, and InvalidInput if the body is incomplete.
        """
        if self.context.body is None:
            self.context.body = await self._receive()
        return self.context.body

    async def _receive(self) -> bytes:
        if (get_header(self.scope, b"content-encoding") or "").strip().lower() not in ("identity", ""):
            raise UnsupportedContentEncoding
        try:
            async with asyncio.timeout(self.config.body_timeout_s):
                return b"".join(await self._chunks())
        except TimeoutError:
            raise BodyTimeout from None

    async def _chunks(self) -> list[bytes]:
        """Receive the body. Memory for a large body is reserved before it is read.

        Without a content length, memory for the largest allowed body is reserved as soon as it exceeds
        SMALL_BYTES.
        """
        bytes_max = self.route_handler.resolve_request_max_body_size() or 0
        announced = int(get_header(self.scope, b"content-length") or 0)
        if announced > bytes_max:
            raise BodyTooLarge
        if announced > SMALL_BYTES:
            await self._reserve(announced)
        chunks, received, is_more = list[bytes](), 0, True
        while is_more:
            message = await self.receive()
            if message["type"] != "http.request":
                field_error = FieldError(MALFORMED, "The request body is incomplete.")
                raise InvalidInput([field_error])
            chunks.append(chunk := message.get("body", b""))
            received += len(chunk)
            if received > bytes_max:
                raise BodyTooLarge
            if received > SMALL_BYTES and not self.context.body_bytes:
                await self._reserve(bytes_max)
            is_more = message.get("more_body", False)
        return chunks

    async def _reserve(self, size: int) -> None:
        body_limiter: BodyMemoryLimiter = self.app.state.body_limiter
        await body_limiter.acquire(size)
        self.context.body_bytes = size

    async def json(self) -> Any:
        """Return the body as the `JsonBody[…]` or `JsonArrayBody[…]` that the handler declares."""
        annotation = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        kind: type[JsonBody[Any] | JsonArrayBody[Any]] = get_origin(annotation)
        return kind(await self.body(), get_args(annotation)[0])

    @property
    def config(self) -> Config:
        """The service's configuration.

        Not a dependency, because the framework creates a task for each of several dependencies.
        """
        return self.app.state.config

    @property
    def replayed_request_id(self) -> str | None:
        """The id of the request whose outcome to return again, instead of executing this one. See `api.idempotency`."""
        return cast("Any", self.scope).get(REPLAYED_REQUEST_ID)

    @property
    def context(self) -> RequestContext:
        """The context of this request."""
        return get_context(self.scope)
