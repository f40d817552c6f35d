"""Parameters that several resources share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar.openapi.spec import Example
from litestar.params import PathParameter, QueryParameter

from cockade import errors, ids, times
from cockade.errors import BadgeNotFound, FieldError, InvalidInput
from cockade.http.request import ApiRequest
from cockade.ids import BadgeId

DRY_RUN = "dryRun"
SIZE_MAX = 1000
PAGE_MAX = 1_000_000_000

PathId = Annotated[
    str,
    PathParameter(
        description="Badge id, 24 hex digits.",
        examples=[Example(summary="A badge", value="653de334b3cda7078c7c68eb")],
    ),
]
Page = Annotated[
    int,
    QueryParameter(
        ge=0,
        le=PAGE_MAX,
        description="Page number, from 0.",
        examples=[Example(summary="The first page", value=0)],
    ),
]
Size = Annotated[
    int,
    QueryParameter(
        ge=1, le=SIZE_MAX, description="Entries per page.", examples=[Example(summary="A hundred", value=100)]
    ),
]


def read_badge_id(text: str) -> BadgeId:
    """Parse the badge id of a path or body. Raises BadgeNotFound if it is invalid."""
    badge_id = ids.badge_id(text)
    if badge_id is None:
        raise BadgeNotFound
    return badge_id


def read_time(name: str, text: str | None) -> datetime | None:
    """Parse the time of a query parameter. Raises InvalidInput if it is invalid."""
    try:
        return None if text is None else times.read_instant(text)
    except ValueError as error:
        raise InvalidInput([FieldError(errors.MALFORMED, str(error), name)]) from None


DryRunParameter = Annotated[
    bool,
    QueryParameter(
        name=DRY_RUN,
        description="Return what would happen now. Nothing is changed, and the request id is not used.",
    ),
]


def is_dry_run(request: ApiRequest) -> bool:
    """Whether this is a dry run of an operation that has a DryRunParameter."""
    sent: list[str] = request.query_params.getall(DRY_RUN, [])
    if not sent or "dry_run" not in request.route_handler.parsed_fn_signature.parameters:
        return False
    try:
        return msgspec.convert(sent[-1], bool, strict=False)
    except msgspec.ValidationError:
        return False  # the framework rejects it
