"""The only place that reads the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Answers the present instant, in UTC, to the microsecond."""


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(UTC)
