"""Facts, decisions and ledger rows."""

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
    """None if the value sent is not a valid badge id."""
    customer: CustomerId
    event_at: datetime
    valid_until: datetime


Numbers = NDArray[np.int64]


class ConflictingBadges(Struct, frozen=True, eq=False):
    """Earned badges that conflict with new ones, at most one per customer. One array per column."""

    customers: Numbers
    request_keys: Numbers
    lines: Numbers
    valid_from: Numbers
    """As `times.microseconds`, also valid_until."""
    valid_until: Numbers


_NONE = np.empty(0, dtype=np.int64)
NO_CONFLICTS = ConflictingBadges(_NONE, _NONE, _NONE, _NONE, _NONE)


class Holders(Struct, frozen=True, kw_only=True, eq=False):
    """The customers of a request who ever had the badge, from one snapshot of the ledger. One array per
    column.
    """

    customers: Numbers
    last_ordinals: Numbers
    """The highest ordinal that each customer ever had of the badge."""
    totals: Numbers
    """Unrevoked earned badges of each customer."""
    conflicting: ConflictingBadges
    """Unrevoked earned badges that are valid at some time in the new validity; per customer the one that ends
    last.
    """
    counted: Mapping[CustomerId, Sequence[datetime]]
    """Event dates of unrevoked earned badges, ascending, as far as windows per customer need them."""


NO_HOLDERS = Holders(customers=_NONE, last_ordinals=_NONE, totals=_NONE, conflicting=NO_CONFLICTS, counted={})


class EligibilityFacts(Struct, frozen=True, kw_only=True):
    """The stored facts about the customers of a request."""

    enrolled: Mapping[CustomerId, Enrolled] | None = None
    """Customers with an enrolment whose window contains the event. None if the badge needs no enrolment."""
    holders: Holders
    usages: Sequence[LimitUsage] = ()
    """The limits of the badge as a whole, in the order in which they are checked."""


class LedgerRow(NamedTuple):
    """A row to insert into the ledger, if rows differ in badge and validity."""

    customer_id: CustomerId
    request_key: RequestKey
    valid_from: datetime
    valid_until: datetime
    counted_at: datetime | None
    """The event date, if it counts towards a window per customer."""
    badge_key: BadgeKey
    ordinal: int
    line: int


class ErasedRow(NamedTuple):
    """A deleted row of the ledger, as far as counters depend on it."""

    badge_key: BadgeKey
    event_at: datetime
    is_unrevoked: bool


class LedgerColumns(Struct, frozen=True, kw_only=True, eq=False):
    """Rows to insert into the ledger, by column: an array, or one value for all rows."""

    customers: Numbers
    request_keys: Numbers | int
    valid_from: Numbers | int
    """As `times.microseconds`, also valid_until and counted_at."""
    valid_until: Numbers | int
    counted_at: int | None
    badge_keys: Numbers | int
    ordinals: Numbers
    lines: Numbers


class EarnedRows(Struct, frozen=True, eq=False):
    """The customers who earn, in ascending order of customer id. One array per column."""

    customers: Numbers
    ordinals: Numbers
    lines: Numbers

    def __len__(self) -> int:
        return len(self.customers)


class JobSlice(Struct, frozen=True, kw_only=True, eq=False):
    """The customers of one chunk, within a job whose chunks are decided one after the other."""

    lines: Numbers
    """The line in the job for each customer of the chunk."""
    pending: int = 0
    """Customers of earlier chunks who would have earned, if nothing was written for them (dry run)."""


class Decision(Struct, frozen=True, eq=False):
    """The result of rule 8 for all customers of a request."""

    earned: EarnedRows
    failures: list[CustomerFailure]
    """Customers who do not earn, by line."""
