"""What earning asks for and works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cockade.enrolment.model import Enrolled
from cockade.ids import BadgeId, BadgeKey, CustomerId, RequestKey
from cockade.limit.model import LimitUsage
from cockade.request.model import CustomerFailure


class ImportRow(Struct, frozen=True, kw_only=True):
    """A badge that a customer earned elsewhere."""

    badge_id: BadgeId | None
    """None where the caller sent what cannot be a badge id."""
    customer: CustomerId
    event_at: datetime
    valid_until: datetime


Numbers = NDArray[np.int64]


class ConflictingBadges(Struct, frozen=True, eq=False):
    """Earned badges that may stand in the way of others, one of each customer, column by column."""

    customers: Numbers
    request_keys: Numbers
    lines: Numbers
    valid_from: Numbers
    """As `times.microseconds`, and so the next."""
    valid_until: Numbers


_NONE = np.empty(0, dtype=np.int64)
NO_CONFLICTS = ConflictingBadges(_NONE, _NONE, _NONE, _NONE, _NONE)


class Holders(Struct, frozen=True, kw_only=True, eq=False):
    """Those of an audience who ever had the badge, as the ledger stood when it was read, column by column."""

    customers: Numbers
    last_ordinals: Numbers
    """The highest ordinal that each ever had of it."""
    totals: Numbers
    """How many unrevoked ones each has."""
    conflicting: ConflictingBadges
    """The unrevoked ones valid at some time within the validity asked about: of several of hers, the one that ends last."""
    counted: Mapping[CustomerId, Sequence[datetime]]
    """Event dates of unrevoked ones, ascending, as far as windows per customer can tell them apart."""


NO_HOLDERS = Holders(customers=_NONE, last_ordinals=_NONE, totals=_NONE, conflicting=NO_CONFLICTS, counted={})


class EligibilityFacts(Struct, frozen=True, kw_only=True):
    """All that the database knows of an audience."""

    enrolled: Mapping[CustomerId, Enrolled] | None = None
    """Who has an enrolment that holds the event; None where the badge needs none."""
    holders: Holders
    usages: Sequence[LimitUsage] = ()
    """The limits of the badge as a whole, in the order in which they are met."""


class LedgerRow(NamedTuple):
    """A row of the ledger about to be written, where each is of its own badge and validity."""

    customer_id: CustomerId
    request_key: RequestKey
    valid_from: datetime
    valid_until: datetime
    counted_at: datetime | None
    """The event date where it counts towards a window per customer."""
    badge_key: BadgeKey
    ordinal: int
    line: int


class ErasedRow(NamedTuple):
    """A row of the ledger that was deleted, as far as something was counted by it."""

    badge_key: BadgeKey
    event_at: datetime
    is_unrevoked: bool


class LedgerColumns(Struct, frozen=True, kw_only=True, eq=False):
    """The same by columns: one number for each row, or one for all of them."""

    customers: Numbers
    request_keys: Numbers | int
    valid_from: Numbers | int
    """As `times.microseconds`, and so the next two."""
    valid_until: Numbers | int
    counted_at: int | None
    badge_keys: Numbers | int
    ordinals: Numbers
    lines: Numbers


class EarnedRows(Struct, frozen=True, eq=False):
    """Those who earn, column by column, in ascending order of customer."""

    customers: Numbers
    ordinals: Numbers
    lines: Numbers

    def __len__(self) -> int:
        return len(self.customers)


class JobSlice(Struct, frozen=True, kw_only=True, eq=False):
    """What a request is of something larger, whose parts are decided one after the other."""

    lines: Numbers
    """Where each of its customers stands in the whole."""
    pending: int = 0
    """How many would have earned in the parts before, where nothing was written of them."""


class Decision(Struct, frozen=True, eq=False):
    """What rules made of an audience."""

    earned: EarnedRows
    failures: list[CustomerFailure]
    """Who does not earn, by line."""
