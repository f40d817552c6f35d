"""The feed of events and webhooks: the handlers. Their wire structs are in `cockade.http.events`."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from cockade import errors
from cockade.api.event.schemas import EXAMPLE_PAGE, LATEST, EventPage, event_page, read_cursor
from cockade.event.model import START
from cockade.event.service import EventService
from cockade.http.envelope import Envelope
from cockade.http.errors import error_responses, example
from cockade.http.request import ApiRequest

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="So many events at most.")]


@get(
    "/events",
    operation_id="listEvents",
    summary="What happened, in order",
    description="The feed of the org's events: who earned, was enrolled, or had what taken back, whose badge has ended, and which requests were "
    "carried out. Keep the `next` of an answer and send it as `after` the next time: nothing is skipped, and nothing told "
    "twice. `latest` in its place answers the end of the feed.",
    tags=["Events"],
    responses=error_responses(errors.InvalidInput)
    | {200: example("A badge was earned", Envelope[EventPage], EXAMPLE_PAGE)},
)
async def list_events(
    request: ApiRequest,
    events: NamedDependency[EventService],
    after: Annotated[
        str | None,
        QueryParameter(description="The `next` of the answer before; from the beginning when absent."),
    ] = None,
    limit: Limit = 100,
) -> Envelope[EventPage]:
    """A stretch of the feed."""
    org_id = request.user.org_id
    place = START if after is None else None if after == LATEST else read_cursor(after)
    page = await events.read(org_id, place or await events.find_end(org_id), limit)
    return Envelope(event_page(page))
