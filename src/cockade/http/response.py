"""The request as handlers see it, and the outermost layer around the app: request ids, headers and the log.

Every answer carries `X-CAP-REQUEST-ID`: the request id that was used. One line is logged per request.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from litestar import Response

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send


class JsonResponse(Response[Any]):
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
