"""The ids of this service and the 24-hex codec of earned badges.

An earned badge needs no column for its id: 24 hex digits are the request key (4 bytes unix seconds,
4 bytes of one sequence) and the line, the customer's place in the request (4 bytes).
"""

from __future__ import annotations

import re
from typing import NewType

import numpy as np
from numpy.typing import NDArray

OrgId = NewType("OrgId", int)
"""An org, counted from 1001."""
CredentialId = NewType("CredentialId", int)
"""A credential of an org."""
BadgeId = NewType("BadgeId", str)
"""A badge as callers know it: 24 lowercase hex digits, unique in its org."""
GroupId = NewType("GroupId", str)
"""A badge group: 24 lowercase hex digits, unique in its org."""
CustomFieldId = NewType("CustomFieldId", str)
"""A custom field: 24 lowercase hex digits, unique in its org."""
WebhookId = NewType("WebhookId", str)
"""A webhook: 24 lowercase hex digits, unique in its org."""
BadgeKey = NewType("BadgeKey", int)
"""A badge as the database knows it: a 4-byte integer, unique everywhere, never reused."""
CustomerId = NewType("CustomerId", int)
"""A customer, 1 … 2^63−1."""
RequestKey = NewType("RequestKey", int)
"""A request as the ledger knows it: a signed 8-byte integer, see `earned_badge_ids`."""

FEW = 20
"""Fewer ids than this are written quicker one by one."""
REQUEST_ID_CHARS_MAX = 255
"""The longest request id."""
LINE_MAX = 2**31 - 1
"""No request has more lines than this, whatever an id that was sent may say."""
CUSTOMER_ID_MAX = 2**63 - 1
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")
_DIGITS = re.compile(r"[0-9]{1,19}")
_U64 = 2**64
_ID = np.dtype([("key", ">i8"), ("line", ">i4")])


def read_id(text: str) -> str | None:
    """The id written in `text`, upper case folded, or None where it is not 24 hex digits."""
    return text.lower() if _HEX24.fullmatch(text) else None


def badge_id(text: str) -> BadgeId | None:
    """The badge id written in `text`, or None where it is no id."""
    found = read_id(text)
    return None if found is None else BadgeId(found)


def customer_id(sent: int | str) -> CustomerId | None:
    """The customer that a number or a string of digits, 19 at most, names, or None where it names none."""
    if isinstance(sent, str) and not _DIGITS.fullmatch(sent):
        return None
    return CustomerId(int(sent)) if 1 <= int(sent) <= CUSTOMER_ID_MAX else None


def new_id(unix_seconds: int, chance: bytes) -> str:
    """A fresh id from the time and 8 random bytes."""
    return f"{unix_seconds & 0xFFFFFFFF:08x}{chance.hex()}"


def request_key(unix_seconds: int, sequence: int) -> RequestKey:
    """The key of a request: seconds in the upper, the sequence in the lower 32 bits, as a signed integer."""
    unsigned = ((unix_seconds & 0xFFFFFFFF) << 32) | (sequence & 0xFFFFFFFF)
    return RequestKey(unsigned - _U64 if unsigned >= _U64 // 2 else unsigned)


def seconds_of(key: RequestKey) -> int:
    """The unix second in which the request was made."""
    return (key % _U64) >> 32


def earned_badge_id(key: RequestKey, line: int) -> str:
    """The id of the badge earned by the customer at place `line` (from 0) of the request."""
    return f"{key % _U64:016x}{line:08x}"


def earned_badge_ids(key: RequestKey, count: int) -> list[str]:
    """The ids of lines 0 … count−1 of a request."""
    if count < FEW:
        return [earned_badge_id(key, line) for line in range(count)]
    return earned_badge_ids_at(key, np.arange(count))


def earned_badge_ids_at(keys: NDArray[np.int64] | RequestKey, lines: NDArray[np.int64]) -> list[str]:
    """The ids of these lines, each of the request beside it, or all of one: written all at once."""
    packed = np.empty(len(lines), dtype=_ID)
    packed["key"], packed["line"] = keys, lines
    return packed.tobytes().hex(" ", _ID.itemsize).split()


def earned_badge_place(text: str) -> tuple[RequestKey, int] | None:
    """The request key and line that an earned badge's id is made of, or None where it is no such id."""
    if not _HEX24.fullmatch(text):
        return None
    return request_key(int(text[:8], 16), int(text[8:16], 16)), int(text[16:], 16)
