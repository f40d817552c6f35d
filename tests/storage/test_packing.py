"""The server reads what we encode, and we decode what it returns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from cockade import times
from cockade.storage.copy_format import Column, pack_array, unpack_array, unpack_numbers
from cockade.storage.database import Database, Tx

SMALLEST, LARGEST = -(2**63), 2**63 - 1
LISTS = [[], [7], [SMALLEST, -1, 0, 1, LARGEST], list(range(1000))]


@pytest.mark.parametrize("numbers", LISTS)
async def test_server_decodes_an_encoded_array_and_we_decode_its_result(
    database: Database, numbers: list[int]
) -> None:
    async def body(tx: Tx) -> None:
        assert await tx.value("select $1::bigint[]", numbers) == numbers
        assert await tx.value("select coalesce(array_length($1::bigint[], 1), 0)", numbers) == len(numbers)
        assert await tx.value("select $1::bigint[]", np.array(numbers, dtype=np.int64)) == numbers

    await database.transaction("test.array", body)
    assert unpack_array(pack_array(numbers)) == numbers


async def test_arrays_use_our_encoder(database: Database) -> None:
    """The driver's own encoder would report a different error for invalid values."""

    async def body(tx: Tx) -> None:
        with pytest.raises(Exception, match="invalid literal"):
            await tx.value("select $1::bigint[]", ["one"])

    await database.transaction("test.array", body)


@pytest.mark.parametrize("numbers", LISTS)
async def test_concatenated_numbers_are_decoded_in_order(database: Database, numbers: list[int]) -> None:
    sql = "select string_agg(int8send(n), '' order by place) from unnest($1::bigint[]) with ordinality as x (n, place)"
    data = await database.transaction("test.numbers", lambda tx: tx.value(sql, numbers))
    assert unpack_numbers(data).tolist() == numbers


@pytest.mark.parametrize(
    "instant",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2999, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
    ],
)
async def test_instants_are_counted_like_the_server_does(database: Database, instant: datetime) -> None:
    data = await database.transaction(
        "test.instant", lambda tx: tx.value("select timestamptz_send($1)", instant)
    )
    assert unpack_numbers(data).tolist() == [times.microseconds(instant)]
    assert times.from_microseconds(times.microseconds(instant)) == instant


async def test_copied_rows_are_stored_as_encoded(database: Database) -> None:
    """Columns with a value per row, one value for all rows, and null, of both sizes."""
    now = datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    customers = np.array([LARGEST, 1, 2], dtype=np.int64)
    columns = [
        Column("customer_id", 8, customers),
        Column("request_key", 8, SMALLEST),
        Column("valid_from", 8, times.microseconds(now)),
        Column("valid_until", 8, times.microseconds(now + timedelta(days=1))),
        Column("counted_at", 8, None),
        Column("badge_key", 4, -5),
        Column("ordinal", 4, np.array([2**31 - 1, 1, 3])),
        Column("line", 4, np.arange(3)),
    ]

    async def body(tx: Tx) -> None:
        await tx.execute("create temp table packed (like earned_badge) on commit drop")
        await tx.copy_columns("packed", columns, 3)
        rows = await tx.rows(
            "select customer_id, request_key, valid_from, valid_until, counted_at, badge_key, ordinal, line from packed"
        )
        shared = (SMALLEST, now, now + timedelta(days=1), None, -5)
        assert [tuple(row) for row in rows] == [
            (LARGEST, *shared, 2**31 - 1, 0),
            (1, *shared, 1, 1),
            (2, *shared, 3, 2),
        ]

    await database.transaction("test.rows", body)
