"""Transactions on a real server: what is retried, what is given up, and that nothing is kept partially."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

import asyncpg
import pytest
from asyncpg import exceptions as pg

from cockade import clock
from cockade.auth import store
from cockade.errors import OutcomeUnknown, SetupError, Unavailable
from cockade.ids import BadgeId
from cockade.metrics import retries
from cockade.storage.database import (
    ATTEMPTS_MAX,
    COMMIT_S_MAX,
    READY_S_MAX,
    Connection,
    Database,
    DuplicateRow,
    Tx,
    check_server,
    connect,
)
from tests.storage.conftest import OpenDatabase
from tests.storage.proxy import Proxy
from tests.support import Org

GUARD_S = 30
"""Upper bound for each test: a hang is a failure."""


def lock_number() -> int:
    """An advisory lock that no other test uses."""
    return secrets.randbits(62)


async def lock(tx: Tx, number: int) -> None:
    await tx.execute("select pg_advisory_xact_lock($1)", number)


async def kill(database: Database, pid: int) -> None:
    """Terminate a server process."""
    await database.transaction("test.kill", lambda tx: tx.value("select pg_terminate_backend($1, 5000)", pid))


async def pid_of(tx: Tx) -> int:
    return await tx.value("select pg_backend_pid()")


async def orgs_named(database: Database, name: str) -> int:
    return await database.transaction(
        "test.count", lambda tx: tx.value("select count(*) from org where name = $1", name)
    )


def retried(name: str, cause: type[Exception]) -> float:
    return retries.labels(name, cause.__name__)._value.get()


async def test_deadlock_is_resolved_by_retrying_one_transaction(database: Database) -> None:
    first, second = lock_number(), lock_number()
    held = {first: asyncio.Event(), second: asyncio.Event()}
    runs: list[int] = []

    async def both(tx: Tx, mine: int, other: int) -> int:
        runs.append(mine)
        await lock(tx, mine)
        held[mine].set()
        await held[other].wait()
        await lock(tx, other)
        return mine

    before = retried("test.deadlock", pg.DeadlockDetectedError)
    async with asyncio.timeout(GUARD_S):
        done = await asyncio.gather(
            database.transaction("test.deadlock", lambda tx: both(tx, first, second)),
            database.transaction("test.deadlock", lambda tx: both(tx, second, first)),
        )
    assert done == [first, second]
    assert len(runs) == 3
    assert retried("test.deadlock", pg.DeadlockDetectedError) == before + 1


async def test_serialization_failure_is_retried(database: Database, org: Org) -> None:
    runs: list[str] = []

    async def rename(tx: Tx) -> None:
        await tx.execute("set transaction isolation level repeatable read")
        runs.append(await tx.value("select name from org where org_id = $1", org.caller.org_id))
        if len(runs) == 1:
            await database.transaction(
                "test.meddle",
                lambda other: other.execute("update org set name = 'b' where org_id = $1", org.caller.org_id),
            )
        await tx.execute("update org set name = name || 'c' where org_id = $1", org.caller.org_id)

    await database.transaction("test.serialization", rename)
    assert len(runs) == 2
    assert runs[1] == "b"
    assert await orgs_named(database, "bc") >= 1


async def test_lock_timeout_is_unavailable_and_not_retried(
    database: Database, open_database: OpenDatabase
) -> None:
    number = lock_number()
    impatient = await open_database(lock_timeout_s=1)
    runs: list[int] = []

    async def wait_for_it(tx: Tx) -> None:
        runs.append(1)
        await lock(tx, number)

    async def hold(tx: Tx) -> None:
        await lock(tx, number)
        async with asyncio.timeout(GUARD_S):
            with pytest.raises(Unavailable) as caught:
                await impatient.transaction("test.wait", wait_for_it)
        assert isinstance(caught.value.__cause__, pg.LockNotAvailableError)

    await database.transaction("test.hold", hold)
    assert runs == [1]
    await impatient.transaction("test.wait", wait_for_it)


async def test_statement_timeout_is_unavailable(open_database: OpenDatabase) -> None:
    impatient = await open_database(statement_timeout_s=1, pool_size=1)
    with pytest.raises(Unavailable) as caught:
        await impatient.transaction("test.slow", lambda tx: tx.execute("select pg_sleep(30)"))
    assert isinstance(caught.value.__cause__, pg.QueryCanceledError)
    assert await impatient.transaction("test.quick", lambda tx: tx.value("select 1")) == 1


async def test_transaction_of_a_killed_connection_is_retried_and_kept_once(
    database: Database,
) -> None:
    name, runs = secrets.token_hex(8), []

    async def body(tx: Tx) -> None:
        runs.append(1)
        await store.insert_org(tx, name, "UTC", clock.now())
        if len(runs) == 1:
            await kill(database, await pid_of(tx))
        await tx.execute("select 1")

    await database.transaction("test.killed", body)
    assert len(runs) == 2
    assert await orgs_named(database, name) == 1


async def test_killed_idle_connection_is_replaced(database: Database, open_database: OpenDatabase) -> None:
    single = await open_database(pool_size=1)
    for _ in range(3):
        await kill(database, await single.transaction("test.pid", pid_of))
        assert await single.transaction("test.next", lambda tx: tx.value("select 1")) == 1


async def test_connection_killed_at_every_attempt_is_unavailable(database: Database) -> None:
    runs: list[int] = []

    async def body(tx: Tx) -> None:
        runs.append(1)
        await kill(database, await pid_of(tx))
        await tx.execute("select 1")

    with pytest.raises(Unavailable) as caught:
        await database.transaction("test.always", body)
    assert type(caught.value) is Unavailable
    assert len(runs) == ATTEMPTS_MAX


async def test_error_in_the_body_is_raised_and_rolled_back(open_database: OpenDatabase) -> None:
    single, name = await open_database(pool_size=1), secrets.token_hex(8)

    async def body(tx: Tx) -> None:
        await store.insert_org(tx, name, "UTC", clock.now())
        raise LookupError(name)

    with pytest.raises(LookupError, match=name):
        await single.transaction("test.error", body)
    assert await orgs_named(single, name) == 0


async def test_error_in_the_body_is_raised_if_the_connection_is_lost_too(
    database: Database, open_database: OpenDatabase
) -> None:
    single = await open_database(pool_size=1)

    async def body(tx: Tx) -> None:
        await kill(database, await pid_of(tx))
        with suppress(pg.PostgresConnectionError, pg.AdminShutdownError, pg.InterfaceError):
            await tx.execute("select 1")
        raise LookupError("decided before it broke")

    with pytest.raises(LookupError, match="decided before it broke"):
        await single.transaction("test.error", body)
    assert await single.transaction("test.next", lambda tx: tx.value("select 1")) == 1


async def test_invalid_statement_is_not_retried(database: Database) -> None:
    runs: list[int] = []

    async def body(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("select no_such_column")

    with pytest.raises(pg.UndefinedColumnError):
        await database.transaction("test.wrong", body)
    assert runs == [1]


async def test_value_that_cannot_be_encoded_is_not_retried(database: Database) -> None:
    runs: list[int] = []

    async def body(tx: Tx) -> None:
        runs.append(1)
        await tx.value("select $1::integer", 2**40)

    with pytest.raises(asyncpg.DataError):
        await database.transaction("test.value", body)
    assert runs == [1]


async def test_cancelled_request_keeps_nothing_and_returns_its_connection(
    database: Database, open_database: OpenDatabase
) -> None:
    single, name = await open_database(pool_size=1), secrets.token_hex(8)
    inserted = asyncio.Event()

    async def body(tx: Tx) -> None:
        await store.insert_org(tx, name, "UTC", clock.now())
        inserted.set()
        await tx.execute("select pg_sleep(60)")

    task = asyncio.create_task(single.transaction("test.cancelled", body))
    await inserted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(GUARD_S):
        assert await orgs_named(single, name) == 0
    assert await orgs_named(database, name) == 0


async def test_exhausted_pool_is_unavailable(open_database: OpenDatabase) -> None:
    single = await open_database(pool_size=1, pool_timeout_s=1)

    async def hold(_: Tx) -> None:
        async with asyncio.timeout(GUARD_S):
            with pytest.raises(Unavailable):
                await single.transaction("test.second", lambda tx: tx.value("select 1"))

    await single.transaction("test.first", hold)
    assert await single.transaction("test.third", lambda tx: tx.value("select 1")) == 1


async def test_unresponsive_database_times_out(open_database: OpenDatabase, proxy: Proxy) -> None:
    """Connections stay open without a response, as with a stopped server."""
    quiet = await open_database(url=proxy.url, request_timeout_s=3)
    clock_s = asyncio.get_running_loop().time

    async def body(tx: Tx) -> None:
        proxy.fall_silent()
        await tx.execute("select 1")

    for attempt in (body, lambda tx: tx.execute("select 1")):
        started_s = clock_s()
        with pytest.raises(Unavailable) as caught:
            await quiet.transaction("test.silent", attempt)
        assert type(caught.value) is not OutcomeUnknown
        assert clock_s() - started_s < 3.5
    started_s = clock_s()
    with pytest.raises(Unavailable):
        await quiet.require_ready()
    assert clock_s() - started_s < READY_S_MAX + 0.5
    proxy.hear_again()
    assert await quiet.transaction("test.again", lambda tx: tx.value("select 1")) == 1
    await quiet.require_ready()


async def test_unresponsive_database_does_not_prevent_closing(
    open_database: OpenDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cockade.storage.database.CLOSE_S_MAX", 1)
    quiet = await open_database(url=proxy.url)
    await quiet.transaction("test.first", lambda tx: tx.value("select 1"))
    proxy.fall_silent()
    async with asyncio.timeout(2):
        await quiet.close()


async def test_unacknowledged_commit_times_out_with_unknown_outcome(
    open_database: OpenDatabase, proxy: Proxy
) -> None:
    quiet = await open_database(url=proxy.url, request_timeout_s=3)

    async def body(tx: Tx) -> None:
        await tx.execute("select 1")
        asyncio.get_running_loop().call_soon(proxy.fall_silent)

    async with asyncio.timeout(COMMIT_S_MAX + 1):
        with pytest.raises(OutcomeUnknown):
            await quiet.transaction("test.silent", body)
    proxy.hear_again()
    assert await quiet.transaction("test.again", lambda tx: tx.value("select 1")) == 1


async def test_transactions_of_one_request_share_its_time(open_database: OpenDatabase) -> None:
    database = await open_database(request_timeout_s=4)
    async with asyncio.timeout(GUARD_S):
        with database.request_time_budget():
            await database.transaction("test.first", lambda tx: tx.execute("select pg_sleep(1.5)"))
            with pytest.raises(Unavailable):
                await database.transaction("test.second", lambda tx: tx.execute("select pg_sleep(1.5)"))
        await database.transaction("test.third", lambda tx: tx.execute("select pg_sleep(1.5)"))


@pytest.mark.parametrize(
    "url",
    ["postgresql://nobody@127.0.0.1:1/none", "postgresql:///none?host=/nowhere"],
)
async def test_unreachable_database_is_unavailable(open_database: OpenDatabase, url: str) -> None:
    absent = await open_database(url=url)
    with pytest.raises(Unavailable):
        await absent.transaction("test.absent", lambda tx: tx.value("select 1"))
    with pytest.raises(Unavailable):
        await absent.require_ready()
    with pytest.raises(SetupError, match="COCKADE_DATABASE_URL"):
        await connect(url)


async def test_missing_database_is_unavailable(open_database: OpenDatabase, database_url: str) -> None:
    base, _, query = database_url.partition("?")
    absent = await open_database(url=f"{base.rpartition('/')[0]}/{secrets.token_hex(6)}?{query}")
    with pytest.raises(Unavailable):
        await absent.transaction("test.absent", lambda tx: tx.value("select 1"))


async def test_duplicate_row_is_reported_by_its_constraint(database: Database, org: Org) -> None:
    columns = ("badge_key", "customer_id", "ordinal", "request_key", "valid_from", "valid_until", "line")
    now = clock.now()
    badge = await org.services.badges.get(org.caller, BadgeId(await org.make_badge()))
    row = (badge.badge_key, 1, 1, 1, now, now, 0)

    async def body(tx: Tx) -> None:
        await tx.copy_records("earned_badge", columns, [row, row])

    with pytest.raises(DuplicateRow) as caught:
        await database.transaction("test.copy", body)
    assert caught.value.constraint == "earned_badge_pkey"
    await database.transaction("test.empty", lambda tx: tx.copy_records("earned_badge", columns, []))


async def test_a_session_has_our_settings_whatever_the_server_has(open_database: OpenDatabase) -> None:
    database = await open_database(statement_timeout_s=7, lock_timeout_s=3)

    async def shown(tx: Tx) -> list[str]:
        return [
            await tx.value("select current_setting($1)", name)
            for name in ("statement_timeout", "lock_timeout", "TimeZone", "transaction_isolation")
        ]

    assert await database.transaction("test.settings", shown) == ["7s", "3s", "UTC", "read committed"]


async def test_unsafe_server_settings_cause_a_warning(
    connection: Connection,
) -> None:
    await connection.execute("set synchronous_commit = on")
    sound = await check_server(connection)
    await connection.execute("set synchronous_commit = off")
    warned = await check_server(connection)
    assert [warning for warning in warned if warning not in sound] == [
        "synchronous_commit is off: acknowledged issuances can be lost in a crash. Turn it on."
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("json", b'{"a": [1, 2.50, null, "\\u0000"], "a": "twice"}'),
        ("json", b"null"),
        ("json", '"süß 🧦"'.encode()),
        ("json", b"123456789012345678901234567890"),
        ("jsonb", b'{"a": [1, null]}'),
        ("jsonb", '"süß 🧦"'.encode()),
        ("text", "süß 🧦 e\u0301 \u202e \x01 \ufffe"),
        ("text", ""),
        ("text", "'; drop table badge; --"),
        ("text", "x" * 1_000_000),
        ("bigint[]", [1, 2**63 - 1, -(2**63)]),
        ("bigint[]", []),
        ("text[]", ["", "a,b", '"']),
    ],
)
async def test_values_come_back_as_they_were_sent(database: Database, kind: str, value: object) -> None:
    sent = await database.transaction("test.round_trip", lambda tx: tx.value(f"select $1::{kind}", value))
    assert sent == value
    assert await database.transaction("test.null", lambda tx: tx.value(f"select $1::{kind}", None)) is None
