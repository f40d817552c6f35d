"""Rules of failed sign-ins and rate limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cockade.auth.model import FailedLogins
from cockade.auth.rules import allowed_from, should_record_success
from cockade.rate_limit.rules import reservation_size

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AGO = {minutes: NOW - timedelta(minutes=minutes) for minutes in range(100)}
WINDOW = timedelta(minutes=5)


def failed_logins(
    name: int | None, address: int | None, pair: int | None, succeeded: int | None
) -> FailedLogins:
    """Return limits that were reached this many minutes ago."""
    at = {minutes: None if minutes is None else AGO[minutes] for minutes in (name, address, pair, succeeded)}
    return FailedLogins(
        username_full_at=at[name],
        address_full_at=at[address],
        pair_full_at=at[pair],
        pair_failed=pair is not None,
        last_success_at=at[succeeded],
    )


@pytest.mark.parametrize(
    ("name", "address", "pair", "succeeded", "minutes"),
    [
        (None, None, None, None, None),
        (1, None, None, None, 4),
        (None, 2, None, None, 3),
        (1, 2, None, None, 4),
        (2, 1, None, None, 4),
        (1, 1, None, 60, None),
        (1, 1, 3, 60, 2),
    ],
)
def test_limit_is_reached_until_its_oldest_failure_leaves_the_window(
    name: int | None, address: int | None, pair: int | None, succeeded: int | None, minutes: int | None
) -> None:
    expected = None if minutes is None else NOW + timedelta(minutes=minutes)
    assert allowed_from(failed_logins(name, address, pair, succeeded), WINDOW) == expected


@pytest.mark.parametrize(
    ("pair", "succeeded", "expected"),
    [(None, None, True), (None, 59, False), (None, 60, True), (1, 1, True)],
)
def test_success_is_recorded_once_an_hour_or_after_failures(
    pair: int | None, succeeded: int | None, expected: bool
) -> None:
    assert (
        should_record_success(failed_logins(None, None, pair, succeeded), NOW, timedelta(hours=1)) is expected
    )


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (99, 1), (100, 1), (250, 2), (60_000, 600)])
def test_process_reserves_a_hundredth_of_the_limit(limit: int, size: int) -> None:
    assert reservation_size(limit) == size
