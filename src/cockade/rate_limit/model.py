"""Attempts, guesses and allowances."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class RateLimitStatus(Struct, frozen=True, kw_only=True):
    """How many calls a credential has left, as far as this process knows."""

    limit: int
    left: int
    """Of the limit, after this call; -1 where this call was one too many."""
    resets_in_s: int


class Reservation(Struct, frozen=True, kw_only=True):
    """Calls that a process has taken for itself."""

    minute: datetime
    left: int
    taken: int
    """By all processes, as of then."""
