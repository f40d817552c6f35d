"""Responses that are already encoded as JSON."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from litestar import Response

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send


class JsonResponse(Response[Any]):
    """A response whose body is JSON already, sent unchanged."""

    def __init__(self, body: bytes) -> None:
        self.content = body

    def to_asgi_response(self, *_: Any, status_code: int | None = None, **__: Any) -> ASGIApp:  # pyright: ignore
        """Called by the framework. Replaces its own method, which would encode and copy the body."""
        return partial(send_json, self.content, status_code or 200)


async def send_json(body: bytes, status: int, _: Scope, __: Receive, send: Send) -> None:
    """Send a complete JSON response."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
