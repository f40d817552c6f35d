"""Customer identifiers."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class IdentifierKind(StrEnum):
    """Types of identifiers."""

    EMAIL = "email"
    """Case-insensitive."""
    MOBILE = "mobile"
    EXTERNAL_ID = "externalId"
    CARD_NUMBER = "cardNumber"


class Identifier(Struct, frozen=True):
    """A normalized identifier of a customer, created by `cockade.customer.rules.identifier`."""

    kind: IdentifierKind
    value: str


class IdentifierCounts(Struct, frozen=True, kw_only=True):
    """The result of storing identifiers."""

    created: int
    """New identifiers."""
    updated: int
    """Identifiers that belonged to another customer."""
    unchanged: int
    """Identifiers that belonged to the same customer."""
