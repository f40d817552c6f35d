"""Requests that import earned badges, and their responses."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response
from msgspec import Meta, Struct

from cockade import ids, times
from cockade.api.earning.schemas import Customer, one_customer
from cockade.api.schemas import Time
from cockade.earning.model import ImportRow
from cockade.http.decoding import FieldErrors, mandatory_time
from cockade.http.envelope import Envelope, ErrorEnvelope, error_envelope, json_name
from cockade.http.response import JsonResponse
from cockade.request.model import ImportOutcome


class ImportBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """A badge that a customer earned elsewhere."""

    badge_meta_id: Annotated[str, Meta(description="The badge's id.", min_length=1)]
    customer_id: Annotated[Customer, Meta(description="The customer id. A numeric string is accepted.")]
    earn_event_date: Annotated[
        Time | None, Meta(description="The date of the earn event. Mandatory, here or in its ISO twin.")
    ] = None
    earn_event_date_iso: Time | None = None
    earn_expires_on: Annotated[
        Time | None, Meta(description="The end of the validity. Mandatory, here or in its ISO twin.")
    ] = None
    earn_expires_on_iso: Time | None = None


class ImportResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """An imported row."""

    badge_meta_id: str
    customer_id: int
    earned_badge_id: str
    expires_on: float
    expires_on_iso: str
    issued_id: None = None
    request_id: Annotated[
        str, Meta(description="The request id and the number of the row, from 1: `batch_1`.")
    ]


EXAMPLE = [
    {
        "badgeMetaId": "653de334b3cda7078c7c68eb",
        "customerId": 62090013,
        "earnEventDate": "2023-11-03T21:51:00.192Z",
        "earnExpiresOn": "2024-11-03T21:51:00.192Z",
    }
]
EXAMPLE_RESPONSE = ImportResponse(
    badge_meta_id="653de334b3cda7078c7c68eb",
    customer_id=62090013,
    earned_badge_id="661681a535bc684e9e72553a",
    expires_on=1730670660.192,
    expires_on_iso="2024-11-03T21:51:00Z",
    request_id="history-7_1",
)


def to_row(body: ImportBody, field_errors: FieldErrors) -> ImportRow:
    """Return the row to import for the body."""
    customers = one_customer(body.customer_id, field_errors)
    return ImportRow(
        badge_id=ids.badge_id(body.badge_meta_id or ""),
        customer=customers[0] if customers else ids.CustomerId(0),
        event_at=mandatory_time(
            "earnEventDate", body.earn_event_date, body.earn_event_date_iso, field_errors
        ),
        valid_until=mandatory_time(
            "earnExpiresOn", body.earn_expires_on, body.earn_expires_on_iso, field_errors
        ),
    )


def import_response(outcome: ImportOutcome) -> Response[list[Envelope[ImportResponse] | ErrorEnvelope]]:
    """Return an envelope per row, encoded once."""
    earned_ids = ids.earned_badge_ids(outcome.request_key, len(outcome.customer_ids))
    envelopes: list[Envelope[ImportResponse] | ErrorEnvelope] = [
        Envelope(
            ImportResponse(
                badge_meta_id=badge_id,
                customer_id=customer,
                earned_badge_id=earned_id,
                expires_on=times.epoch(valid_until),
                expires_on_iso=times.iso(valid_until),
                request_id=f"{outcome.request_id}_{number}",
            )
        )
        for number, (badge_id, customer, valid_until, earned_id) in enumerate(
            zip(outcome.badge_ids, outcome.customer_ids, outcome.valid_untils, earned_ids, strict=True), 1
        )
    ]
    for refusal in outcome.failures:
        envelopes[refusal.line] = error_envelope(refusal.field_errors)
    return JsonResponse(msgspec.json.encode(envelopes))
