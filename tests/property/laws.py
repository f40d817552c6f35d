"""How hard laws are tried: a few hundred examples, the same in every run, without a stopwatch."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

law = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def instants_between(first: str, last: str) -> st.SearchStrategy[datetime]:
    """Instants in UTC, to the microsecond, from the first day to the last one's midnight."""
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last), timezones=st.just(UTC))
