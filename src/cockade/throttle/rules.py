"""Whether one may guess once more, and how many calls to take at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from cockade.throttle.model import Guesses

LEASES_PER_LIMIT = 100
"""A process takes a hundredth of the limit at a time: few statements, and little that is left over."""


def free_at(guesses: Guesses, window: timedelta) -> datetime | None:
    """From when a guess is let through again; None: it is now.

    Where the name is known from this address, only the guesses of this name from here count: strangers cannot lock
    their victim out, nor can a neighbour behind the same address who has a secret wrong.
    """
    if guesses.proved_at is not None:
        full = [guesses.pair_full_at]
    else:
        full = [guesses.name_full_at, guesses.address_full_at]
    return max((at + window for at in full if at is not None), default=None)


def is_to_be_noted(guesses: Guesses, now: datetime, for_at_least: timedelta) -> bool:
    """Whether a proof is worth a write: it clears guesses, or was not noted for so long."""
    noted = guesses.proved_at
    return guesses.pair_guessed or noted is None or noted <= now - for_at_least


def lease_size(limit: int) -> int:
    """How many calls a process takes at a time."""
    return max(1, limit // LEASES_PER_LIMIT)
