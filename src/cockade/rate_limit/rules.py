"""Whether one may guess once more, and how many calls to take at a time."""

from __future__ import annotations

RESERVATIONS_PER_LIMIT = 100
"""A process takes a hundredth of the limit at a time: few statements, and little that is left over."""


def reservation_size(limit: int) -> int:
    """How many calls a process takes at a time."""
    return max(1, limit // RESERVATIONS_PER_LIMIT)
