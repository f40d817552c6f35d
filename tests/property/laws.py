"""How hard laws are tried: a few hundred examples, the same in every run, without a stopwatch."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

law = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
