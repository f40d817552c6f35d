"""What earning asks for and works with."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from cockade.ids import BadgeId, CustomerId, RequestKey
from cockade.request.model import OwnerType, Refusal


class EarnBulk(Struct, frozen=True, kw_only=True):
    """One call that issues a badge to many customers."""

    request_id: str
    badge_id: BadgeId | None
    """None where the caller sent what cannot be a badge id."""
    customers: list[CustomerId]
    """Distinct, in the order sent."""
    event_at: datetime | None
    """When the customers did what earned it; None means now."""
    owner_type: OwnerType
    reference_id: str


class Standing(Struct, frozen=True, kw_only=True):
    """An earned badge that may stand in the way of another."""

    request_key: RequestKey
    line: int
    valid_from: datetime
    valid_until: datetime


class Holder(Struct, frozen=True, kw_only=True):
    """A customer who ever had the badge, as the ledger stood when it was read."""

    last_ordinal: int
    """The highest ordinal that she ever had of it."""
    standing: Standing | None
    """The unrevoked one valid at some time within the validity asked about: of several, the one that ends last."""


class Entry(Struct, frozen=True, array_like=True):
    """One line of the ledger about to be written."""

    customer_id: CustomerId
    ordinal: int
    line: int


class Decision(Struct, frozen=True):
    """What rules made of an audience."""

    entries: list[Entry]
    """Who earns, in ascending order of customer."""
    refusals: list[Refusal]
    """Who does not, by line."""
