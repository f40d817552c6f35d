"""Calls that may be sent again: with an idempotency key they are carried out once, and answered alike each time.

One mechanism in front of all operations that change something. What an operation does and its answer become one
transaction (`cockade.replay.service`). A call that issues, enrols or imports keeps no answer but its request id: its
handler makes the same answer of the stored outcome again. So does one that is answered 202: what it has begun moves on.
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
from cockade.auth.model import Caller
from cockade.errors import (
    MALFORMED,
    CockadeError,
    FieldError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidInput,
)
from cockade.http.context import REQUEST_ID_HEADER, RequestContext, can_be_request_id, get_context, get_header
from cockade.http.errors import STATUS
from cockade.http.request import ApiRequest
from cockade.http.response import send_json
from cockade.idempotency.model import KEY_CHARS_MAX, IdempotentCall, Replay, StoredResponse
from cockade.idempotency.service import IdempotencyService

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

KEY_HEADER = b"idempotency-key"
KEY_NAME = "Idempotency-Key"
REPLAYED: tuple[bytes, bytes] = (b"idempotent-replayed", b"true")
ASKING_HEADERS = (b"x-cap-customer-identifier", b"x-cap-badges-migration")
"""What a call asks for depends on these, too."""
OPERATIONS_WITH_REQUEST_ID = {
    "earnBulk",
    "earn",
    "issueBulk",
    "importCustomerBadges",
    "importCustomerBadgesByPut",
}
"""The operations that take a request id, and so have an outcome that their answer is made of."""
WITHOUT_KEYS = "without_idempotency_keys"
"""Operations whose handler says so in its `opt` take no keys: those whose bodies are too long to be looked at first."""


class _Named(Struct, rename="camel"):
    """A body, as far as it says its request id."""

    request_id: str | int | None = None


class IdempotencyMiddleware:
    """ASGI before the handlers, behind authentication."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Without a key the call goes on as it is. Raises InvalidInput, KeyInUse, KeyReused."""
        call = None
        if scope.get("method") not in READING:
            keys = [value for name, value in scope["headers"] if name == KEY_HEADER]
            caller: Caller = scope["user"]
            if keys or caller.request_id_is_key:
                call = await _call_of(keys, caller, ApiRequest(scope, receive, send))
        if call is None:
            await self._app(scope, receive, send)
        else:
            await self._once(call, scope, receive, send)

    async def _once(self, call: IdempotentCall, scope: Scope, receive: Receive, send: Send) -> None:
        service: IdempotencyService = scope["litestar_app"].state.idempotency
        context = get_context(scope)
        messages: list[Message] = []

        async def hold_back(message: Message) -> None:
            messages.append(message)

        async def carry_out() -> StoredResponse | None:
            messages.clear()
            context.codes = context.cause = None
            # It may take several runs: each with a state of its own, so that none finds what another began.
            state = {name: copy(value) for name, value in scope["state"].items()}
            await self._app(cast("Scope", {**scope, "state": state}), receive, hold_back)
            return None if context.is_dry_run else _response(context, messages)

        replay = await service.run_once(scope["user"], call, carry_out)
        if replay is None:
            for message in messages:
                await send(message)
        else:
            await self._replay(replay, scope, receive, send)

    async def _replay(self, replay: Replay, scope: Scope, receive: Receive, send: Send) -> None:
        context, answer = get_context(scope), replay.answer

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == answer.status:
                message["headers"] = [*message["headers"], REPLAYED]
            await send(message)

        if answer.body is not None:
            await send_json(answer.body, answer.status, scope, receive, send_marked)
            return
        assert answer.request_id is not None
        context.request_id, context.is_replay = answer.request_id, True
        await self._app(scope, receive, send_marked)


def _response(context: RequestContext, messages: list[Message]) -> StoredResponse | None:
    """What is to be kept of the answer; None where it is a failure, which changes nothing."""
    status: int = next(each["status"] for each in messages if each["type"] == "http.response.start")
    if status >= 300:
        return None
    if context.operation in OPERATIONS_WITH_REQUEST_ID or status == 202:
        return StoredResponse(status=status, body=None, request_id=context.request_id)
    body = b"".join(each["body"] for each in messages if each["type"] == "http.response.body")
    return StoredResponse(status=status, body=body, request_id=None)


async def _call_of(keys: list[bytes], caller: Caller, request: ApiRequest) -> IdempotentCall | None:
    """The call by its key, or None where it has none."""
    if not accepts_keys(request.route_handler):
        return None
    if keys:
        key, named_by = read_key(keys), KEY_NAME
    elif caller.request_id_is_key and request.context.operation in OPERATIONS_WITH_REQUEST_ID:
        request_id, named_by = await _request_id(request), "requestId"
        # A key that is sent as one has no space in it.
        key = None if request_id is None else f"{named_by} {request_id}"
    else:
        key, named_by = None, ""
    if key is None:
        return None
    return IdempotentCall(key=key, key_source=named_by, fingerprint=await _fingerprint(request))


def read_key(sent: list[bytes]) -> str:
    """The idempotency key of the header's values: a word, or as the header's draft has it, a word in quotes.

    Raises InvalidInput where it cannot be one.
    """
    word = sent[0].decode("latin-1").strip()
    if len(word) > 1 and word[0] == word[-1] == '"':
        word = word[1:-1]
    if len(sent) > 1 or not 1 <= len(word) <= KEY_CHARS_MAX or not all("!" <= char <= "~" for char in word):
        message = f"An idempotency key has 1 to {KEY_CHARS_MAX} visible ASCII characters; send one of them."
        raise InvalidInput([FieldError(MALFORMED, message, KEY_NAME)])
    return word


async def _request_id(request: ApiRequest) -> str | None:
    """The request id that the caller has sent, if it can be one."""
    try:
        in_body = msgspec.json.decode(await request.body(), type=_Named).request_id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        in_body = None
    chosen = get_header(request.scope, REQUEST_ID_HEADER) if in_body is None else str(in_body)
    return chosen if chosen is not None and can_be_request_id(chosen) else None


async def _fingerprint(request: ApiRequest) -> bytes:
    """A digest of all that the call asks for: the operation, its path and query, and its body byte by byte."""
    path: Mapping[str, object] = request.scope["path_params"]
    asking = [value for name, value in request.scope["headers"] if name in ASKING_HEADERS]
    what = msgspec.json.encode(
        [
            request.context.operation,
            sorted((name, str(value)) for name, value in path.items()),
            request.scope["query_string"],
            asking,
        ]
    )
    digest = hashlib.sha256(what + b"\n")
    digest.update(await request.body())
    return digest.digest()


def accepts_keys(handler: HTTPRouteHandler) -> bool:
    """Whether calls of this operation may bring an idempotency key."""
    return not handler.http_methods <= READING and not handler.opt.get(WITHOUT_KEYS)


@dataclass
class IdempotentOperation(Operation):
    """An operation as OpenAPI describes it, with what its idempotency key adds."""

    def __post_init__(self) -> None:
        """Add the header, and the failures that come with it."""
        self.parameters = [*(self.parameters or []), _key_parameter()]
        if not self.responses or "401" not in self.responses:
            return
        alike: Any = self.responses["401"]  # the envelope of a failure
        for kind in (InvalidInput, IdempotencyKeyInUse, IdempotencyKeyReused):
            status, word = str(STATUS[kind]), _in_words(kind)
            described: Any = self.responses.setdefault(
                status, OpenAPIResponse(description="", content=_without_examples(alike.content))
            )
            if word not in described.description:
                described.description = "; ".join(filter(None, (described.description, word)))


def _in_words(kind: type[CockadeError]) -> str:
    return "400: Idempotency-Key." if kind is InvalidInput else f"{kind.code}: {kind.message}"


def _without_examples(content: Any) -> Any:
    return {kind: type(media)(schema=media.schema) for kind, media in content.items()}


def _key_parameter() -> Parameter:
    return Parameter(
        name=KEY_NAME,
        param_in="header",
        required=False,
        description="A key of your own, new for each call: the same call with the same key is carried out once and "
        "answered alike each time, marked with `Idempotent-Replayed: true`.",
        schema=Schema(
            type=OpenAPIType.STRING, min_length=1, max_length=KEY_CHARS_MAX, pattern="^[0-9A-Za-z._:-]+$"
        ),
    )
