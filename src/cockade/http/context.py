"""The request as handlers see it, and the outermost layer around the app: request ids, headers and the log.

Every answer carries `X-CAP-REQUEST-ID`: the request id that was used. One line is logged per request.
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


def get_context(scope: Any) -> RequestContext:
    """The exchange that the outermost layer put into the scope."""
    return scope["cockade.context"]


def request_id_of(
    context: RequestContext, in_body: str | int | None, field_errors: decoding.FieldErrors
) -> str:
    """The request id that counts: the body's, else the header's, else a generated one; notes one that cannot be.

    From here on it is the exchange's, and so the one that is echoed and logged.
    """
    if in_body is not None:
        chosen, reference = str(in_body), "requestId"
    else:
        chosen, reference = context.request_id, "X-CAP-REQUEST-ID"
    if check_request_id(chosen, reference, field_errors):
        context.request_id = chosen
    return chosen


def check_request_id(chosen: str, reference: str, field_errors: decoding.FieldErrors) -> bool:
    """Whether it can be a request id; noted where it cannot."""
    can_be = can_be_request_id(chosen)
    if not can_be:
        field_errors.add(
            reference, f"A request id has 1 to {REQUEST_ID_CHARS_MAX} characters, none of them NUL."
        )
    return can_be


def can_be_request_id(text: str) -> bool:
    """Whether this can be a request id."""
    return 1 <= len(text) <= REQUEST_ID_CHARS_MAX and "\0" not in text


def get_header(scope: Scope, wanted: bytes) -> str | None:
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
