"""Rate limit status and reservations."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class RateLimitStatus(Struct, frozen=True, kw_only=True):
    """Remaining requests of a credential, as far as this process knows."""

    limit: int
    left: int
    """Remaining requests after this one, or -1 if this request exceeds the limit."""
    resets_in_s: int


class Reservation(Struct, frozen=True, kw_only=True):
    """Requests of the limit that a process has reserved for itself."""

    minute: datetime
    left: int
    taken: int
    """Requests reserved by all processes, at the time of this reservation."""
