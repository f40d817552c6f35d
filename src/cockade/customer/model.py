"""Types of customer identifiers."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class IdentifierKind(StrEnum):
    """Kinds of identifiers."""

    EMAIL = "email"
    """Case-insensitive."""
    MOBILE = "mobile"
    EXTERNAL_ID = "externalId"
    CARD_NUMBER = "cardNumber"


class Identifier(Struct, frozen=True):
    """A normalized identifier of one customer. Create it with `cockade.customer.rules.identifier`."""

    kind: IdentifierKind
    value: str


class IdentifierCounts(Struct, frozen=True, kw_only=True):
    """Results of storing identifiers."""

    created: int
    """The identifier was new."""
    updated: int
    """The identifier belonged to another customer."""
    unchanged: int
    """The identifier already belonged to this customer."""
