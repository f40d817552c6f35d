"""Route handler of the feed of events."""

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

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="Maximum number of events.")]


@get(
    "/events",
    operation_id="listEvents",
    summary="Read the feed of events",
    description="All events of the org in order: badges earned, enrolments, revocations, expiries, and completed requests. Store the `next` of a response and send it as `after` next time: no event is skipped or repeated. `latest` instead of a cursor returns the end of the feed.",
    tags=["Events"],
    responses=error_responses(errors.InvalidInput)
    | {200: example("A badge was earned", Envelope[EventPage], EXAMPLE_PAGE)},
)
async def list_events(
    request: ApiRequest,
    events: NamedDependency[EventService],
    after: Annotated[
        str | None,
        QueryParameter(description="The `next` of the previous response. Default: the beginning."),
    ] = None,
    limit: Limit = 100,
) -> Envelope[EventPage]:
    """Return a page of the feed."""
    org_id = request.user.org_id
    place = START if after is None else None if after == LATEST else read_cursor(after)
    page = await events.read(org_id, place or await events.find_end(org_id), limit)
    return Envelope(event_page(page))
