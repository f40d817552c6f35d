"""The connection pool and named transactions.

Each use case is one `await db.transaction("badge.claim", body)`. The isolation level is READ COMMITTED: each
statement sees what was committed before it began. The body may run more than once, so it must have no effects
outside the database.
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
"""Maximum wait for the response to COMMIT, so that time is left to find out its outcome."""
COMMIT_S_MIN = 1.0
"""Minimum wait for COMMIT, even if the request's time is up: without it, the outcome would often be unknown.
"""
CLOSE_S_MAX = 5.0
READY_S_MAX = 3.0
"""Time limit of the readiness check, shorter than the usual timeout of a load balancer."""
SERVER_VERSION_MIN = 150000
MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")

log = structlog.get_logger()

# The server reports a rollback: running the transaction again is safe.
ROLLED_BACK = (pg.SerializationError, pg.DeadlockDetectedError)
# The connection broke. Before COMMIT was sent, that proves a rollback; afterwards, the outcome is unknown.
CONNECTION_LOST = (
    OSError,
    pg.PostgresConnectionError,
    pg.InterfaceError,
    pg.InternalClientError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.IdleInTransactionSessionTimeoutError,
)
# The database is available but cannot serve this request now
BUSY = (
    TimeoutError,
    pg.LockNotAvailableError,
    pg.QueryCanceledError,
    pg.TooManyConnectionsError,
    pg.CannotConnectNowError,
    pg.InsufficientResourcesError,
    pg.ReadOnlySQLTransactionError,
)


# … because of other clients, not because of its own state.
WAITED = (pg.LockNotAvailableError, pg.TooManyConnectionsError)

# The database does not accept our connections.
REFUSED = (pg.InvalidCatalogNameError, pg.InvalidAuthorizationSpecificationError)


class _TimeBudget:
    """The time that a request may still spend on the database."""

    def __init__(self, left_s: float) -> None:
        self.left_s = left_s


_time_budget: ContextVar[_TimeBudget | None] = ContextVar("budget", default=None)
_nested: ContextVar[_NestedTransactions | None] = ContextVar("whole", default=None)


class Tx:
    """A running transaction. Everything below a service's public methods takes it as `tx`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def row(self, sql: str, *values: object) -> Row | None:
        """Return the first row, or None."""
        return cast("Row | None", await self._connection.fetchrow(sql, *values))

    async def rows(self, sql: str, *values: object) -> list[Row]:
        """Return all rows."""
        return cast("list[Row]", await self._connection.fetch(sql, *values))

    async def value(self, sql: str, *values: object) -> Any:
        """Return the first column of the first row, or None."""
        return await self._connection.fetchval(sql, *values)

    async def execute(self, sql: str, *values: object) -> None:
        """Run a statement without a result."""
        await self._connection.execute(sql, *values)

    async def copy_columns(self, table: str, columns: Sequence[Column], count: int) -> None:
        """Binary COPY of `count` rows into `table`. Raises DuplicateRow if a unique key exists already."""
        with _translate_duplicates():
            await self._connection.copy_to_table(
                table,
                source=pack_rows(columns, count),  # pyright: ignore[reportArgumentType] any buffer will do
                columns=[column.name for column in columns],
                format="binary",
            )

    async def copy_records(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Like `copy_columns`, for rows that cannot be encoded by columns."""
        with _translate_duplicates():
            await self._connection.copy_records_to_table(table, records=rows, columns=list(columns))

    async def enqueue(self, task: str, number: int) -> None:
        """Enqueue background work when this commits; see `cockade.storage.queue`."""
        from cockade.storage import queue  # imported here, because the library takes a third of a second

        await queue.enqueue(self._connection, task, number)


class _NestedTransactions:
    """A transaction that contains other transactions, one after the other. Each can be rolled back alone;
    they commit together.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.lost: Exception | None = None
        """Why the whole transaction must be rolled back."""

    async def run_nested(self, body: Body[T]) -> T:
        """Like Database.transaction. Raises Unavailable if the outer transaction is lost; it is then retried
        or fails.
        """
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
        """Record errors that roll back the whole transaction."""
        try:
            yield
        except (*ROLLED_BACK, *CONNECTION_LOST, *BUSY) as error:
            if isinstance(error, ValueError):  # asyncpg raises it for a value that it cannot encode
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
    """A unique key exists already. The transaction will be rolled back."""

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
        """Callers that hold a connection or wait for one."""

    async def open(self) -> None:
        """Create the pool. Connections are made on demand, so this cannot fail."""
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
        """Run the tasks of the queue; see `cockade.storage.queue.run_tasks`."""
        from cockade.storage import queue  # as above

        await queue.run_tasks(self._url, handlers, stop)

    async def close(self) -> None:
        """Close every connection. Waits for those in use, but only a limited time for an unresponsive
        database.
        """
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
        """Raises Unavailable if the database does not respond, SetupError if it lacks migrations."""
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
        """All transactions in the block share the time of one request."""
        token = _time_budget.set(_TimeBudget(self._config.request_timeout_s))
        try:
            yield
        finally:
            _time_budget.reset(token)

    async def transaction(
        self, name: str, body: Body[T], *, lock_timeout_ms: int | None = None, read_only: bool = False
    ) -> T:
        """Run `body` in a transaction and commit.

        `lock_timeout_ms` replaces the configured lock timeout. With `read_only`, all statements see one
        snapshot and cannot write. Inside `savepoints`, both are ignored. The body is retried a few times,
        only after errors that prove a rollback. Raises Unavailable (nothing was changed) or OutcomeUnknown
        (COMMIT was sent without a response), at the latest when the request's time is up, even if the
        database does not respond.
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
                except BUSY as error:  # must be first, because a TimeoutError is an OSError too
                    raise (ServiceBusy if isinstance(error, WAITED) else Unavailable) from error
                except (*ROLLED_BACK, *CONNECTION_LOST) as error:
                    if isinstance(error, ValueError):  # asyncpg raises it for a value that it cannot encode
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
        """Whether the caller runs inside `savepoints`, where other work cannot take its place."""
        return _nested.get() is not None

    async def savepoints(self, name: str, body: Body[T]) -> T:
        """Run `body` in a transaction; the transactions that it opens become savepoints and commit together.

        Otherwise like `transaction`, so the body may run several times.
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
        """Deduct the time of the block from the request's time. Yields the seconds left."""
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
            # A connection that is still in a transaction is useless to the next caller. A broken one has left
            # the pool already and rejects every call.
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
    """The event loop's clock, which deadlines use."""
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
    """Close immediately. A connection that broke has left the pool already and rejects even this."""
    with suppress(pg.InterfaceError):
        connection.terminate()


async def _skip_reset(_: Connection) -> None:
    """All our settings are local to a transaction, so we save the round trip of a reset."""


async def _prepare_connection(connection: Connection) -> None:
    """JSON columns are passed as bytes to and from msgspec, customer ids as arrays that we encode.

    The queue's library passes its JSON as text.
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
    # The driver checks every item of a list three times before it encodes it. It can leave a type to us, but
    # officially only scalar types. If that fails, everything works the same, but slower.
    with suppress(AttributeError):
        connection._protocol.get_settings().add_python_codec(  # pyright: ignore
            INT8_ARRAY_OID, "_int8", "pg_catalog", [], "scalar", pack_array, unpack_array, "binary"
        )


def session_settings(config: Config) -> dict[str, str]:
    """Session settings, which override the server's defaults."""
    return {
        "application_name": "cockade",
        "TimeZone": "UTC",
        "default_transaction_isolation": "read committed",
        "statement_timeout": f"{config.statement_timeout_s}s",
        "lock_timeout": f"{config.lock_timeout_s}s",
        "idle_in_transaction_session_timeout": f"{config.statement_timeout_s}s",
        # Limits how long a killed worker's transaction can keep its locks on a request id and a badge.
        "client_connection_check_interval": "2s",
        "jit": "off",
        # Plans are prepared once and kept. A plan made while a table is empty would use a sequential scan for
        # ever; with this setting, plans use an index, if there is one, from the first row on.
        "enable_seqscan": "off",
    }


async def connect(url: str) -> Connection:
    """Open one connection outside the pool, for setup. Raises SetupError with the reason if it fails."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, pg.PostgresError, pg.InterfaceError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise SetupError(
            f"Cannot connect to the database: {reason}. Check COCKADE_DATABASE_URL and that the server is running."
        ) from error


async def check_server(connection: Connection) -> list[str]:
    """Return warnings about this server, one sentence each.

    Raises SetupError if the server is too old.
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
    return [f"{row[0]} is off: acknowledged issuances can be lost in a crash. Turn it on." for row in unsafe]
