"""Builders: holders written one by one, converted to columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from cockade import times
from cockade.earning.model import ConflictingBadges, Decision, Holders
from cockade.ids import CustomerId, RequestKey


class Standing(Struct, frozen=True, kw_only=True):
    """An earned badge that may conflict with another."""

    request_key: RequestKey
    line: int
    valid_from: datetime
    valid_until: datetime


class Holder(Struct, frozen=True, kw_only=True):
    """A customer who ever had the badge."""

    last_ordinal: int
    standing: Standing | None = None
    total: int = 0
    counted: Sequence[datetime] = ()


class Entry(NamedTuple):
    """A customer who earns."""

    customer_id: CustomerId
    ordinal: int
    line: int


def holders_of(held: Mapping[CustomerId, Holder]) -> Holders:
    """Convert holders to columns."""

    def column(values: Sequence[int]) -> np.ndarray:
        return np.array(values, dtype=np.int64)

    stand = [(customer, holder.standing) for customer, holder in held.items() if holder.standing]
    return Holders(
        customers=column(list(held)),
        last_ordinals=column([holder.last_ordinal for holder in held.values()]),
        totals=column([holder.total for holder in held.values()]),
        conflicting=ConflictingBadges(
            column([customer for customer, _ in stand]),
            column([standing.request_key for _, standing in stand]),
            column([standing.line for _, standing in stand]),
            column([times.microseconds(standing.valid_from) for _, standing in stand]),
            column([times.microseconds(standing.valid_until) for _, standing in stand]),
        ),
        counted={customer: holder.counted for customer, holder in held.items() if holder.counted},
    )


def entries_of(decision: Decision) -> list[Entry]:
    """Return the customers who earn, one by one."""
    entries = decision.earned
    columns = (column.tolist() for column in (entries.customers, entries.ordinals, entries.lines))
    return [
        Entry(CustomerId(customer), ordinal, line) for customer, ordinal, line in zip(*columns, strict=True)
    ]
