"""What rewriting comes to."""

from __future__ import annotations

from msgspec import Struct

from cockade.ids import CustomerId

ERASED_CUSTOMER = CustomerId(0)
"""Stands in an audience where a customer was erased, so that all others keep their lines."""


class CustomerDataResult(Struct, frozen=True, kw_only=True):
    """How much was erased, or has become another customer's."""

    earned_badges: int
    """Revoked ones too."""
    enrolments: int
    """Likewise."""
    identifiers: int
    requests: int
    """Those whose audience named her."""
