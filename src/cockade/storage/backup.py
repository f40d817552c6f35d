"""Back up the embedded database in the custom format of pg_dump, and restore it.

A backup is one snapshot, taken while the service runs, and appears under its name only when it is complete. A
restored database is built next to its final place and then moved there.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

import asyncpg
from msgspec import Struct

from cockade.errors import SetupError
from cockade.storage.database import connect
from cockade.storage.embedded import (
    CLUSTER,
    RESTORING,
    EmbeddedServer,
    embedded_database,
    owner_lock,
    packaged_binaries,
)
from cockade.storage.migrate import applied, migrations

OURS = ("--no-owner", "--no-privileges", "--verbose")
"""Roles belong to the server, so they are not part of a backup."""
PG_DUMP = ("pg_dump", "--format=custom", "--compress=gzip:1", *OURS)
PG_RESTORE = ("pg_restore", "--exit-on-error", *OURS)
LOCK_WAIT_S_MAX = 30
"""Maximum wait of a backup for a running migration."""
POSITIONS_SKIPPED = 2**40
"""Readers may hold cursors of events after the backup. New positions start after all of those."""
RESTORE_JOBS_MAX = 4
POLL_S = 0.1
_TABLE = re.compile(r"TABLE DATA \S+ (\S+) ")
_BEGUN = re.compile(r'dumping contents of table "(?:\w+\.)?(\w+)"|launching item \d+ (?:TABLE DATA )?(.+)')
_FINISHED = re.compile(r"(?:processing|finished) item \d+")


class ProgressStep(Struct, frozen=True):
    """The progress of a backup or restore."""

    doing: str
    """A table, or a step."""
    done: int
    """Finished items of `total`."""
    total: int


ReportProgress = Callable[[ProgressStep], None]


class Backup(Struct, frozen=True):
    """A finished backup."""

    file: Path
    size_bytes: int
    tables: int
    last_migration: str


class Restored(Struct, frozen=True):
    """A restored database."""

    rows: dict[str, int]
    """Number of rows by table."""
    pending_migrations: list[str]
    """Migrations that the next `cockade serve` will apply."""
    replaced: Path | None
    """Where the previous database was moved."""


def back_up(data_dir: Path, file: Path, *, force: bool, tell: ReportProgress) -> Backup:
    """Back up the embedded database to `file` and verify it. The service can be running.

    Raises SetupError if there is no database, `file` exists without `force`, or it cannot be written. Then
    `file` does not exist, or is unchanged.
    """
    data_dir, file = data_dir.expanduser().resolve(), file.expanduser().absolute()
    if not (data_dir / CLUSTER / "PG_VERSION").exists():
        raise SetupError(f"There is no database in {data_dir}. Set COCKADE_DATA_DIR to the data directory.")
    if file.exists() and not force:
        raise SetupError(f"{file} exists. Choose another name, or overwrite it with --force.")
    with embedded_database(data_dir) as url, _written(file) as fresh:
        tables, last_migration = asyncio.run(_schema(url))
        _run(
            [*PG_DUMP, f"--lock-wait-timeout={LOCK_WAIT_S_MAX}s", f"--file={fresh}", f"--dbname={url}"],
            lambda begun, _: tell(ProgressStep(begun[-1], len(begun) - 1, tables)),
        )
        tell(ProgressStep("verifying", tables, tables))
        _require_readable(fresh)
        size_bytes = fresh.stat().st_size
    return Backup(file, size_bytes, tables, last_migration)


def restore(data_dir: Path, file: Path, now: datetime, *, force: bool, tell: ReportProgress) -> Restored:
    """Restore the embedded database from `file`. With `force`, an existing database is moved aside.

    Raises SetupError if a service is running, a database exists without `force`, or `file` is not a backup.
    Then nothing is changed.
    """
    data_dir, file = data_dir.expanduser().resolve(), file.expanduser().absolute()
    items = _require_readable(file)
    with owner_lock(data_dir):
        if (data_dir / CLUSTER).exists() and not force:
            raise SetupError(
                f"There is a database in {data_dir}. Set COCKADE_DATA_DIR to another directory, or use --force to move it aside."
            )
        fresh = EmbeddedServer(data_dir, RESTORING)
        fresh.stop_orphan()
        shutil.rmtree(fresh.cluster, ignore_errors=True)
        try:
            rows, pending = _fill(fresh, file, items, tell)
            replaced = _put_in_place(data_dir, now)
        except BaseException:
            shutil.rmtree(fresh.cluster, ignore_errors=True)
            raise
    return Restored(rows, pending, replaced)


def _fill(
    server: EmbeddedServer, file: Path, items: int, tell: ReportProgress
) -> tuple[dict[str, int], list[str]]:
    """Fill a new cluster from the file. Return the rows by table and the pending migrations."""
    tell(ProgressStep("starting", 0, items))
    try:
        server.start()
        jobs = min(RESTORE_JOBS_MAX, os.cpu_count() or 1)
        _run(
            [*PG_RESTORE, f"--jobs={jobs}", f"--dbname={server.url}", str(file)],
            lambda begun, finished: tell(ProgressStep(begun[-1], min(finished, items), items)),
        )
        tell(ProgressStep("collecting statistics", items, items))
        return asyncio.run(_finish(server.url))
    finally:
        server.stop()


def _put_in_place(data_dir: Path, now: datetime) -> Path | None:
    """Move the restored cluster to its final place. Return where the previous one was moved."""
    place, replaced = data_dir / CLUSTER, None
    if place.exists():
        replaced = data_dir / f"{CLUSTER}-replaced-{now:%Y%m%dT%H%M%SZ}"
        place.rename(replaced)
    (data_dir / RESTORING).rename(place)
    _sync(data_dir)
    return replaced


def _require_readable(file: Path) -> int:
    """Read the whole backup and return its number of items. Raises SetupError if it is invalid."""
    if not file.is_file():
        raise SetupError(f"There is no file {file}.")
    listed = subprocess.run(
        [packaged_binaries() / "pg_restore", "--list", file], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0 or "schema_migration" not in _TABLE.findall(listed.stdout):
        raise SetupError(f"{file} is not a backup of cockade. {listed.stderr.strip()}".strip())
    # Each block has a checksum that is verified only when it is read.
    _run(["pg_restore", f"--file={os.devnull}", str(file)])
    return sum(1 for line in listed.stdout.splitlines() if line and not line.startswith(";"))


@contextmanager
def _written(file: Path) -> Generator[Path]:
    """Yield a temporary file, readable only by its owner, that becomes `file` at the end of the block."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise SetupError(f"Cannot write to {file.parent}: {error.strerror}.") from None
        yield fresh
        _sync(fresh)
        fresh.replace(file)
        _sync(file.parent)
    finally:
        # Created inside the try block, so that a signal right afterwards does not leave it behind.
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _run(command: Sequence[str], watch: Callable[[list[str], int], None] | None = None) -> None:
    """Run one of the server's programs. `watch` receives the items started so far and the number finished.

    Raises SetupError with the program's output if it fails.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [packaged_binaries() / command[0], *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**os.environ, "LC_ALL": "C"},
        )
        try:
            while process.poll() is None:
                _watch(said, watch)
                time.sleep(POLL_S)
        finally:
            process.terminate()
            process.wait()
        if process.returncode != 0:
            raise SetupError(f"{command[0]} failed: {_complaint(said)}")


def _watch(said: IO[str], watch: Callable[[list[str], int], None] | None) -> None:
    text = _read(said)
    begun = [first or second for first, second in _BEGUN.findall(text)]
    if watch is not None and begun:
        watch(begun, len(_FINISHED.findall(text)))


def _complaint(said: IO[str]) -> str:
    """Return the lines of the output that describe the error, or the last line."""
    lines = _read(said).strip().splitlines() or ["no output"]
    return " ".join([line for line in lines if "error:" in line or "detail:" in line] or lines[-1:])


def _read(said: IO[str]) -> str:
    """Return the output so far, without moving the position at which the program writes."""
    return os.pread(said.fileno(), os.fstat(said.fileno()).st_size, 0).decode(errors="replace")


async def _schema(url: str) -> tuple[int, str]:
    """Return the number of tables and the last migration. Raises SetupError if there is none."""
    connection = await connect(url)
    try:
        done = await applied(connection)
        if not done:
            raise SetupError("The database is empty: it has no schema. Start `cockade serve` to create it.")
        tables = await connection.fetchval("select count(*) from pg_tables where schemaname = 'public'")
        last = await connection.fetchrow(
            "select version, name from schema_migration order by version desc limit 1"
        )
        assert last is not None
        return tables, f"{last[0]:04d}_{last[1]}"
    finally:
        await connection.close()


async def _finish(url: str) -> tuple[dict[str, int], list[str]]:
    """Collect statistics for the planner. Return the number of rows by table and the pending migrations."""
    connection = await connect(url)
    try:
        await connection.execute("vacuum (analyze)")
        if await connection.fetchval(
            "select to_regclass('outbox_position')"
        ):  # tables may be missing in an older backup
            await connection.execute(
                "select setval('outbox_position', nextval('outbox_position') + $1::bigint)", POSITIONS_SKIPPED
            )
        count = await connection.fetchval(
            "select string_agg(format('select %L, count(*) from %I', tablename, tablename), ' union all ')"
            " || ' order by 1' from pg_tables where schemaname = 'public'"
        )
        rows = dict(map(tuple, await connection.fetch(count)))
        done = await applied(connection)
        return rows, [f"{m.version:04d}_{m.name}" for m in migrations() if m.version not in done]
    except asyncpg.PostgresError as error:
        raise SetupError(f"Cannot connect to the restored database: {error}") from error
    finally:
        await connection.close()
