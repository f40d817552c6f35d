"""When a guess is let through, when a proof is noted, and how many calls are taken at a time."""

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
    name: int | None, address: int | None, pair: int | None, proved: int | None
) -> FailedLogins:
    """Each bound as full since so many minutes ago."""
    at = {minutes: None if minutes is None else AGO[minutes] for minutes in (name, address, pair, proved)}
    return FailedLogins(
        username_full_at=at[name],
        address_full_at=at[address],
        pair_full_at=at[pair],
        pair_failed=pair is not None,
        last_success_at=at[proved],
    )


@pytest.mark.parametrize(
    ("name", "address", "pair", "proved", "minutes"),
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
def test_a_bound_is_full_until_its_oldest_guess_leaves_the_window(
    name: int | None, address: int | None, pair: int | None, proved: int | None, minutes: int | None
) -> None:
    expected = None if minutes is None else NOW + timedelta(minutes=minutes)
    assert allowed_from(failed_logins(name, address, pair, proved), WINDOW) == expected


@pytest.mark.parametrize(
    ("pair", "proved", "expected"),
    [(None, None, True), (None, 59, False), (None, 60, True), (1, 1, True)],
)
def test_a_proof_is_noted_once_an_hour_or_when_it_clears_guesses(
    pair: int | None, proved: int | None, expected: bool
) -> None:
    assert should_record_success(failed_logins(None, None, pair, proved), NOW, timedelta(hours=1)) is expected


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (99, 1), (100, 1), (250, 2), (60_000, 600)])
def test_a_process_takes_a_hundredth_at_a_time(limit: int, size: int) -> None:
    assert reservation_size(limit) == size
