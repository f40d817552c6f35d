"""Settings of property tests: a fixed number of examples, the same in every run, without deadlines."""

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
    """Times in UTC with microseconds, from the first day to midnight at the start of the last day."""
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last), timezones=st.just(UTC))
