"""What earning asks for and works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from cockade.enrolment.model import Enrolled
from cockade.ids import BadgeId, BadgeKey, CustomerId, RequestKey
from cockade.limit.model import Usage
from cockade.request.model import Refusal


class ImportRow(Struct, frozen=True, kw_only=True):
    """A badge that a customer earned elsewhere."""

    badge_id: BadgeId | None
    """None where the caller sent what cannot be a badge id."""
    customer: CustomerId
    event_at: datetime
    valid_until: datetime


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
    standing: Standing | None = None
    """The unrevoked one valid at some time within the validity asked about: of several, the one that ends last."""
    total: int = 0
    """How many unrevoked ones she has."""
    counted: Sequence[datetime] = ()
    """Event dates of unrevoked ones, ascending, as far as windows per customer can tell them apart."""


class Findings(Struct, frozen=True, kw_only=True):
    """All that the database knows of an audience."""

    enrolled: Mapping[CustomerId, Enrolled] | None = None
    """Who has an enrolment that holds the event; None where the badge needs none."""
    holders: Mapping[CustomerId, Holder]
    usages: Sequence[Usage] = ()
    """The limits of the badge as a whole, in the order in which they are met."""


class LedgerRow(NamedTuple):
    """A row of the ledger about to be written."""

    customer_id: CustomerId
    request_key: RequestKey
    valid_from: datetime
    valid_until: datetime
    counted_at: datetime | None
    """The event date where it counts towards a window per customer."""
    badge_key: BadgeKey
    ordinal: int
    line: int


class Entry(NamedTuple):
    """A customer who earns."""

    customer_id: CustomerId
    ordinal: int
    line: int


class Decision(Struct, frozen=True):
    """What rules made of an audience."""

    entries: list[Entry]
    """Who earns, in ascending order of customer."""
    refusals: list[Refusal]
    """Who does not, by line."""
