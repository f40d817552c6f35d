"""What an identifier is."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class IdentifierKind(StrEnum):
    """What else a customer may be named by."""

    EMAIL = "email"
    """Upper and lower case are the same."""
    MOBILE = "mobile"
    EXTERNAL_ID = "externalId"
    CARD_NUMBER = "cardNumber"


class Identifier(Struct, frozen=True):
    """A name of one customer, in its normal form: made by `cockade.customer.rules.identifier`."""

    kind: IdentifierKind
    value: str


class IdentifierCounts(Struct, frozen=True, kw_only=True):
    """What became of the identifiers of one call."""

    created: int
    """Nobody had them before."""
    updated: int
    """Another customer had them."""
    unchanged: int
    """The same customer has them."""
