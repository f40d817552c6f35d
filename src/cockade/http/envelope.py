"""The envelope of responses, and its errors, warnings and pagination."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cockade import times
from cockade.errors import ExceededLimit, FieldError

T = TypeVar("T")


class LimitDetails(Struct, frozen=True, rename="camel"):
    """The limit that was reached."""

    limit: Annotated[int, Meta(description="Maximum number.")]
    used: Annotated[int, Meta(description="Number that counts towards the limit now.")]
    available_from: Annotated[
        float | None, Meta(description="Earliest event date that the limit would allow; null: never again.")
    ]
    available_from_iso: str | None = msgspec.field(name="availableFromISO")


class ErrorDetail(Struct, frozen=True):
    """An error or a warning."""

    code: Annotated[int, Meta(description="Error code.", examples=[809])]
    message: Annotated[str, Meta(description="Message in English.")]
    reference: Annotated[str | None, Meta(description="Path of the field.", examples=["customerIds[3]"])] = (
        None
    )
    details: Annotated[
        LimitDetails | UnsetType, Meta(description="For 817 and 818: the limit that was reached.")
    ] = UNSET


DRY_RUN = ErrorDetail(200, "Dry run: this is what would happen now. Nothing was changed.", "dryRun")
"""The warning in the response of a dry run."""


class Envelope(Struct, Generic[T], frozen=True):
    """A successful response: data, no errors, and possibly warnings."""

    data: T
    errors: Annotated[list[ErrorDetail], Meta(description="Always empty on success.")] = []
    warnings: Annotated[list[ErrorDetail], Meta(description="Warnings.")] = []


class ErrorEnvelope(Struct, frozen=True):
    """A failed response: no data, one or more errors."""

    data: None
    errors: list[ErrorDetail]
    warnings: None = None


class Pagination(Struct, frozen=True, rename="camel"):
    """The position of a page."""

    page: Annotated[int, Meta(description="Page number, from 0.")]
    size: Annotated[int, Meta(description="Rows per page.")]
    total: Annotated[int, Meta(description="Total number of rows.")]
    total_pages: int


def paginate(page: int, size: int, total: int) -> Pagination:
    """Return the pagination of a page."""
    return Pagination(page, size, total, -(-total // size))


def time_fields(name: str, instant: datetime) -> dict[str, Any]:
    """Return an instant as response fields: epoch seconds and the ISO twin."""
    return {name: times.epoch(instant), f"{name}_iso": times.iso(instant)}


def details(field_errors: list[FieldError]) -> list[ErrorDetail]:
    """Return errors of the domain in the envelope's format."""
    return [
        ErrorDetail(
            field_error.code, field_error.message, field_error.reference, limit_details(field_error.exceeded)
        )
        for field_error in field_errors
    ]


def limit_details(exceeded: ExceededLimit | None) -> LimitDetails | UnsetType:
    """Return the limit of an error 817 or 818; other errors have none."""
    if exceeded is None:
        return UNSET
    at = exceeded.available_from
    return LimitDetails(exceeded.limit, exceeded.used, at and times.epoch(at), at and times.iso(at))


def error_envelope(field_errors: list[FieldError]) -> ErrorEnvelope:
    """Return the envelope of a failure."""
    return ErrorEnvelope(None, details(field_errors))
