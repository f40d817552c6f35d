"""What goes over the wire, in the contract's spelling: bodies in, answers out, and how one becomes the other."""

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

    limit: Annotated[int, Meta(description="How many it allows.")]
    used: Annotated[int, Meta(description="How many count towards it already.")]
    available_from: Annotated[
        float | None, Meta(description="The earliest event date that it would let pass; null: never again.")
    ]
    available_from_iso: str | None = msgspec.field(name="availableFromISO")


class ErrorDetail(Struct, frozen=True):
    """One error or warning."""

    code: Annotated[int, Meta(description="The contract's error code.", examples=[809])]
    message: Annotated[str, Meta(description="A sentence for people.")]
    reference: Annotated[str | None, Meta(description="The field's path.", examples=["customerIds[3]"])] = (
        None
    )
    details: Annotated[LimitDetails | UnsetType, Meta(description="On 817 and 818: which limit.")] = UNSET


DRY_RUN = ErrorDetail(
    200, "This was a dry run: it tells what would happen now, and nothing was changed.", "dryRun"
)
"""The warning that marks the answer of a dry run."""


class Envelope(Struct, Generic[T], frozen=True):
    """A success: the data, no errors, perhaps warnings."""

    data: T
    errors: Annotated[list[ErrorDetail], Meta(description="Always empty on success.")] = []
    warnings: Annotated[list[ErrorDetail], Meta(description="What the caller should know.")] = []


class ErrorEnvelope(Struct, frozen=True):
    """A failure: no data, one or more errors."""

    data: None
    errors: list[ErrorDetail]
    warnings: None = None


class Pagination(Struct, frozen=True, rename="camel"):
    """Where this page is among all of them."""

    page: Annotated[int, Meta(description="From 0.")]
    size: Annotated[int, Meta(description="Rows per page.")]
    total: Annotated[int, Meta(description="Rows on all pages.")]
    total_pages: int


def paginate(page: int, size: int, total: int) -> Pagination:
    """The pagination block of a page."""
    return Pagination(page, size, total, -(-total // size))


def time_fields(name: str, instant: datetime) -> dict[str, Any]:
    """An instant as the fields of an answer: epoch seconds and the ISO twin."""
    return {name: times.epoch(instant), f"{name}_iso": times.iso(instant)}


def details(field_errors: list[FieldError]) -> list[ErrorDetail]:
    """Domain faults in the envelope's spelling."""
    return [
        ErrorDetail(
            field_error.code, field_error.message, field_error.reference, limit_details(field_error.exceeded)
        )
        for field_error in field_errors
    ]


def limit_details(exceeded: ExceededLimit | None) -> LimitDetails | UnsetType:
    """The limit of a 817 or 818; other errors have none."""
    if exceeded is None:
        return UNSET
    at = exceeded.available_from
    return LimitDetails(exceeded.limit, exceeded.used, at and times.epoch(at), at and times.iso(at))


def error_envelope(field_errors: list[FieldError]) -> ErrorEnvelope:
    """The envelope of a failure."""
    return ErrorEnvelope(None, details(field_errors))
