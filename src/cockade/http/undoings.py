"""Undoing requests on the wire."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.http.body import Faults
from cockade.http.requests import check_request_id
from cockade.undoing import rules
from cockade.undoing.model import Undoing, UndoingState


class RevokeRequestBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which request to undo."""

    request_id: Annotated[
        str | int, Meta(description="The id that the request was sent with, or got.", examples=["1234"])
    ]


class RevokeRequestAnswer(Struct, frozen=True, rename="camel"):
    """What became of all that the request gave."""

    request_id: str
    revoked: Annotated[
        int,
        Meta(description="So many earned badges, or enrolments, this call revoked, or its undoing did."),
    ]
    already_revoked: Annotated[int, Meta(description="So many had been revoked before.")]


class UndoingAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """How far the undoing of a large request is. Lots are parts of it, each taken back at once."""

    request_id: str
    state: UndoingState
    failure: Annotated[str | None, Meta(description="Why it had failed; it goes on with this call.")]
    total_count: Annotated[int, Meta(description="So many lots there are.")]
    done_count: Annotated[int, Meta(description="So many of them are taken back.")]
    percentage: Annotated[float, Meta(description="Of the lots; 100 is all.")]
    revoked: Annotated[int, Meta(description="So many earned badges are revoked by now.")]
    already_revoked: Annotated[int, Meta(description="Of what it came to so far, had been revoked before.")]


EXAMPLE = {"requestId": "1234"}
EXAMPLE_ANSWER = RevokeRequestAnswer("1234", revoked=9_998, already_revoked=2)
EXAMPLE_PROGRESS = UndoingAnswer(
    request_id="1234",
    state=UndoingState.RUNNING,
    failure=None,
    total_count=500,
    done_count=125,
    percentage=25.0,
    revoked=1_249_988,
    already_revoked=2,
)


def undoing_answer(undoing: Undoing) -> UndoingAnswer:
    """The undoing as of now."""
    return UndoingAnswer(
        request_id=undoing.request_id,
        state=undoing.state,
        failure=undoing.failure,
        total_count=undoing.lots,
        done_count=undoing.next_lot,
        percentage=rules.percentage(undoing),
        revoked=undoing.revoked,
        already_revoked=undoing.already_revoked,
    )


def to_request_id(body: RevokeRequestBody, faults: Faults) -> str:
    """The request id that the body names; it is not that of the call itself."""
    request_id = "" if body.request_id is None else str(body.request_id)  # pyright: ignore[reportUnnecessaryComparison]
    if request_id:
        check_request_id(request_id, "requestId", faults)
    else:
        faults.note("requestId", "requestId is mandatory.")
    return request_id
