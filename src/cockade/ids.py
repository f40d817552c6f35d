"""Ids, and the encoding of earned badge ids.

An earned badge needs no column for its id: its 24 hex digits are the request key (4 bytes of unix seconds, 4
bytes of a sequence) and the line, which is the index in the request (4 bytes).
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
"""A badge in the API: 24 lowercase hex digits, unique in its org."""
GroupId = NewType("GroupId", str)
"""A badge group: 24 lowercase hex digits, unique in its org."""
CustomFieldId = NewType("CustomFieldId", str)
"""A custom field: 24 lowercase hex digits, unique in its org."""
WebhookId = NewType("WebhookId", str)
"""A webhook: 24 lowercase hex digits, unique in its org."""
BadgeKey = NewType("BadgeKey", int)
"""A badge in the database: a 4-byte integer, unique over all orgs, never reused."""
CustomerId = NewType("CustomerId", int)
"""A customer, 1 to 2^63−1."""
RequestKey = NewType("RequestKey", int)
"""A request in the ledger: a signed 8-byte integer, see `request_key`."""

FEW = 20
"""Below this number, formatting ids one by one is faster."""
REQUEST_ID_CHARS_MAX = 255
"""Maximum length of a request id."""
LINE_MAX = 2**31 - 1
"""Maximum line. Ids sent by callers may contain larger ones."""
CUSTOMER_ID_MAX = 2**63 - 1
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")
_DIGITS = re.compile(r"[0-9]{1,19}")
_U64 = 2**64
_ID = np.dtype([("key", ">i8"), ("line", ">i4")])


def read_id(text: str) -> str | None:
    """Return the id in lower case, or None if it is not 24 hex digits."""
    return text.lower() if _HEX24.fullmatch(text) else None


def badge_id(text: str) -> BadgeId | None:
    """Return the badge id, or None if it is invalid."""
    found = read_id(text)
    return None if found is None else BadgeId(found)


def customer_id(sent: int | str) -> CustomerId | None:
    """Return the customer id given as a number or as up to 19 digits, or None if it is invalid."""
    if isinstance(sent, str) and not _DIGITS.fullmatch(sent):
        return None
    return CustomerId(int(sent)) if 1 <= int(sent) <= CUSTOMER_ID_MAX else None


def new_id(unix_seconds: int, chance: bytes) -> str:
    """Create an id from the time and 8 random bytes."""
    return f"{unix_seconds & 0xFFFFFFFF:08x}{chance.hex()}"


def request_key(unix_seconds: int, sequence: int) -> RequestKey:
    """Combine seconds (upper 32 bits) and sequence number (lower 32 bits) into a signed integer."""
    unsigned = ((unix_seconds & 0xFFFFFFFF) << 32) | (sequence & 0xFFFFFFFF)
    return RequestKey(unsigned - _U64 if unsigned >= _U64 // 2 else unsigned)


def seconds_of(key: RequestKey) -> int:
    """Return the unix second in which the request was made."""
    return (key % _U64) >> 32


def earned_badge_id(key: RequestKey, line: int) -> str:
    """Return the earned badge id for a line (from 0) of the request."""
    return f"{key % _U64:016x}{line:08x}"


def earned_badge_ids(key: RequestKey, count: int) -> list[str]:
    """Return the earned badge ids for lines 0 to count−1 of a request."""
    if count < FEW:
        return [earned_badge_id(key, line) for line in range(count)]
    return earned_badge_ids_at(key, np.arange(count))


def earned_badge_ids_at(keys: NDArray[np.int64] | RequestKey, lines: NDArray[np.int64]) -> list[str]:
    """Return the earned badge ids of these lines, all at once. `keys` is one key per line, or one for all."""
    packed = np.empty(len(lines), dtype=_ID)
    packed["key"], packed["line"] = keys, lines
    return packed.tobytes().hex(" ", _ID.itemsize).split()


def earned_badge_place(text: str) -> tuple[RequestKey, int] | None:
    """Return request key and line of an earned badge id, or None if it is invalid."""
    if not _HEX24.fullmatch(text):
        return None
    return request_key(int(text[:8], 16), int(text[8:16], 16)), int(text[16:], 16)
