"""Results of erasing and merging."""

from __future__ import annotations

from msgspec import Struct

from cockade.ids import CustomerId

ERASED_CUSTOMER = CustomerId(0)
"""Replaces an erased customer in an audience, so that all others keep their lines."""


class CustomerDataResult(Struct, frozen=True, kw_only=True):
    """The number of rows erased or moved to another customer."""

    earned_badges: int
    """Including revoked ones."""
    enrolments: int
    """Including revoked ones."""
    identifiers: int
    requests: int
    """Requests whose audience contained the customer."""
