"""Idempotency keys: a request with a key is executed once, and every retry gets the same response.

This middleware wraps all operations that change something. What an operation changes and its response are one transaction
(`cockade.idempotency.service`). For operations that issue, enrol or import, only the request id is stored: for a retry the
handler runs with `ApiRequest.replayed_request_id` and builds the response from the stored outcome. The same goes for
responses with status 202, because they show progress.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIResponse, OpenAPIType, Operation, Parameter, Schema
from msgspec import Struct

from cockade.api.authentication import READING
from cockade.api.parameters import is_dry_run
from cockade.errors import (
    MALFORMED,
    CockadeError,
    FieldError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidInput,
)
from cockade.http.context import REQUEST_ID_HEADER, RequestContext, can_be_request_id, get_context, get_header
from cockade.http.envelope import json_name
from cockade.http.errors import STATUS
from cockade.http.request import REPLAYED_REQUEST_ID, ApiRequest
from cockade.http.response import send_json
from cockade.idempotency.model import KEY_CHARS_MAX, IdempotentCall, StoredResponse
from cockade.idempotency.service import IdempotencyService

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

KEY_HEADER = b"idempotency-key"
KEY_NAME = "Idempotency-Key"
REPLAYED: tuple[bytes, bytes] = (b"idempotent-replayed", b"true")
FINGERPRINTED_HEADERS = (b"x-cap-customer-identifier", b"x-cap-badges-migration")
"""Headers that change the meaning of a request."""
OPERATIONS_WITH_REQUEST_ID = {
    "earnBulk",
    "earn",
    "issueBulk",
    "importCustomerBadges",
    "importCustomerBadgesByPut",
}
"""Operations whose response can be built again from the outcome of their request id."""
WITHOUT_KEYS = "without_idempotency_keys"
"""A key of a handler's `opt`: the operation accepts no keys, because its body is streamed and cannot be hashed first."""


class _RequestIdBody(Struct, rename=json_name):
    """The part of a body that has the request id."""

    request_id: str | int | None = None


class IdempotencyMiddleware:
    """ASGI middleware between authentication and the route handlers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises InvalidInput, IdempotencyKeyInUse and IdempotencyKeyReused."""
        call = await _find_call(ApiRequest(scope, receive, send))
        if call is None:
            await self._app(scope, receive, send)
        else:
            await self._run_once(call, scope, receive, send)

    async def _run_once(self, call: IdempotentCall, scope: Scope, receive: Receive, send: Send) -> None:
        service: IdempotencyService = scope["litestar_app"].state.idempotency
        context = get_context(scope)
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        async def execute() -> StoredResponse | None:
            messages.clear()
            context.codes = context.cause = None
            # It may run several times, each time with a copy of the state.
            state = {name: copy(value) for name, value in scope["state"].items()}
            await self._app(cast("Scope", {**scope, "state": state}), receive, collect)
            return _response_to_store(context, messages)

        stored = await service.run_once(scope["user"], call, execute)
        if stored is None:
            for message in messages:
                await send(message)
        else:
            await self._replay(stored, scope, receive, send)

    async def _replay(self, stored: StoredResponse, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == stored.status:
                message["headers"] = [*message["headers"], REPLAYED]
            await send(message)

        if stored.body is not None:
            await send_json(stored.body, stored.status, scope, receive, send_marked)
            return
        assert stored.request_id is not None
        get_context(scope).request_id = stored.request_id
        await self._app(
            cast("Scope", {**scope, REPLAYED_REQUEST_ID: stored.request_id}), receive, send_marked
        )


def _response_to_store(context: RequestContext, messages: list[Message]) -> StoredResponse | None:
    """Return what to store of the response, or None for an error, which changes nothing."""
    status: int = next(each["status"] for each in messages if each["type"] == "http.response.start")
    if status >= 300:
        return None
    if context.operation in OPERATIONS_WITH_REQUEST_ID or status == 202:
        return StoredResponse(status=status, body=None, request_id=context.request_id)
    body = b"".join(each["body"] for each in messages if each["type"] == "http.response.body")
    return StoredResponse(status=status, body=body, request_id=None)


async def _find_call(request: ApiRequest) -> IdempotentCall | None:
    """Return the request with its key, or None if it has no key or needs none."""
    if request.method in READING or not accepts_keys(request.route_handler) or is_dry_run(request):
        return None
    keys = [value for name, value in request.scope["headers"] if name == KEY_HEADER]
    if keys:
        key, key_source = read_key(keys), KEY_NAME
    elif request.user.request_id_is_key and request.context.operation in OPERATIONS_WITH_REQUEST_ID:
        request_id, key_source = await _request_id(request), "requestId"
        # Keys of the header have no space, so this key is none of them.
        key = None if request_id is None else f"{key_source} {request_id}"
    else:
        return None
    if key is None:
        return None
    return IdempotentCall(key=key, key_source=key_source, fingerprint=await _fingerprint(request))


def read_key(values: list[bytes]) -> str:
    """Return the key of the header: a word, or a word in quotes as in the IETF draft. Raises InvalidInput."""
    word = values[0].decode("latin-1").strip()
    if len(word) > 1 and word[0] == word[-1] == '"':
        word = word[1:-1]
    if len(values) > 1 or not 1 <= len(word) <= KEY_CHARS_MAX or not all("!" <= char <= "~" for char in word):
        message = f"The idempotency key must be one value of 1 to {KEY_CHARS_MAX} visible ASCII characters."
        raise InvalidInput([FieldError(MALFORMED, message, KEY_NAME)])
    return word


async def _request_id(request: ApiRequest) -> str | None:
    """Return the request id that the caller sent, if it is valid."""
    try:
        in_body = msgspec.json.decode(await request.body(), type=_RequestIdBody).request_id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        in_body = None
    sent = get_header(request.scope, REQUEST_ID_HEADER) if in_body is None else str(in_body)
    return sent if sent is not None and can_be_request_id(sent) else None


async def _fingerprint(request: ApiRequest) -> bytes:
    """Return a hash of the operation, its path and query, and its body byte by byte."""
    path: Mapping[str, object] = request.scope["path_params"]
    head = msgspec.json.encode(
        [
            request.context.operation,
            sorted((name, str(value)) for name, value in path.items()),
            request.scope["query_string"],
            [value for name, value in request.scope["headers"] if name in FINGERPRINTED_HEADERS],
        ]
    )
    digest = hashlib.sha256(head + b"\n")
    digest.update(await request.body())
    return digest.digest()


def accepts_keys(handler: HTTPRouteHandler) -> bool:
    """Whether requests of this operation may have an idempotency key."""
    return not handler.http_methods <= READING and not handler.opt.get(WITHOUT_KEYS)


@dataclass
class IdempotentOperation(Operation):
    """The OpenAPI description of an operation that accepts idempotency keys."""

    def __post_init__(self) -> None:
        """Add the header and the errors that come with it."""
        self.parameters = [*(self.parameters or []), _key_parameter()]
        if not self.responses or "401" not in self.responses:
            return
        envelope: Any = self.responses["401"]
        for kind in (InvalidInput, IdempotencyKeyInUse, IdempotencyKeyReused):
            status, description = str(STATUS[kind]), _describe(kind)
            response: Any = self.responses.setdefault(
                status, OpenAPIResponse(description="", content=_without_examples(envelope.content))
            )
            if description not in response.description:
                response.description = "; ".join(filter(None, (response.description, description)))


def _describe(kind: type[CockadeError]) -> str:
    return "400: Idempotency-Key." if kind is InvalidInput else f"{kind.code}: {kind.message}"


def _without_examples(content: Any) -> Any:
    return {kind: type(media)(schema=media.schema) for kind, media in content.items()}


def _key_parameter() -> Parameter:
    return Parameter(
        name=KEY_NAME,
        param_in="header",
        required=False,
        description="A unique value per request. Retries with the same key return the first response, with the header "
        "`Idempotent-Replayed: true`, and change nothing.",
        schema=Schema(
            type=OpenAPIType.STRING, min_length=1, max_length=KEY_CHARS_MAX, pattern="^[0-9A-Za-z._:-]+$"
        ),
    )
