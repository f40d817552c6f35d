"""The context of one request: request id, caller, and what is logged at its end.

Every response returns the request id in the header `X-CAP-REQUEST-ID`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from cockade.auth.model import Caller
from cockade.http import decoding
from cockade.http.security_headers import Headers
from cockade.ids import REQUEST_ID_CHARS_MAX

if TYPE_CHECKING:
    from litestar.types import Scope

REQUEST_ID_HEADER = b"x-cap-request-id"


class RequestContext:
    """Data about one request besides its HTTP message. Filled while it is processed and logged at its end."""

    def __init__(
        self,
        header: str | None,
        arrived_at: datetime,
        scope: Mapping[str, object] | None = None,
        trace_id: str | None = None,
    ) -> None:
        self._scope = scope or {}
        self.headers: Headers = ()
        """Response headers besides those of the handler."""
        self.arrived_at = arrived_at
        """Arrival time. Read operations use it as the current time."""
        self.trace_id = trace_id
        """The trace id of the caller, if it sent one."""
        self.request_id = header or token_hex(16)
        """The request id, as returned and logged."""
        self.caller: Caller | None = None
        self.codes: list[int] | None = None
        """Error codes of the response."""
        self.cause: str | None = None
        """Why the database was unavailable."""
        self.body: bytes | None = None
        """The whole body, after it was received."""
        self.body_bytes = 0
        """Bytes acquired from the BodyMemoryLimiter, released after the response."""

    @property
    def operation(self) -> str | None:
        """The operation id, once the route is known."""
        return getattr(self._scope.get("route_handler"), "operation_id", None)

    def log_fields(self) -> dict[str, object]:
        """Implements `cockade.logs.LogContext`."""
        fields: dict[str, object] = {"action": self.operation, "request_id": self.request_id}
        fields["org"] = self.caller.org_id if self.caller else None
        if self.trace_id is not None:
            fields["trace_id"] = self.trace_id
        return fields


def get_context(scope: Any) -> RequestContext:
    """Return the context that the outermost middleware put into the ASGI scope."""
    return scope["cockade.context"]


def request_id_of(
    context: RequestContext, in_body: str | int | None, field_errors: decoding.FieldErrors
) -> str:
    """Return the request id: from the body, else from the header, else generated. Adds an error if it is
    invalid.

    It becomes the id of the context, so that it is returned and logged.
    """
    if in_body is not None:
        chosen, reference = str(in_body), "requestId"
    else:
        chosen, reference = context.request_id, "X-CAP-REQUEST-ID"
    if check_request_id(chosen, reference, field_errors):
        context.request_id = chosen
    return chosen


def check_request_id(chosen: str, reference: str, field_errors: decoding.FieldErrors) -> bool:
    """Whether this is a valid request id. Adds an error if not."""
    can_be = can_be_request_id(chosen)
    if not can_be:
        field_errors.add(
            reference, f"A request id must have 1 to {REQUEST_ID_CHARS_MAX} characters and no NUL."
        )
    return can_be


def can_be_request_id(text: str) -> bool:
    """Whether this can be a request id."""
    return 1 <= len(text) <= REQUEST_ID_CHARS_MAX and "\0" not in text


def get_header(scope: Scope, wanted: bytes) -> str | None:
    """Return the first header with this lower-case name, or None if it is missing or empty."""
    for name, value in scope["headers"]:
        if name == wanted:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = value.decode("latin-1")
            # One character above the maximum is enough to reject it, and cheap to return and log.
            return text[: REQUEST_ID_CHARS_MAX + 1] or None
    return None
