"""Types of erasing and merging customers."""

from __future__ import annotations

from msgspec import Struct

from cockade.ids import CustomerId

ERASED_CUSTOMER = CustomerId(0)
"""Replaces an erased customer in the customer lists of requests, so that all other customers keep their
lines.
"""


class CustomerDataResult(Struct, frozen=True, kw_only=True):
    """Numbers of what was erased, or moved to another customer."""

    earned_badges: int
    """Including revoked ones."""
    enrolments: int
    """Including revoked ones."""
    identifiers: int
    requests: int
    """Requests that contained the customer."""
