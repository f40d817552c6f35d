"""One typed function per statement on the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import numpy as np

from cockade.earning.model import (
    NO_CONFLICTS,
    NO_HOLDERS,
    ConflictingBadges,
    ErasedRow,
    Holders,
    LedgerColumns,
    LedgerRow,
    Numbers,
)
from cockade.ids import BadgeKey, CustomerId, RequestKey
from cockade.storage.copy_format import Column, unpack_numbers
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load
from cockade.times import from_microseconds, microseconds

SQL = load(__package__)

Lookback = tuple[datetime, datetime] | None
"""The half-open range of event dates that windows per customer need. None if there are no windows."""


async def find_holders(
    tx: Tx,
    badge_key: BadgeKey,
    customers: Sequence[CustomerId],
    valid_from: datetime,
    valid_until: datetime,
    lookback: Lookback,
) -> Holders:
    """Return the customers who ever had the badge, with conflicts in `[valid_from, valid_until)`.

    Reads all their rows of this badge.
    """
    opens, closes = lookback or (None, None)
    row = await tx.row(SQL["find_holders"], badge_key, customers, valid_from, valid_until, opens, closes)
    assert row is not None
    return Holders(
        customers=unpack_numbers(row[0]),
        last_ordinals=unpack_numbers(row[1], 4),
        totals=unpack_numbers(row[2]),
        conflicting=ConflictingBadges(
            unpack_numbers(row[3]),
            unpack_numbers(row[4]),
            unpack_numbers(row[5], 4),
            unpack_numbers(row[6]),
            unpack_numbers(row[7]),
        ),
        counted=_counted(row[8], row[9]),
    )


async def find_last_ordinals(
    tx: Tx, badge_key: BadgeKey, customers: Sequence[CustomerId], lookback: Lookback
) -> Holders:
    """As find_holders, but only ordinals and event dates for windows. Reads few rows per customer."""
    opens, closes = lookback or (None, None)
    row = await tx.row(SQL["find_last_ordinals"], badge_key, customers, opens, closes)
    assert row is not None
    found = unpack_numbers(row[0])
    return Holders(
        customers=found,
        last_ordinals=unpack_numbers(row[1], 4),
        totals=np.zeros_like(found),
        conflicting=NO_CONFLICTS,
        counted=_counted(row[2], row[3]),
    )


def _counted(customers: bytes | None, at: bytes | None) -> dict[CustomerId, list[datetime]]:
    counted: dict[CustomerId, list[datetime]] = {}
    for customer, instant in zip(
        unpack_numbers(customers).tolist(), unpack_numbers(at).tolist(), strict=True
    ):
        counted.setdefault(customer, []).append(from_microseconds(instant))
    return counted


async def find_last_ordinals_of_many(
    tx: Tx, pairs: Collection[tuple[BadgeKey, CustomerId]]
) -> dict[tuple[BadgeKey, CustomerId], int]:
    """Return the highest ordinal of each customer that ever had the badge."""
    rows = await tx.rows(
        SQL["find_last_ordinals_of_many"],
        [badge_key for badge_key, _ in pairs],
        [customer for _, customer in pairs],
    )
    return {(BadgeKey(row[0]), CustomerId(row[1])): row[2] for row in rows}


async def find_holders_of_many(
    tx: Tx, wanted: Sequence[tuple[BadgeKey, Sequence[CustomerId], datetime, datetime]]
) -> list[Holders]:
    """As find_holders, for several badges, customers and validities; without counts and windows."""
    if not wanted:
        return []
    sizes = [len(customers) for _, customers, _, _ in wanted]
    rows = await tx.rows(
        SQL["find_holders_of_many"],
        [badge_key for (badge_key, *_), size in zip(wanted, sizes, strict=True) for _ in range(size)],
        [customer for _, customers, _, _ in wanted for customer in customers],
        [valid_from for (*_, valid_from, _), size in zip(wanted, sizes, strict=True) for _ in range(size)],
        [valid_until for (*_, valid_until), size in zip(wanted, sizes, strict=True) for _ in range(size)],
        [index for index, size in enumerate(sizes) for _ in range(size)],
    )
    by_index: dict[int, list[Row]] = {}
    for row in rows:
        by_index.setdefault(row[0], []).append(row)
    return [_holders(by_index[index]) if index in by_index else NO_HOLDERS for index in range(len(wanted))]


def _holders(rows: Sequence[Row]) -> Holders:
    """Build the holders of one request from its rows of `find_holders_of_many`."""
    conflicts = [row for row in rows if row[3] is not None]
    return Holders(
        customers=_numbers(row[1] for row in rows),
        last_ordinals=_numbers(row[2] for row in rows),
        totals=np.zeros(len(rows), dtype=np.int64),
        conflicting=ConflictingBadges(
            _numbers(row[1] for row in conflicts),
            _numbers(row[3] for row in conflicts),
            _numbers(row[4] for row in conflicts),
            _numbers(microseconds(row[5]) for row in conflicts),
            _numbers(microseconds(row[6]) for row in conflicts),
        ),
        counted={},
    )


def _numbers(values: Iterable[int]) -> Numbers:
    return np.fromiter(values, dtype=np.int64)


async def insert(tx: Tx, rows: LedgerColumns) -> None:
    """Insert rows in ascending order of badge, customer and ordinal, so that two transactions cannot
    deadlock.

    Raises DuplicateRow if a concurrent request has issued to one of the customers since the holders were
    read.
    """
    columns = [
        Column("customer_id", 8, rows.customers),
        Column("request_key", 8, rows.request_keys),
        Column("valid_from", 8, rows.valid_from),
        Column("valid_until", 8, rows.valid_until),
        Column("counted_at", 8, rows.counted_at),
        Column("badge_key", 4, rows.badge_keys),
        Column("ordinal", 4, rows.ordinals),
        Column("line", 4, rows.lines),
    ]
    await tx.copy_columns("earned_badge", columns, len(rows.customers))


async def insert_rows(tx: Tx, rows: Sequence[LedgerRow]) -> None:
    """As insert, for rows that differ in badge and validity."""
    await tx.copy_records("earned_badge", LedgerRow._fields, rows)


async def revoke(
    tx: Tx, badge_key: BadgeKey, customer: CustomerId, entry: tuple[RequestKey, int], now: datetime
) -> datetime | None:
    """Revoke one earned badge that has not expired. Return its event date, or None if there is none."""
    return await tx.value(SQL["revoke"], badge_key, customer, *entry, now)


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
) -> dict[tuple[BadgeKey, datetime], list[tuple[CustomerId, int]]]:
    """Revoke these lines of the request. Return the revoked (customer, line) pairs by badge and event date."""
    rows = await tx.rows(SQL["revoke_lines"], request_key, badge_keys, customers, lines, now)
    return {(BadgeKey(row[0]), row[1]): list(zip(row[2], row[3], strict=True)) for row in rows}


async def mark_counted(tx: Tx, badge_key: BadgeKey) -> None:
    """Count all unrevoked earned badges of the badge towards windows per customer."""
    await tx.execute(SQL["mark_counted"], badge_key)


async def erase(tx: Tx, badge_keys: Sequence[BadgeKey], customer: CustomerId) -> list[ErasedRow]:
    """Delete all rows of the customer for these badges, whose exclusive locks are held."""
    return [ErasedRow(*row) for row in await tx.rows(SQL["erase"], badge_keys, customer)]


async def move(tx: Tx, badge_keys: Sequence[BadgeKey], customer: CustomerId, replacement: CustomerId) -> int:
    """Move all rows of the customer for these badges, whose exclusive locks are held. Return how many."""
    return len(await tx.rows(SQL["move"], badge_keys, customer, replacement))
