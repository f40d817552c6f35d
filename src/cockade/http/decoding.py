"""Decode JSON bodies into typed structs, or report all errors in them.

The typed decoder is fast, but stops at the first error. Only if it fails, the body is decoded again without
types and validated field by field, so that one response reports all errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import FieldInfo

from cockade import times
from cockade.errors import FIELD_ERRORS_MAX, MALFORMED, FieldError, InvalidInput

S = TypeVar("S", bound=Struct)
C = TypeVar("C")

TYPE_NAMES = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
"""JSON type names of the decoder, and their names in error messages."""
ERROR_MESSAGE = "wrong"
"""Key in a type's `Meta(extra={ERROR_MESSAGE: …})`: the error message for values of another type."""

MISSING = {
    "id": (715, "Badge id is mandatory."),
    "badgeMetaId": (715, "Badge id is mandatory."),
    "triggeredBy": (716, "Owner type information is missing."),
    "ownerType": (716, "Owner type information is missing."),
    "referenceId": (717, "OwnerId is mandatory."),
    "customerIds": (812, "CustomerId information is missing."),
    "customerId": (812, "CustomerId information is missing."),
    "ownership": (727, "Owner info is mandatory."),
    "restrictedToOwners": (728, "At least one owner is required."),
}
"""The contract's codes and messages for missing or empty mandatory fields. Others have code 400."""


NOT_JSON = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


ITEMS_PER_BATCH = 1000
"""Number of list items that are decoded at once."""


class FieldErrors(list[FieldError]):
    """Errors found so far, at most FIELD_ERRORS_MAX."""

    def add(self, reference: str | None, message: str, code: int = MALFORMED) -> None:
        """Add an error, unless this field already has one or the maximum is reached."""
        if len(self) < FIELD_ERRORS_MAX and not (reference and self.has_error_for(reference)):
            self.append(FieldError(code, message, reference))

    def has_error_for(self, reference: str) -> bool:
        """Whether there is an error about this field."""
        return any(field_error.reference == reference for field_error in self)


def read(body: bytes, shape: type[S], convert: Callable[[S, FieldErrors], C]) -> C:
    """Decode a body and convert it to a command. Raises InvalidInput with all errors.

    `convert` creates the command from the struct, and adds errors that types cannot express. After a type
    error it is also called, only for its errors, with None in place of the values that could not be decoded.
    """
    field_errors = FieldErrors()
    command = _read(body, msgspec.json.Decoder(shape), field_errors, convert)
    if field_errors:
        raise InvalidInput(field_errors)
    return cast("C", command)


def split_rows(body: bytes, rows_max: int) -> list[msgspec.Raw]:
    """Return the undecoded items of a body that must be a list.

    Raises InvalidInput if the body is not a list, or does not have 1 to `rows_max` items.
    """
    try:
        entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise InvalidInput([FieldError(MALFORMED, "The body must be a JSON array.")]) from None
    except NOT_JSON as error:
        raise _not_json(error) from None
    if not 1 <= len(entries) <= rows_max:
        message = (
            f"The body has {len(entries)} rows; it must have 1 to {rows_max} "
            "(COCKADE_MAX_CUSTOMERS_PER_REQUEST)."
        )
        raise InvalidInput([FieldError(MALFORMED, message)])
    return entries


def read_rows(
    entries: list[msgspec.Raw], shape: type[S], convert: Callable[[S, FieldErrors], C]
) -> list[C | list[FieldError]]:
    """Return the command of each entry, or its errors. Raises InvalidInput if an entry is not JSON."""
    decoder = msgspec.json.Decoder(shape)
    rows: list[C | list[FieldError]] = []
    for entry in entries:
        field_errors = FieldErrors()
        command = _read(entry, decoder, field_errors, convert)
        rows.append(field_errors or cast("C", command))
    return rows


def _read(
    body: bytes | msgspec.Raw,
    decoder: msgspec.json.Decoder[S],
    field_errors: FieldErrors,
    convert: Callable[[S, FieldErrors], C],
) -> C | None:
    """Return the command, or None if errors were added."""
    try:
        wire = decoder.decode(body)
    except msgspec.ValidationError as error:
        _walk(_decode_untyped(body), decoder.type, "", field_errors, convert)
        if not field_errors:
            field_errors.add(None, str(error))
        return None
    except NOT_JSON as error:
        raise _not_json(error) from None
    return convert(wire, field_errors)


def unchanged(body: S, _: FieldErrors) -> S:
    """A `convert` for bodies that need no validation beyond their types."""
    return body


def mandatory_time(
    name: str, plain: float | str | None, iso: float | str | None, field_errors: FieldErrors
) -> datetime:
    """Return the time in a field or its ISO twin, which has precedence. Adds an error if both are missing."""
    reference, value = (name, plain) if iso is None else (f"{name}ISO", iso)
    try:
        if value is not None:
            return times.read_instant(value)
        if not field_errors.has_error_for(f"{name}ISO"):
            field_errors.add(name, f"{name.rpartition('.')[2]} is mandatory.")
    except ValueError as error:
        field_errors.add(reference, str(error))
    return times.EARLIEST


def _decode_untyped(body: bytes | msgspec.Raw) -> Any:  # any JSON value
    try:
        return msgspec.json.decode(body)
    except NOT_JSON as error:
        raise _not_json(error) from None


def _not_json(error: Exception) -> InvalidInput:
    match error:
        case RecursionError():
            reason = "it is nested too deeply"
        case UnicodeDecodeError():
            reason = "it is not UTF-8"
        case _:
            reason = str(error)
    return InvalidInput([FieldError(MALFORMED, f"The body is not valid JSON: {reason}.")])


def _walk(
    value: object,
    shape: type[S],
    path: str,
    field_errors: FieldErrors,
    convert: Callable[[S, FieldErrors], Any] | None,
) -> S:
    """Return the struct with None in place of values that cannot be decoded. Adds all errors.

    Missing fields stay UNSET if absence differs from null.
    """
    if not isinstance(value, dict):
        field_errors.add(path.rstrip(".") or None, "Must be a JSON object.")
        value = dict[str, object]()
    fields = cast("dict[str, object]", value)
    partial: dict[str, Any] = {}
    for field, hint in _fields(shape):
        partial[field.name] = _read_field(fields, field, hint, path, field_errors)
    wire = shape(**partial)
    if convert is not None:
        convert(wire, field_errors)
    return wire


@cache
def _fields(shape: type[Struct]) -> list[tuple[FieldInfo, Any]]:
    hints = get_type_hints(shape, include_extras=True)
    return [(field, hints[field.name]) for field in msgspec.structs.fields(shape)]


def _read_field(
    fields: dict[str, object], field: FieldInfo, hint: Any, path: str, field_errors: FieldErrors
) -> Any:
    name, reference = field.encode_name, path + field.encode_name
    value = fields.get(name)
    if value is None or (field.required and value in ("", [], {})):
        if field.required:
            code, message = MISSING.get(name, (MALFORMED, f"{name} is mandatory."))
            field_errors.add(reference, message, code)
        return UNSET if field.default is UNSET and name not in fields else None
    inner = _plain(hint)
    if isinstance(inner, type) and issubclass(inner, Struct):
        return _walk(value, inner, reference + ".", field_errors, None)
    if get_origin(inner) is list and isinstance(value, list):
        errors_before, untyped = len(field_errors), cast("list[object]", value)
        items = _read_items(untyped, get_args(inner)[0], reference, field_errors)
        return (
            items
            if len(field_errors) > errors_before
            else _read_value(untyped, hint, reference, field_errors)
        )
    return _read_value(value, hint, reference, field_errors)


def _read_items(items: list[object], hint: Any, path: str, field_errors: FieldErrors) -> list[Any]:
    """Return the items, with None and an error for each that cannot be decoded.

    Lists can have millions of items and one error. Batches are decoded at once; only batches with an error
    are decoded item by item.
    """
    read_items: list[Any] = []
    for start in range(0, len(items), ITEMS_PER_BATCH):
        batch = items[start : start + ITEMS_PER_BATCH]
        try:
            read_items += msgspec.convert(batch, list[hint])
        except msgspec.ValidationError:
            for index, item in enumerate(batch, start):
                read_items.append(_read_item(item, hint, f"{path}[{index}]", field_errors))
        if len(field_errors) >= FIELD_ERRORS_MAX:
            break
    return read_items


def _read_item(item: object, hint: Any, reference: str, field_errors: FieldErrors) -> Any:
    inner = _plain(hint)
    if isinstance(inner, type) and issubclass(inner, Struct):
        return _walk(item, inner, reference + ".", field_errors, None)
    return _read_value(item, hint, reference, field_errors)


def _read_value(value: object, hint: Any, reference: str, field_errors: FieldErrors) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        field_errors.add(reference, _sentence(error, hint))
        return None


def _sentence(error: msgspec.ValidationError, hint: Any) -> str:
    inner = _plain(hint)
    if isinstance(inner, type) and issubclass(inner, Enum):
        return must_be_one_of(inner)
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.extra and ERROR_MESSAGE in meta.extra:
            return meta.extra[ERROR_MESSAGE]
    return describe_types(str(error).split(" - at ")[0]) + "."


def must_be_one_of(kind: type[Enum]) -> str:
    """Return the error message for a value that is not a member of the enumeration."""
    return f"Must be one of {', '.join(str(member.value) for member in kind)}."


def describe_types(message: str) -> str:
    """Replace the decoder's type names in its message, as in "Expected text or null, got a number"."""
    if "matching regex" in message:
        return "The text contains characters that are not allowed"
    return re.sub(
        "`([^`]+)`", lambda types: " or ".join(TYPE_NAMES.get(t, t) for t in types[1].split(" | ")), message
    )


def _plain(hint: Any) -> Any:
    """Return the hint without Annotated, None and Unset. A union of several types stays a union."""
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        types = [arm for arm in get_args(hint) if arm not in (type(None), UnsetType)]
        return _plain(types[0]) if len(types) == 1 else hint
    return hint
