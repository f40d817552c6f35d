"""Nested transactions: each can be rolled back alone, none is committed alone, and some errors roll back all."""

from __future__ import annotations

import asyncio
import secrets
from contextvars import Context

import pytest

from cockade import clock
from cockade.auth import store
from cockade.errors import CockadeError, NotLive, ServiceBusy, Unavailable
from cockade.storage.database import Database, Tx
from tests.storage.conftest import OpenDatabase
from tests.storage.test_database import GUARD_S, kill, lock, lock_number, orgs_named, pid_of


async def insert(database: Database, name: str, *, error: Exception | None = None) -> None:
    """Insert a row in a transaction, nested or not."""

    async def body(tx: Tx) -> None:
        await store.insert_org(tx, name, "UTC", clock.now())
        if error is not None:
            raise error

    await database.transaction("test.insert", body)


async def test_nested_transactions_are_committed_together(database: Database) -> None:
    name = secrets.token_hex(8)

    async def body(tx: Tx) -> int:
        await insert(database, name)
        await insert(database, name)
        assert database.in_nested
        return await tx.value("select count(*) from org where name = $1", name)

    assert await database.savepoints("test.together", body) == 2
    assert not database.in_nested
    assert await orgs_named(database, name) == 2


async def test_nothing_is_committed_if_the_outer_transaction_fails(database: Database) -> None:
    name = secrets.token_hex(8)

    async def body(_: Tx) -> None:
        await insert(database, name)
        raise NotLive

    with pytest.raises(NotLive):
        await database.savepoints("test.together", body)
    assert await orgs_named(database, name) == 0


async def test_failed_nested_transaction_is_rolled_back_alone_and_releases_its_locks(
    database: Database,
) -> None:
    name, number = secrets.token_hex(8), lock_number()

    async def locking(tx: Tx) -> None:
        await lock(tx, number)
        raise NotLive

    async def body(_: Tx) -> None:
        with pytest.raises(CockadeError):
            await insert(database, f"{name} undone", error=NotLive())
        with pytest.raises(NotLive):
            await database.transaction("test.lock", locking)
        assert await _is_free(database, number)
        await insert(database, name)

    await database.savepoints("test.together", body)
    assert await orgs_named(database, name) == 1
    assert await orgs_named(database, f"{name} undone") == 0


async def _is_free(database: Database, number: int) -> bool:
    """Whether another connection could take the lock."""
    asking = database.transaction(
        "test.try", lambda tx: tx.value("select pg_try_advisory_xact_lock($1)", number)
    )
    return await asyncio.get_running_loop().create_task(asking, context=Context())


async def test_deadlock_in_a_nested_transaction_retries_the_outer_one(database: Database) -> None:
    name, first, second = secrets.token_hex(8), lock_number(), lock_number()
    held = {first: asyncio.Event(), second: asyncio.Event()}
    runs: list[int] = []

    async def both(mine: int, other: int) -> None:
        async def part(tx: Tx) -> None:
            await lock(tx, mine)
            held[mine].set()
            await held[other].wait()
            await lock(tx, other)

        async def body(_: Tx) -> None:
            runs.append(mine)
            await insert(database, name)
            await database.transaction("test.part", part)

        await database.savepoints("test.together", body)

    async with asyncio.timeout(GUARD_S):
        await asyncio.gather(both(first, second), both(second, first))
    assert len(runs) == 3
    assert await orgs_named(database, name) == 2, "once each"


async def test_lost_connection_in_a_nested_transaction_retries_the_outer_one_even_if_caught(
    database: Database,
) -> None:
    """The HTTP layer catches every error to make a response of it."""
    name, runs = secrets.token_hex(8), list[int]()

    async def body(tx: Tx) -> str:
        runs.append(1)
        await insert(database, name)
        if len(runs) == 1:
            pid = await pid_of(tx)
            await asyncio.get_running_loop().create_task(kill(database, pid), context=Context())
        try:
            await insert(database, name)
        except Unavailable:
            return "503"
        return "200"

    assert await database.savepoints("test.together", body) == "200"
    assert len(runs) == 2
    assert await orgs_named(database, name) == 2


async def test_lock_timeout_in_a_nested_transaction_is_busy(
    database: Database, open_database: OpenDatabase
) -> None:
    number, hasty = lock_number(), await open_database(lock_timeout_s=1)
    locked = asyncio.Event()

    async def hold(tx: Tx) -> None:
        await lock(tx, number)
        locked.set()
        await asyncio.sleep(GUARD_S)

    holding = asyncio.create_task(database.transaction("test.hold", hold))
    await locked.wait()
    with pytest.raises(ServiceBusy):
        await hasty.savepoints(
            "test.together", lambda _: hasty.transaction("test.part", lambda tx: lock(tx, number))
        )
    holding.cancel()
