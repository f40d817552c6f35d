"""Stub."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from cockade.ids import RequestKey


class Enrolled(Struct, frozen=True, kw_only=True):
    """Stub."""

    request_key: RequestKey
    line: int
    valid_until: datetime
