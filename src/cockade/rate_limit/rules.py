"""The number of requests that a process reserves at a time."""

from __future__ import annotations

RESERVATIONS_PER_LIMIT = 100
"""A process reserves a hundredth of the limit at a time: few statements, and little unused."""


def reservation_size(limit: int) -> int:
    """Return the number of requests that a process reserves at a time."""
    return max(1, limit // RESERVATIONS_PER_LIMIT)
