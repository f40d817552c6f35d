"""Undoing requests on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.http.body import Faults
from cockade.http.requests import check_request_id


class RevokeRequestBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which request to undo."""

    request_id: Annotated[
        str | int, Meta(description="The id that the request was sent with, or got.", examples=["1234"])
    ]


class RevokeRequestAnswer(Struct, frozen=True, rename="camel"):
    """What became of all that the request gave."""

    request_id: str
    revoked: Annotated[
        int, Meta(description="So many earned badges, or enrolments, were revoked by this call.")
    ]
    already_revoked: Annotated[int, Meta(description="So many had been revoked before.")]


EXAMPLE = {"requestId": "1234"}
EXAMPLE_ANSWER = RevokeRequestAnswer("1234", revoked=9_998, already_revoked=2)


def to_request_id(body: RevokeRequestBody, faults: Faults) -> str:
    """The request id that the body names; it is not that of the call itself."""
    request_id = "" if body.request_id is None else str(body.request_id)  # pyright: ignore[reportUnnecessaryComparison]
    if request_id:
        check_request_id(request_id, "requestId", faults)
    else:
        faults.note("requestId", "requestId is mandatory.")
    return request_id
