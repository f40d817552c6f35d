"""Request and response schemas that several resources share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.http.envelope import json_name
from cockade.ids import CUSTOMER_ID_MAX
from cockade.request.model import OwnerType

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL's text cannot hold a NUL character."""

Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_NUL)]
Time = float | str
"""See `cockade.times`."""
CustomerNumber = (
    Annotated[int, Meta(ge=1, le=CUSTOMER_ID_MAX)]
    | Annotated[str, Meta(pattern=r"^[0-9]{1,19}(?!\n)$", max_length=19)]
)


class TriggeredBy(Struct, frozen=True, rename=json_name):
    """The module on whose behalf a badge is issued."""

    owner_type: Annotated[OwnerType, Meta(description="The module that issues.", examples=["Loyalty"])]
    reference_id: Annotated[
        str,
        Meta(
            description="The reference id of the owner's claim.",
            examples=["123457"],
            min_length=1,
            pattern=NO_NUL,
        ),
    ]


class RecordResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """Common fields: org, id, who created it and who changed it last."""

    id: Annotated[str, Meta(description="24 hex digits.")]
    org_id: int
    created_on: float
    created_on_iso: str
    created_by: str
    last_updated_on: float
    last_updated_on_iso: str
    last_updated_by: str
