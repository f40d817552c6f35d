"""The envelope of responses, errors and pagination, with the names of the contract."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from cockade import times
from cockade.errors import ExceededLimit, FieldError

T = TypeVar("T")


def json_name(field: str) -> str:
    """Return the JSON name of a struct's field: camel case, with `ISO` for a last word `iso`."""
    first, *words = field.removesuffix("_iso").split("_")
    return first + "".join(map(str.capitalize, words)) + ("ISO" if field.endswith("_iso") else "")


class LimitDetails(Struct, frozen=True, rename=json_name):
    """The limit that was reached."""

    limit: Annotated[int, Meta(description="The limit.")]
    used: Annotated[int, Meta(description="How many earned badges already count towards the limit.")]
    available_from: Annotated[
        float | None,
        Meta(description="The earliest event date at which the limit is available again; null: never."),
    ]
    available_from_iso: str | None


class ErrorDetail(Struct, frozen=True):
    """An error or a warning."""

    code: Annotated[int, Meta(description="The error code.", examples=[809])]
    message: Annotated[str, Meta(description="The error message.")]
    reference: Annotated[
        str | None, Meta(description="The path of the field.", examples=["customerIds[3]"])
    ] = None
    details: Annotated[LimitDetails | UnsetType, Meta(description="The limit, for codes 817 and 818.")] = (
        UNSET
    )


DRY_RUN = ErrorDetail(
    200, "This was a dry run: the response is what would happen now, and nothing was changed.", "dryRun"
)
"""The warning in the response of a dry run."""


class Envelope(Struct, Generic[T], frozen=True):
    """A successful response."""

    data: T
    errors: Annotated[list[ErrorDetail], Meta(description="Empty on success.")] = []
    warnings: Annotated[
        list[ErrorDetail], Meta(description="Warnings, for example about ignored parameters.")
    ] = []


class ErrorEnvelope(Struct, frozen=True):
    """A failed response: one or more errors and no data."""

    data: None
    errors: list[ErrorDetail]
    warnings: None = None


class Pagination(Struct, frozen=True, rename=json_name):
    """Position of a page."""

    page: Annotated[int, Meta(description="Page number, from 0.")]
    size: Annotated[int, Meta(description="Items per page.")]
    total: Annotated[int, Meta(description="Items on all pages.")]
    total_pages: int


def paginate(page: int, size: int, total: int) -> Pagination:
    """Return the pagination of a page."""
    return Pagination(page, size, total, -(-total // size))


def time_fields(name: str, instant: datetime) -> dict[str, Any]:
    """Return the two response fields of a time: epoch seconds and the ISO twin."""
    return {name: times.epoch(instant), f"{name}_iso": times.iso(instant)}


def details(field_errors: list[FieldError]) -> list[ErrorDetail]:
    """Convert domain errors to the envelope's format."""
    return [
        ErrorDetail(
            field_error.code, field_error.message, field_error.reference, limit_details(field_error.exceeded)
        )
        for field_error in field_errors
    ]


def limit_details(exceeded: ExceededLimit | None) -> LimitDetails | UnsetType:
    """Return the details of errors 817 and 818. Other errors have none."""
    if exceeded is None:
        return UNSET
    at = exceeded.available_from
    return LimitDetails(exceeded.limit, exceeded.used, at and times.epoch(at), at and times.iso(at))


def error_envelope(field_errors: list[FieldError]) -> ErrorEnvelope:
    """Return the envelope of a failed response."""
    return ErrorEnvelope(None, details(field_errors))
