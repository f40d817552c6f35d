"""Undoing requests on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.http.context import check_request_id
from cockade.http.decoding import FieldErrors
from cockade.undo import rules
from cockade.undo.model import UndoState, UndoTask


class RevokeRequestBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which request to undo."""

    request_id: Annotated[
        str | int, Meta(description="The id that the request was sent with, or got.", examples=["1234"])
    ]


class RevokeRequestResponse(Struct, frozen=True, rename="camel"):
    """What became of all that the request gave."""

    request_id: str
    revoked: Annotated[
        int,
        Meta(description="So many earned badges, or enrolments, this call revoked, or its undoing did."),
    ]
    already_revoked: Annotated[int, Meta(description="So many had been revoked before.")]


class UndoingResponse(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far the undoing of a large request is. Lots are parts of it, each taken back at once."""

    request_id: str
    state: UndoState
    failure: Annotated[str | None, Meta(description="Why it had failed; it goes on with this call.")]
    total_count: Annotated[int, Meta(description="So many lots there are.")]
    done_count: Annotated[int, Meta(description="So many of them are taken back.")]
    percentage: Annotated[float, Meta(description="Of the lots; 100 is all.")]
    revoked: Annotated[int, Meta(description="So many earned badges are revoked by now.")]
    already_revoked: Annotated[int, Meta(description="Of what it came to so far, had been revoked before.")]


EXAMPLE = {"requestId": "1234"}
EXAMPLE_RESPONSE = RevokeRequestResponse("1234", revoked=9_998, already_revoked=2)
EXAMPLE_PROGRESS = UndoingResponse(
    request_id="1234",
    state=UndoState.RUNNING,
    failure=None,
    total_count=500,
    done_count=125,
    percentage=25.0,
    revoked=1_249_988,
    already_revoked=2,
)


def undoing_response(task: UndoTask) -> UndoingResponse:
    """The undoing as of now."""
    return UndoingResponse(
        request_id=task.request_id,
        state=task.state,
        failure=task.error,
        total_count=task.batches,
        done_count=task.next_batch,
        percentage=rules.percentage(task),
        revoked=task.revoked,
        already_revoked=task.already_revoked,
    )


def to_request_id(body: RevokeRequestBody, field_errors: FieldErrors) -> str:
    """The request id that the body names; it is not that of the call itself."""
    request_id = "" if body.request_id is None else str(body.request_id)  # pyright: ignore[reportUnnecessaryComparison]
    if request_id:
        check_request_id(request_id, "requestId", field_errors)
    else:
        field_errors.add("requestId", "requestId is mandatory.")
    return request_id
