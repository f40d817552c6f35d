"""Response schemas of the feed of events."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.errors import MALFORMED, FieldError, InvalidInput
from cockade.event import rules as event_rules
from cockade.event.model import AnyEvent, BadgeEarned, Cursor, EarnedData, FeedPage
from cockade.http.envelope import json_name
from cockade.ids import BadgeId
from cockade.request.model import OwnerType

LATEST = "latest"
"""Instead of a cursor: the end of the feed."""


class EventPage(Struct, frozen=True, kw_only=True, rename=json_name):
    """A page of the feed, in order."""

    events: list[AnyEvent]
    next: Annotated[
        str,
        Meta(
            description="Send it as `after` to continue, even if there are no events.",
            examples=["000000000000002a7fffffff"],
        ),
    ]
    has_more: Annotated[bool, Meta(description="Whether there are more events now.")]


EXAMPLE_PAGE = EventPage(
    events=[
        BadgeEarned(
            id="661681a535bc684e9e72553a",
            timestamp="2026-11-25T20:15:00Z",
            data=EarnedData(
                customer_id=62090013,
                badge_meta_id=BadgeId("653de334b3cda7078c7c68eb"),
                earned_badge_id="661681a535bc684e9e72553a",
                earn_event_date=1795637700.0,
                earn_event_date_iso="2026-11-25T20:15:00Z",
                expires_on=1827173700.0,
                expires_on_iso="2027-11-25T20:15:00Z",
                owner_type=OwnerType.LOYALTY,
                reference_id="123457",
                request_id="1234",
            ),
        )
    ],
    next="000000000000002a00000000",
    has_more=True,
)


def read_cursor(after: str) -> Cursor:
    """Parse a `next` value. Raises InvalidInput if it is invalid."""
    place = event_rules.decode_cursor(after)
    if place is None:
        raise InvalidInput(
            [FieldError(MALFORMED, "Invalid cursor: send a `next` of the feed unchanged.", "after")]
        )
    return place


def event_page(page: FeedPage) -> EventPage:
    """Return a page of the feed."""
    return EventPage(
        events=[entry.event for entry in page.entries],
        next=event_rules.encode_cursor(page.end),
        has_more=page.has_more,
    )
