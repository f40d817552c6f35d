"""Encode columns in PostgreSQL's binary formats with NumPy, without a Python object per value.

The driver would encode a hundred thousand rows value by value, which costs twice the server's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
INT8_ARRAY_OID = 1016
_INT8_OID = 20
_ITEMS_AT = 20
"""Offset of the items, after the number of dimensions, null flag, type, and the bounds of the dimension."""
_ITEM = np.dtype([("bytes", ">i4"), ("value", ">i8")])


class Column(NamedTuple):
    """A column of the rows to write."""

    name: str
    bytes: Literal[4, 8]
    """4: integer. 8: bigint, or timestamptz as `times.microseconds` of it."""
    values: NDArray[np.integer] | int | None
    """One value per row, or one for all rows."""


def pack_rows(columns: Sequence[Column], count: int) -> bytearray:
    """Encode `count` rows as binary COPY data."""
    fields = [("columns", ">i2")]
    for place, column in enumerate(columns):
        fields.append((f"bytes{place}", ">i4"))
        if column.values is not None:
            fields.append((f"value{place}", f">i{column.bytes}"))
    layout = np.dtype(fields)
    data = bytearray(len(_HEADER) + count * layout.itemsize + len(_TRAILER))
    data[: len(_HEADER)], data[-len(_TRAILER) :] = _HEADER, _TRAILER
    rows = np.frombuffer(data, dtype=layout, offset=len(_HEADER), count=count)
    rows["columns"] = len(columns)
    for place, column in enumerate(columns):
        rows[f"bytes{place}"] = -1 if column.values is None else column.bytes
        if column.values is not None:
            rows[f"value{place}"] = column.values
    return data


def pack_array(values: Sequence[int] | NDArray[np.int64]) -> bytes:
    """Encode a one-dimensional `bigint[]` without nulls."""
    items = np.empty(len(values), dtype=_ITEM)
    items["bytes"] = 8
    items["value"] = values
    return np.array([1, 0, _INT8_OID, len(values), 1], dtype=">i4").tobytes() + items.tobytes()


def unpack_array(data: bytes) -> list[int]:
    """Decode the values of a `bigint[]` encoded by `pack_array`."""
    return unpack_array_numbers(data).tolist()


def unpack_array_numbers(data: bytes) -> NDArray[np.int64]:
    """Like `unpack_array`, as a NumPy array; for `array_send(…)` results, which the driver passes through."""
    if len(data) < _ITEMS_AT:
        return np.empty(0, dtype=np.int64)
    return np.frombuffer(data, dtype=_ITEM, offset=_ITEMS_AT)["value"].astype(np.int64)


def unpack_numbers(data: bytes | None, size: Literal[4, 8] = 8) -> NDArray[np.int64]:
    """Decode numbers concatenated by `string_agg(int8send(…), '')`. None gives an empty array."""
    return np.frombuffer(data or b"", dtype=f">i{size}").astype(np.int64)
