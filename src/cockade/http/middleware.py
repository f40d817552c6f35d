"""Outermost ASGI middleware: request id, security headers, time budget, log and metrics.

Every response returns the request id in the header `X-CAP-REQUEST-ID`. One line is logged per request.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog

from cockade import logs, metrics
from cockade.clock import Clock
from cockade.http.body_limiter import BodyMemoryLimiter
from cockade.http.context import REQUEST_ID_HEADER, RequestContext, get_header
from cockade.http.security_headers import response_headers
from cockade.http.urls import full_path
from cockade.storage.database import Database

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

TRACE_HEADER = b"traceparent"
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)
QUIET = {"healthz", "readyz", "metrics"}
"""Operations that load balancers and monitors call every few seconds. Logged only if they fail."""
PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
log = structlog.get_logger()


class RequestContextMiddleware:
    """ASGI middleware around the whole app."""

    def __init__(
        self, app: ASGIApp, clock: Clock, database: Database, body_limiter: BodyMemoryLimiter
    ) -> None:
        self._app = app
        self._clock = clock
        self._database = database
        self._body_limiter = body_limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Create the request context, return the request id, and log the request when it ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%2f" in scope["raw_path"].lower():
            # An encoded slash is part of a path segment and not a separator.
            scope["path"] = scope["raw_path"].decode("latin-1")
        path = scope["path"]
        scope["path"] = full_path(path)
        trace_id = trace_id_of(get_header(scope, TRACE_HEADER))
        context = RequestContext(get_header(scope, REQUEST_ID_HEADER), self._clock(), scope, trace_id)
        context.headers = response_headers(scope)
        logs.follow(context)
        scope["cockade.context"] = context  # type: ignore[typeddict-unknown-key]
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                echo = quote(context.request_id, safe=PRINTABLE).encode()
                message["headers"] = [*message["headers"], *context.headers, (REQUEST_ID_HEADER, echo)]
            await send(message)

        try:
            with self._database.request_time_budget():
                await self._app(scope, receive, send_with_id)
        finally:
            self._body_limiter.release(context.body_bytes)
            # The scope and the context reference each other: without this, the body stays in memory until the
            # next garbage collection.
            context.body = None
            duration_s = time.perf_counter() - started
            metrics.count_request(context.operation, status, duration_s, context.codes)
            log_request = log.debug if context.operation in QUIET and status == 200 else log.info
            log_request(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                ms=round(duration_s * 1000, 1),
                username=context.caller.username if context.caller else None,
                codes=context.codes,
                cause=context.cause,
            )


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the trace id of a W3C `traceparent` header, or None if it is missing or invalid.

    Unknown versions may have more fields after those of version 00.
    """
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None or match["version"] == "ff" or (match["version"] == "00" and match["more"]):
        return None
    return None if set(match["trace"]) == {"0"} or set(match["parent"]) == {"0"} else match["trace"]
