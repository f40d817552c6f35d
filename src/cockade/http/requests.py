"""The request as handlers see it, and the outermost layer around the app: request ids, headers and the log.

Every answer carries `X-CAP-REQUEST-ID`: the request id that was used. One line is logged per request.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, get_args, get_origin
from urllib.parse import quote

import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from msgspec import Struct

from cockade import logs, metrics
from cockade.access.model import Caller
from cockade.clock import Clock
from cockade.config import Config
from cockade.errors import MALFORMED, BodyEncoded, BodyTooLarge, BodyTooSlow, Fault, InvalidInput
from cockade.http import body
from cockade.http.headers import Headers, headers_of
from cockade.http.intake import SMALL_BYTES, Room
from cockade.http.paths import full
from cockade.request.model import REQUEST_ID_CHARS_MAX
from cockade.storage.database import Database

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.types import ASGIApp, Message, Receive, Scope, Send
    from litestar.typing import FieldDefinition

S = TypeVar("S", bound=Struct)
C = TypeVar("C")

REQUEST_ID_HEADER = b"x-cap-request-id"
TRACE_HEADER = b"traceparent"
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)
QUIET = {"healthz", "readyz", "metrics"}
"""Asked every few seconds by load balancers and monitors; logged only when they fail."""
PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
log = structlog.get_logger()


class Exchange:
    """What is known of one request beside its HTTP: filled in on its way, written to the log at its end."""

    def __init__(
        self,
        header: str | None,
        arrived_at: datetime,
        scope: Mapping[str, object] | None = None,
        trace_id: str | None = None,
    ) -> None:
        self._scope = scope or {}
        self.headers: Headers = ()
        """What the answer carries beside its handler's own."""
        self.arrived_at = arrived_at
        """When the request came in; answers that only tell what is, tell it as of then."""
        self.trace_id = trace_id
        """Of the caller's trace, where it sent one."""
        self.request_id = header or token_hex(16)
        """The request id that is used and echoed."""
        self.caller: Caller | None = None
        self.codes: list[int] | None = None
        """The codes of a failure."""
        self.cause: str | None = None
        """Why the database could not serve."""
        self.body: bytes | None = None
        """The whole body, once it has come in."""
        self.body_bytes = 0
        """How much room the body takes; it is given back when the request has been answered."""
        self.is_replay = False
        """Whether the request was carried out before, and only its answer is wanted again."""
        self.is_dry_run = False
        """Whether nothing is to be changed, and so nothing kept."""

    @property
    def operation(self) -> str | None:
        """The operation that answers, once it is known and if there is one."""
        return getattr(self._scope.get("route_handler"), "operation_id", None)

    def log_fields(self) -> dict[str, object]:
        """See `cockade.logs.Exchange`."""
        fields: dict[str, object] = {"action": self.operation, "request_id": self.request_id}
        fields["org"] = self.caller.org_id if self.caller else None
        if self.trace_id is not None:
            fields["trace_id"] = self.trace_id
        return fields


class JsonBody(Generic[S]):
    """A JSON body that is yet to be read. Handlers take it as `data: JsonBody[Shape]`; OpenAPI shows the shape."""

    def __init__(self, raw: bytes, shape: type[S]) -> None:
        self._raw = raw
        self._shape = shape

    def read(self, convert: Callable[[S, body.Faults], C]) -> C:
        """See `cockade.http.body.read`."""
        return body.read(self._raw, self._shape, convert)


class JsonRows(Generic[S]):
    """As JsonBody, of a list whose entries are each of the shape."""

    def __init__(self, raw: bytes, shape: type[S]) -> None:
        self._raw = raw
        self._shape = shape

    async def read(self, convert: Callable[[S, body.Faults], C], rows_max: int) -> list[C | list[Fault]]:
        """See `cockade.http.body.read_rows`; other requests have their turn between stretches of rows."""
        entries = body.split_rows(self._raw, rows_max)
        rows: list[C | list[Fault]] = []
        for start in range(0, len(entries), body.STRETCH):
            rows += body.read_rows(entries[start : start + body.STRETCH], self._shape, convert)
            await asyncio.sleep(0)
        return rows


class JsonBodySchema(OpenAPISchemaPlugin):
    """Documents `JsonBody[Shape]` as Shape, and `JsonRows[Shape]` as a list of it."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Whether this is a `JsonBody[…]` or `JsonRows[…]`."""
        return get_origin(value) in (JsonBody, JsonRows)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """The schema of the shape, or of a list of it."""
        shape = cast("Schema", schema_creator.for_field_definition(field_definition.inner_types[0]))
        is_list = get_origin(field_definition.annotation) is JsonRows
        return Schema(type=OpenAPIType.ARRAY, items=shape) if is_list else shape


class ApiRequest(Request[Caller, None, State]):
    """A request whose JSON body is left to its handler, so that nothing decodes it a first time."""

    async def body(self) -> bytes:
        """The whole body; it may be asked for several times.

        Raises BodyEncoded, BodyTooLarge, BodyTooSlow, Busy where there was no room for it in time, and InvalidInput
        where the caller broke off or sent what is no HTTP.
        """
        if self.exchange.body is None:
            self.exchange.body = await self._receive()
        return self.exchange.body

    async def _receive(self) -> bytes:
        if (header_of(self.scope, b"content-encoding") or "").strip().lower() not in ("identity", ""):
            raise BodyEncoded
        try:
            async with asyncio.timeout(self.config.body_s_max):
                return b"".join(await self._chunks())
        except TimeoutError:
            raise BodyTooSlow from None

    async def _chunks(self) -> list[bytes]:
        """The body as it comes in; room is taken for a large one before it is read.

        Where nobody has announced how large it is, it is taken for the largest as soon as it is no longer small.
        """
        largest = self.route_handler.resolve_request_max_body_size() or 0
        announced = int(header_of(self.scope, b"content-length") or 0)
        if announced > largest:
            raise BodyTooLarge
        if announced > SMALL_BYTES:
            await self._enter(announced)
        chunks, received, is_more = list[bytes](), 0, True
        while is_more:
            message = await self.receive()
            if message["type"] != "http.request":
                fault = Fault(MALFORMED, "The body ended before it was complete.")
                raise InvalidInput([fault])
            chunks.append(chunk := message.get("body", b""))
            received += len(chunk)
            if received > largest:
                raise BodyTooLarge
            if received > SMALL_BYTES and not self.exchange.body_bytes:
                await self._enter(largest)
            is_more = message.get("more_body", False)
        return chunks

    async def _enter(self, size: int) -> None:
        room: Room = self.app.state.room
        await room.enter(size)
        self.exchange.body_bytes = size

    async def json(self) -> Any:
        """The body as the `JsonBody[…]` or `JsonRows[…]` that the handler asks for."""
        annotation = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        kind: type[JsonBody[Any] | JsonRows[Any]] = get_origin(annotation)
        return kind(await self.body(), get_args(annotation)[0])

    @property
    def config(self) -> Config:
        """The service's. Not a dependency, as the framework makes a task for each where there are two."""
        return self.app.state.config

    @property
    def exchange(self) -> Exchange:
        """See `Exchange`."""
        return exchange_of(self.scope)


class JsonAnswer(Response[Any]):
    """An answer that is JSON already, and is sent as it stands."""

    def __init__(self, body: bytes) -> None:
        self.content = body

    def to_asgi_response(self, *_: Any, status_code: int | None = None, **__: Any) -> ASGIApp:  # pyright: ignore
        """Called by the framework, whose own would encode, look up and copy before it comes to the same."""
        return partial(send_json, self.content, status_code or 200)


async def send_json(body: bytes, status: int, _: Scope, __: Receive, send: Send) -> None:
    """A whole answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def exchange_of(scope: Any) -> Exchange:
    """The exchange that the outermost layer put into the scope."""
    return scope["cockade.exchange"]


def request_id_of(exchange: Exchange, in_body: str | int | None, faults: body.Faults) -> str:
    """The request id that counts: the body's, else the header's, else a generated one; notes one that cannot be.

    From here on it is the exchange's, and so the one that is echoed and logged.
    """
    if in_body is not None:
        chosen, reference = str(in_body), "requestId"
    else:
        chosen, reference = exchange.request_id, "X-CAP-REQUEST-ID"
    if check_request_id(chosen, reference, faults):
        exchange.request_id = chosen
    return chosen


def check_request_id(chosen: str, reference: str, faults: body.Faults) -> bool:
    """Whether it can be a request id; noted where it cannot."""
    can_be = can_be_request_id(chosen)
    if not can_be:
        faults.note(reference, f"A request id has 1 to {REQUEST_ID_CHARS_MAX} characters, none of them NUL.")
    return can_be


def can_be_request_id(text: str) -> bool:
    """Whether this can be a request id."""
    return 1 <= len(text) <= REQUEST_ID_CHARS_MAX and "\0" not in text


class ExchangeLayer:
    """Pure ASGI around the whole app."""

    def __init__(self, app: ASGIApp, clock: Clock, database: Database, room: Room) -> None:
        self._app = app
        self._clock = clock
        self._database = database
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its exchange, echo the request id, log the end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%2f" in scope["raw_path"].lower():
            # An encoded slash is part of a segment, not between two: what is behind it names no other path.
            scope["path"] = scope["raw_path"].decode("latin-1")
        path = scope["path"]
        scope["path"] = full(path)
        trace_id = trace_id_of(header_of(scope, TRACE_HEADER))
        exchange = Exchange(header_of(scope, REQUEST_ID_HEADER), self._clock(), scope, trace_id)
        exchange.headers = headers_of(scope)
        logs.follow(exchange)
        scope["cockade.exchange"] = exchange  # type: ignore[typeddict-unknown-key]
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                echo = quote(exchange.request_id, safe=PRINTABLE).encode()
                message["headers"] = [*message["headers"], *exchange.headers, (REQUEST_ID_HEADER, echo)]
            await send(message)

        try:
            with self._database.one_call():
                await self._app(scope, receive, send_with_id)
        finally:
            self._room.leave(exchange.body_bytes)
            # The scope and the exchange know each other: left alone, the body would stay for some time.
            exchange.body = None
            took_s = time.perf_counter() - started
            metrics.count_request(exchange.operation, status, took_s, exchange.codes)
            write = log.debug if exchange.operation in QUIET and status == 200 else log.info
            write(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                ms=round(took_s * 1000, 1),
                username=exchange.caller.username if exchange.caller else None,
                codes=exchange.codes,
                cause=exchange.cause,
            )


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id of a W3C `traceparent` header, or None where it is none: then it is as if none had been sent.

    A version that we do not know may say more behind what the first one says.
    """
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    return None if set(found["trace"]) == {"0"} or set(found["parent"]) == {"0"} else found["trace"]


def header_of(scope: Scope, wanted: bytes) -> str | None:
    """The first header of this name, in lower case; None where there is none, or an empty one."""
    for name, value in scope["headers"]:
        if name == wanted:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = value.decode("latin-1")
            # One character more than may be is as bad as a hundred thousand, and is echoed and logged more cheaply.
            return text[: REQUEST_ID_CHARS_MAX + 1] or None
    return None
