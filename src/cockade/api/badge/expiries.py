"""Schemas of expiries."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, assert_never

import msgspec
from msgspec import Meta, Struct

from cockade import times
from cockade.api.schemas import Time
from cockade.badge.model import (
    BadgeExpiry,
    Expiry,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    RelativeExpiry,
)
from cockade.http.decoding import FieldErrors, mandatory_time
from cockade.http.envelope import json_name

RELATIVE_MAX = {ExpiryUnit.DAYS: 36_525, ExpiryUnit.WEEKS: 5_218, ExpiryUnit.MONTHS: 1_200}
"""Maximum of a relative expiry: a hundred years."""


class ExpiryType(StrEnum):
    """Types of expiries."""

    RELATIVE = "RELATIVE"
    ABSOLUTE = "ABSOLUTE"
    NEVER = "NEVER"


class AbsoluteType(StrEnum):
    """Types of absolute expiries."""

    FIXED_DATE = "FIXED_DATE"
    WITH_BADGE_META = "WITH_BADGE_META"


class ExpiryFields(Struct, frozen=True, kw_only=True, rename=json_name, omit_defaults=True):
    """When a validity ends. expiryType decides which fields are required."""

    expiry_type: Annotated[
        ExpiryType, Meta(description="RELATIVE, ABSOLUTE or NEVER (after a hundred years).")
    ]
    relative_expirytype: Annotated[
        ExpiryUnit | None,
        Meta(description="RELATIVE: the unit of value: days and weeks of 24 h, or calendar months."),
    ] = None
    relative_expiry_type: Annotated[ExpiryUnit | None, Meta(description="Alias of relativeType.")] = None
    value: Annotated[int | None, Meta(description="RELATIVE: the number of units.")] = None
    type: Annotated[
        AbsoluteType | None, Meta(description="ABSOLUTE: a fixed date, or the end of the badge.")
    ] = None
    expires_on: Annotated[Time | None, Meta(description="FIXED_DATE: the date.")] = None
    expires_on_iso: Time | None = None
    expire_with_badge_meta: Annotated[bool | None, Meta(description="WITH_BADGE_META: true.")] = None


def read_expiry(name: str, fields: ExpiryFields | None, field_errors: FieldErrors) -> Expiry:
    """Return the expiry of these fields. Adds errors and returns NeverExpiry if they are invalid."""
    match fields and fields.expiry_type:
        case ExpiryType.RELATIVE:
            assert fields is not None
            return _relative(name, fields, field_errors)
        case ExpiryType.ABSOLUTE:
            assert fields is not None
            return _absolute(name, fields, field_errors)
        case _:
            return NeverExpiry()


def _relative(name: str, fields: ExpiryFields, field_errors: FieldErrors) -> Expiry:
    unit = fields.relative_expirytype or fields.relative_expiry_type
    if unit is None:
        field_errors.add(f"{name}.relativeExpirytype", "A RELATIVE expiry needs DAYS, WEEKS or MONTHS.")
    elif fields.value is None or not 1 <= fields.value <= RELATIVE_MAX[unit]:
        field_errors.add(
            f"{name}.value", f"A RELATIVE expiry in {unit} needs a value from 1 to {RELATIVE_MAX[unit]}."
        )
    else:
        return RelativeExpiry(unit, fields.value)
    return NeverExpiry()


def _absolute(name: str, fields: ExpiryFields, field_errors: FieldErrors) -> Expiry:
    if fields.type is AbsoluteType.WITH_BADGE_META or (fields.type is None and fields.expire_with_badge_meta):
        return BadgeExpiry()
    if fields.type is None:
        field_errors.add(f"{name}.type", "An ABSOLUTE expiry needs a type: FIXED_DATE or WITH_BADGE_META.")
        return NeverExpiry()
    return FixedExpiry(
        mandatory_time(f"{name}.expiresOn", fields.expires_on, fields.expires_on_iso, field_errors)
    )


def expiry_fields(expiry: Expiry) -> ExpiryFields:
    """Return the expiry as response fields."""
    match expiry:
        case RelativeExpiry(unit=unit, value=value):
            return ExpiryFields(expiry_type=ExpiryType.RELATIVE, relative_expirytype=unit, value=value)
        case FixedExpiry(at=at):
            return ExpiryFields(
                expiry_type=ExpiryType.ABSOLUTE,
                type=AbsoluteType.FIXED_DATE,
                expires_on=times.epoch(at),
                expires_on_iso=times.iso(at),
            )
        case BadgeExpiry():
            return ExpiryFields(
                expiry_type=ExpiryType.ABSOLUTE,
                type=AbsoluteType.WITH_BADGE_META,
                expire_with_badge_meta=True,
            )
        case NeverExpiry():
            return ExpiryFields(expiry_type=ExpiryType.NEVER)
        case _:
            assert_never(expiry)


def exact_expiry_fields(expiry: Expiry) -> ExpiryFields:
    """Return the expiry as request fields, to the microsecond."""
    fields = expiry_fields(expiry)
    if isinstance(expiry, FixedExpiry):
        return msgspec.structs.replace(fields, expires_on=expiry.at.isoformat(), expires_on_iso=None)
    return fields
