"""One typed function per statement on enrolments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from cockade.enrolment.model import Enrolled, Enrollee
from cockade.ids import BadgeKey, CustomerId, RequestKey
from cockade.storage.copy_format import Column
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load
from cockade.times import microseconds

SQL = load(__package__)

Place = tuple[CustomerId, RequestKey, int]
"""Customer, request key and line: an enrolment in the ledger."""


async def find_enrollees(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], valid_from: datetime, valid_until: datetime
) -> dict[CustomerId, Enrollee]:
    """Return the customers who were ever enrolled, with what overlaps `[valid_from, valid_until)`."""
    rows = await tx.rows(SQL["find_enrollees"], badge_key, customers, valid_from, valid_until)
    return {
        row[0]: Enrollee(
            last_ordinal=row[1],
            standing=Enrolled(request_key=row[3], line=row[4], valid_until=row[5]) if row[2] else None,
        )
        for row in rows
    }


async def find_holding(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], event_at: datetime
) -> dict[CustomerId, Enrolled]:
    """Return the customers with an enrolment whose window contains the event; of several the one that ends
    last.
    """
    rows = await tx.rows(SQL["find_holding"], badge_key, customers, event_at)
    return {row[0]: Enrolled(request_key=row[1], line=row[2], valid_until=row[3]) for row in rows}


async def insert(
    tx: Tx,
    badge_key: BadgeKey,
    request_key: RequestKey,
    valid_from: datetime,
    valid_until: datetime,
    entries: Sequence[tuple[CustomerId, int, int]],
) -> None:
    """Insert enrolments, which must be in ascending order of customer, so that two transactions cannot
    deadlock.

    Raises DuplicateRow if a concurrent request has enrolled one of the customers since they were read.
    """
    customers, ordinals, lines = np.array(entries, dtype=np.int64).T
    columns = [
        Column("customer_id", 8, customers),
        Column("request_key", 8, request_key),
        Column("valid_from", 8, microseconds(valid_from)),
        Column("valid_until", 8, microseconds(valid_until)),
        Column("badge_key", 4, badge_key),
        Column("ordinal", 4, ordinals),
        Column("line", 4, lines),
    ]
    await tx.copy_columns("enrolment", columns, len(entries))


async def revoke_all(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], now: datetime
) -> list[Place]:
    """Revoke all active enrolments of the customers, and return them."""
    return _places(await tx.rows(SQL["revoke_all"], badge_key, customers, now))


async def revoke_some(tx: Tx, badge_key: BadgeKey, places: Sequence[Place], now: datetime) -> list[Place]:
    """Revoke these enrolments if they are active, and return the revoked ones."""
    rows = await tx.rows(
        SQL["revoke_some"],
        badge_key,
        [customer for customer, _, _ in places],
        [request_key for _, request_key, _ in places],
        [line for _, _, line in places],
        now,
    )
    return _places(rows)


async def count_lines(
    tx: Tx,
    request_key: RequestKey,
    badge_keys: Sequence[BadgeKey],
    customers: Sequence[CustomerId],
    lines: Sequence[int],
) -> tuple[int, int]:
    """Return how many of these lines of the request exist, and how many of them are unrevoked."""
    row = await tx.row(SQL["count_lines"], request_key, badge_keys, customers, lines)
    assert row is not None
    return row[0], row[1]


async def revoke_lines(
    tx: Tx,
    request_key: RequestKey,
    badge_keys: Sequence[BadgeKey],
    customers: Sequence[CustomerId],
    lines: Sequence[int],
    now: datetime,
) -> dict[BadgeKey, list[tuple[CustomerId, int]]]:
    """Revoke these lines of the request. Return the revoked (customer, line) pairs by badge."""
    rows = await tx.rows(SQL["revoke_lines"], request_key, badge_keys, customers, lines, now)
    return {BadgeKey(row[0]): list(zip(row[1], row[2], strict=True)) for row in rows}


def _places(rows: list[Row]) -> list[Place]:
    return [(CustomerId(row[0]), RequestKey(row[1]), row[2]) for row in rows]


async def erase(tx: Tx, badge_keys: Sequence[BadgeKey], customer: CustomerId) -> list[tuple[BadgeKey, bool]]:
    """Delete all enrolments of the customer in these badges, whose exclusive locks are held. Return for each
    its badge and whether it was unrevoked.
    """
    rows = await tx.rows(SQL["erase"], badge_keys, customer)
    return [(BadgeKey(row[0]), row[1]) for row in rows]


async def move(tx: Tx, badge_keys: Sequence[BadgeKey], customer: CustomerId, into: CustomerId) -> int:
    """Move all enrolments of the customer in these badges, whose exclusive locks are held. Return how many."""
    return len(await tx.rows(SQL["move"], badge_keys, customer, into))
