"""The only place that reads the time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current instant in UTC, to the microsecond."""


def now() -> datetime:
    """Return the current instant in UTC."""
    return datetime.now(UTC)
