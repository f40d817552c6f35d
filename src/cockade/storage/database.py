"""The connection pool and named transactions.

Every use case is one `await db.transaction("badge.claim", body)`. Isolation is READ COMMITTED: each statement sees
what was committed before it began. The body may run more than once: it touches nothing but the database.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import asyncpg
import structlog
from asyncpg import exceptions as pg
from asyncpg.pool import PoolConnectionProxy

from cockade import metrics
from cockade.config import Config
from cockade.errors import OutcomeUnknown, ServiceBusy, SetupError, Unavailable
from cockade.storage.connection import Connection
from cockade.storage.copy_format import INT8_ARRAY_OID, Column, pack_array, pack_rows, unpack_array
from cockade.storage.migrate import require_migrated
from cockade.worker import TaskHandler

T = TypeVar("T")
Row = Sequence[Any]
Body = Callable[["Tx"], Awaitable[T]]

ATTEMPTS_MAX = 5
BACKOFF_S = 0.02
CONNECT_TIMEOUT_S = 5.0
ROLLBACK_TIMEOUT_S = 2.0
COMMIT_S_MAX = 5.0
"""How long an answer to COMMIT is waited for, so that there is time left to ask what became of it."""
COMMIT_S_MIN = 1.0
"""What it gets even where the call's time is up: sending it and not listening would be the worst of all."""
CLOSE_S_MAX = 5.0
READY_S_MAX = 3.0
"""How long a load balancer is kept waiting; it would take silence for an answer soon."""
SERVER_VERSION_MIN = 150000
MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")

log = structlog.get_logger()

# The server has undone everything and says so: running the transaction again is safe.
ROLLED_BACK = (pg.SerializationError, pg.DeadlockDetectedError)
# The connection broke. Before COMMIT was sent that proves a rollback; after it, nothing is proved.
CONNECTION_LOST = (
    OSError,
    pg.PostgresConnectionError,
    pg.InterfaceError,
    pg.InternalClientError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.IdleInTransactionSessionTimeoutError,
)
# The database is there but cannot serve this call now.
BUSY = (
    TimeoutError,
    pg.LockNotAvailableError,
    pg.QueryCanceledError,
    pg.TooManyConnectionsError,
    pg.CannotConnectNowError,
    pg.InsufficientResourcesError,
    pg.ReadOnlySQLTransactionError,
)


# … because of other callers, not of its own state.
WAITED = (pg.LockNotAvailableError, pg.TooManyConnectionsError)

# The database does not let us in at all.
REFUSED = (pg.InvalidCatalogNameError, pg.InvalidAuthorizationSpecificationError)


class _TimeBudget:
    """The time that a call may still spend on the database."""

    def __init__(self, left_s: float) -> None:
        self.left_s = left_s


_time_budget: ContextVar[_TimeBudget | None] = ContextVar("budget", default=None)
_nested: ContextVar[_NestedTransactions | None] = ContextVar("whole", default=None)


class Tx:
    """One running transaction. Everything below a service's public function takes it as `tx`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def row(self, sql: str, *values: object) -> Row | None:
        """The first row of the answer, or None."""
        return cast("Row | None", await self._connection.fetchrow(sql, *values))

    async def rows(self, sql: str, *values: object) -> list[Row]:
        """All rows of the answer."""
        return cast("list[Row]", await self._connection.fetch(sql, *values))

    async def value(self, sql: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        return await self._connection.fetchval(sql, *values)

    async def execute(self, sql: str, *values: object) -> None:
        """Run a statement whose answer is not needed."""
        await self._connection.execute(sql, *values)

    async def copy_columns(self, table: str, columns: Sequence[Column], count: int) -> None:
        """Binary COPY of `count` rows into `table`. Raises DuplicateRow where a unique key exists already."""
        with _translate_duplicates():
            await self._connection.copy_to_table(
                table,
                source=pack_rows(columns, count),  # pyright: ignore[reportArgumentType] any buffer will do
                columns=[column.name for column in columns],
                format="binary",
            )

    async def copy_records(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """As copy_columns, of rows that have too little in common to be packed by columns."""
        with _translate_duplicates():
            await self._connection.copy_records_to_table(table, records=rows, columns=list(columns))

    async def enqueue(self, task: str, number: int) -> None:
        """Have background work done once this has committed, see `cockade.storage.queue`."""
        from cockade.storage import queue  # here, for importing its library takes a third of a second

        await queue.enqueue(self._connection, task, number)


class _NestedTransactions:
    """A transaction that others are parts of, one after the other: each can be undone alone, none is kept alone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.lost: Exception | None = None
        """Why nothing of it can be kept."""

    async def run_nested(self, body: Body[T]) -> T:
        """As Database.transaction. Raises Unavailable where all is lost; the whole then runs again, or fails."""
        with self._detect_loss():
            await self._connection.execute("SAVEPOINT part")
        try:
            with self._detect_loss():
                result = await body(Tx(self._connection))
                await self._connection.execute("RELEASE SAVEPOINT part")
        except Exception:
            if self.lost is None:
                with self._detect_loss():
                    await self._connection.execute("ROLLBACK TO SAVEPOINT part")
            raise
        return result

    @contextmanager
    def _detect_loss(self) -> Generator[None]:
        """Note what undoes the whole, not only a part of it."""
        try:
            yield
        except (*ROLLED_BACK, *CONNECTION_LOST, *BUSY) as error:
            if isinstance(error, ValueError):  # asyncpg's word for a value of ours that it cannot send
                raise
            self.lost = error
            raise Unavailable from error


@contextmanager
def _translate_duplicates() -> Generator[None]:
    try:
        yield
    except pg.UniqueViolationError as error:
        raise DuplicateRow(error.constraint_name or "") from error


class DuplicateRow(Exception):
    """A unique key exists already. The transaction is lost and will be rolled back."""

    def __init__(self, constraint: str) -> None:
        self.constraint = constraint
        super().__init__(constraint)


class Database:
    """A pool of connections to one database."""

    def __init__(self, url: str, config: Config) -> None:
        self._url = url
        self._config = config
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._users = 0
        """Who has a connection, or waits for one."""

    async def open(self) -> None:
        """Prepare the pool. No connection is made before it is needed, so this cannot fail."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._config.pool_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=self._config.statement_timeout_s + 5,
            server_settings=session_settings(self._config),
            init=_prepare_connection,
            reset=_skip_reset,
        )
        metrics.pool_size.inc(self._config.pool_size)

    async def run_tasks(self, handlers: Mapping[str, TaskHandler], stop: asyncio.Event) -> None:
        """Do the tasks of the queue, see `cockade.storage.queue.work`."""
        from cockade.storage import queue  # as above

        await queue.run_tasks(self._url, handlers, stop)

    async def close(self) -> None:
        """Close every connection, waiting for those in use, though not for a database that says nothing."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        self._pool = None
        metrics.pool_size.dec(self._config.pool_size)

    async def require_ready(self) -> None:
        """Raises Unavailable where the database does not answer, SetupError where it lacks migrations."""
        deadline = _now_s() + READY_S_MAX
        async with self._connection(deadline) as connection:
            try:
                async with asyncio.timeout_at(deadline):
                    await require_migrated(connection)
            except (*CONNECTION_LOST, *BUSY) as error:
                _terminate(connection)
                raise Unavailable from error

    @contextmanager
    def request_time_budget(self) -> Generator[None]:
        """All transactions within the block belong to one call and share its time."""
        token = _time_budget.set(_TimeBudget(self._config.request_timeout_s))
        try:
            yield
        finally:
            _time_budget.reset(token)

    async def transaction(
        self, name: str, body: Body[T], *, lock_timeout_ms: int | None = None, read_only: bool = False
    ) -> T:
        """Run `body` in a transaction of its own and commit.

        `lock_timeout_ms`: wait for others no longer than that, instead of as configured. `only_reads`: all statements
        see one moment, and none can write. Within `together` it is a part of that, and both mean nothing.
        It runs again, a few times at the most, only after errors that prove that nothing of it was kept.
        Raises Unavailable (nothing was changed) or OutcomeUnknown (COMMIT was sent and never answered), at the latest
        when the call's time is up, whether or not the database says anything.
        """
        if (whole := _nested.get()) is not None:
            return await whole.run_nested(body)
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else "BEGIN"
        if lock_timeout_ms is not None:
            begin += f"; SET LOCAL lock_timeout = {lock_timeout_ms}"
        with self.time_budget() as left_s:
            deadline = _now_s() + left_s - ROLLBACK_TIMEOUT_S
            for attempt in range(1, ATTEMPTS_MAX + 1):
                try:
                    return await self._run(name, body, begin, deadline)
                except OutcomeUnknown:
                    raise
                except BUSY as error:  # first, because a TimeoutError is an OSError too
                    raise (ServiceBusy if isinstance(error, WAITED) else Unavailable) from error
                except (*ROLLED_BACK, *CONNECTION_LOST) as error:
                    if isinstance(error, ValueError):  # asyncpg: a value of ours that it cannot encode
                        raise
                    cause = error
                metrics.retries.labels(name, type(cause).__name__).inc()
                log.warning("retry", action=name, attempt=attempt, cause=type(cause).__name__)
                if attempt == ATTEMPTS_MAX:
                    raise Unavailable from cause
                await asyncio.sleep(BACKOFF_S * 2**attempt * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    @property
    def in_nested(self) -> bool:
        """Whether we are within `together`, so that what others would do in our place is no part of it."""
        return _nested.get() is not None

    async def savepoints(self, name: str, body: Body[T]) -> T:
        """Run `body` in a transaction of which all those that it opens are parts: all of them are kept, or none.

        As transaction otherwise, and so it may run several times, with everything in it.
        """

        async def body_and_parts(tx: Tx) -> T:
            whole = _NestedTransactions(tx._connection)  # pyright: ignore[reportPrivateUsage]
            token = _nested.set(whole)
            try:
                result = await body(tx)
            except Exception as error:
                if whole.lost is None:
                    raise
                raise whole.lost from error
            finally:
                _nested.reset(token)
            if whole.lost is not None:
                raise whole.lost
            return result

        return await self.transaction(name, body_and_parts)

    @contextmanager
    def time_budget(self) -> Generator[float]:
        """The block takes of the call's time, of which it is told what is left in seconds."""
        budget, started_s = _time_budget.get() or _TimeBudget(self._config.request_timeout_s), _now_s()
        try:
            yield budget.left_s
        finally:
            budget.left_s -= _now_s() - started_s

    async def _run(self, name: str, body: Body[T], begin: str, deadline: float) -> T:
        async with self._connection(deadline) as connection:
            started = time.perf_counter()
            try:
                try:
                    async with asyncio.timeout_at(deadline):
                        await connection.execute(begin)
                        result = await body(Tx(connection))
                except BaseException:
                    await _roll_back(connection)
                    raise
                await _commit(connection, deadline)
                return result
            finally:
                metrics.count_transaction(name, time.perf_counter() - started)

    @asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncGenerator[Connection]:
        assert self._pool is not None, "open() comes first"
        connection = await self._acquire(self._pool, deadline)
        try:
            yield connection
        finally:
            self._leave()
            # A connection that is not between two transactions is of no use to the next caller.
            # One that broke has left the pool already and refuses every call.
            with suppress(pg.InterfaceError):
                if connection.is_in_transaction():
                    connection.terminate()
            await self._pool.release(connection)

    async def _acquire(
        self, pool: asyncpg.Pool[asyncpg.Record], deadline: float
    ) -> PoolConnectionProxy[asyncpg.Record]:
        wait_s = min(self._config.pool_timeout_s, max(0.0, deadline - _now_s()))
        self._users += 1
        has_to_wait = self._users > self._config.pool_size
        waiting = metrics.pool_waiting.track_inprogress() if has_to_wait else nullcontext()
        try:
            with waiting:
                connection = await pool.acquire(timeout=wait_s)
        except BaseException as error:
            self._users -= 1
            if isinstance(error, TimeoutError):
                raise ServiceBusy from error
            if isinstance(error, (*CONNECTION_LOST, *BUSY, *REFUSED)):
                raise Unavailable from error
            raise
        metrics.pool_in_use.inc()
        return connection

    def _leave(self) -> None:
        self._users -= 1
        metrics.pool_in_use.dec()


async def with_commit_recovery(
    name: str, run: Callable[[bool], Awaitable[T]], unknown: str | None = None
) -> T:
    """Run a transaction that detects whether an earlier attempt of it was committed.

    `run(False)` is the first attempt. If its COMMIT is not acknowledged, `run(True)` has to return the result of that
    attempt if it was committed, and to do the work otherwise. Raises OutcomeUnknown, with the message `unknown`, if the
    database does not answer this time either.
    """
    try:
        return await run(False)
    except OutcomeUnknown:
        log.warning("commit outcome unknown", action=name)
    try:
        return await run(True)
    except Unavailable as error:
        raise OutcomeUnknown(unknown) from error


def _now_s() -> float:
    """The event loop's clock, which deadlines are told by."""
    return asyncio.get_running_loop().time()


async def _commit(connection: Connection, deadline: float) -> None:
    wait_s = min(max(deadline - _now_s(), COMMIT_S_MIN), COMMIT_S_MAX)
    try:
        async with asyncio.timeout(wait_s):
            await connection.execute("COMMIT")
    except ROLLED_BACK:
        raise
    except asyncio.CancelledError:
        _terminate(connection)
        raise
    except (*CONNECTION_LOST, *BUSY) as error:
        _terminate(connection)
        raise OutcomeUnknown from error


async def _roll_back(connection: Connection) -> None:
    with suppress(*CONNECTION_LOST, pg.PostgresError):
        if connection.is_closed():
            return
        await connection.execute("ROLLBACK", timeout=ROLLBACK_TIMEOUT_S)
        return
    _terminate(connection)


def _terminate(connection: Connection) -> None:
    """Close at once. A connection that broke has left the pool already and refuses even this."""
    with suppress(pg.InterfaceError):
        connection.terminate()


async def _skip_reset(_: Connection) -> None:
    """All that we set is local to a transaction: the round trip of a reset is saved."""


async def _prepare_connection(connection: Connection) -> None:
    """JSON columns travel as the bytes that msgspec reads and writes, customer ids as an array that we pack.

    The queue's library sends its JSON as text.
    """
    for name in ("json", "jsonb"):
        version = b"\x01" if name == "jsonb" else b""

        def encode(value: bytes | str, version: bytes = version) -> bytes:
            return version + (value.encode() if isinstance(value, str) else value)

        def decode(value: bytes, version: bytes = version) -> bytes:
            return bytes(value[len(version) :])

        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=encode, decoder=decode, format="binary"
        )
    # The driver looks at every item of a list three times before it encodes it. It has a way to leave a type to us, and
    # offers it for scalar types only; without it everything works the same, and takes longer.
    with suppress(AttributeError):
        connection._protocol.get_settings().add_python_codec(  # pyright: ignore
            INT8_ARRAY_OID, "_int8", "pg_catalog", [], "scalar", pack_array, unpack_array, "binary"
        )


def session_settings(config: Config) -> dict[str, str]:
    """What every connection asks of the server, whatever the server's own defaults are."""
    return {
        "application_name": "cockade",
        "TimeZone": "UTC",
        "default_transaction_isolation": "read committed",
        "statement_timeout": f"{config.statement_timeout_s}s",
        "lock_timeout": f"{config.lock_timeout_s}s",
        "idle_in_transaction_session_timeout": f"{config.statement_timeout_s}s",
        # What a worker that was killed had begun holds its request id and its badge no longer than this.
        "client_connection_check_interval": "2s",
        "jit": "off",
        # Plans are made once and kept. One made while the ledger is empty, and known to be, would go on reading all of it
        # when there are millions; with this they all go by an index, where there is one, from the first row on.
        "enable_seqscan": "off",
    }


async def connect(url: str) -> Connection:
    """One connection outside the pool, for set-up work. Raises SetupError that says why there is none."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, pg.PostgresError, pg.InterfaceError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise SetupError(
            f"The database cannot be reached: {reason}. Check COCKADE_DATABASE_URL and that the server is running."
        ) from error


async def check_server(connection: Connection) -> list[str]:
    """What an operator should know about this server, one sentence each.

    Raises SetupError where it is too old to serve at all.
    """
    version = int(await connection.fetchval("show server_version_num"))
    if version < SERVER_VERSION_MIN:
        raise SetupError(
            f"The database server is PostgreSQL {version // 10000}; cockade needs {SERVER_VERSION_MIN // 10000} or newer."
        )
    unsafe = await connection.fetch(
        "select name from pg_settings where name = any($1) and setting = 'off' order by name",
        list(MUST_BE_ON),
    )
    return [f"{row[0]} is off: issuances that were acknowledged can be lost in a crash." for row in unsafe]
