"""Requests to undo a request, and their responses."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.http.context import check_request_id
from cockade.http.decoding import FieldErrors
from cockade.http.envelope import json_name
from cockade.undo import rules
from cockade.undo.model import UndoState, UndoTask


class RevokeRequestBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The request to undo."""

    request_id: Annotated[
        str | int,
        Meta(
            description="The id that the request was sent with, or that was generated for it.",
            examples=["1234"],
        ),
    ]


class RevokeRequestResponse(Struct, frozen=True, rename=json_name):
    """The result of an undo."""

    request_id: str
    revoked: Annotated[
        int,
        Meta(description="Earned badges or enrolments that this undo revoked."),
    ]
    already_revoked: Annotated[int, Meta(description="Those that had been revoked before.")]


class UndoingResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The progress of an undo in the background. It runs in batches."""

    request_id: str
    state: UndoState
    failure: Annotated[str | None, Meta(description="Why the last run failed. This request resumes it.")]
    total_count: Annotated[int, Meta(description="Number of batches.")]
    done_count: Annotated[int, Meta(description="Batches that are revoked.")]
    percentage: Annotated[float, Meta(description="Share of batches that are revoked; 100 is all.")]
    revoked: Annotated[int, Meta(description="Earned badges revoked so far.")]
    already_revoked: Annotated[
        int, Meta(description="Those among the processed ones that had been revoked before.")
    ]


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
    """Return the progress of an undo."""
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
    """Return the request id in the body, which is not the id of this request itself."""
    request_id = "" if body.request_id is None else str(body.request_id)  # pyright: ignore[reportUnnecessaryComparison]
    if request_id:
        check_request_id(request_id, "requestId", field_errors)
    else:
        field_errors.add("requestId", "requestId is mandatory.")
    return request_id
