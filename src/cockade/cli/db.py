"""The `cockade db` commands."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from cockade import clock, config, logs
from cockade.cli.output import AsJson, show
from cockade.cli.services import database_url
from cockade.config import Config
from cockade.errors import SetupError
from cockade.storage import backup as backups
from cockade.storage import grants as rights
from cockade.storage import migrate as migrations
from cockade.storage.connection import Connection
from cockade.storage.database import check_server, connect

app = typer.Typer(help="Manage the database: schema, status, backups, permissions.", no_args_is_help=True)


@app.command("migrate")
def migrate(as_json: AsJson = False) -> None:
    """Migrate the schema to this version of cockade.

    It is safe to run several migrations at the same time, and while services run. `cockade serve` migrates
    the embedded database automatically. Migrate your own database with this command.
    """

    async def work(connection: Connection) -> None:
        await check_server(connection)
        done = await migrations.migrate(connection, clock.now())
        show({"applied": [f"{m.version:04d}_{m.name}" for m in done]}, as_json=as_json)

    _with_connection(work)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show the server version, pending migrations, and warnings about the server's settings.

    This command changes nothing. Run `cockade db migrate` to apply pending migrations.
    """

    async def work(connection: Connection) -> None:
        warnings = await check_server(connection)
        pending = [f"{m.version:04d}_{m.name}" for m in await migrations.pending(connection)]
        version = await connection.fetchval("show server_version")
        show({"serverVersion": version, "pendingMigrations": pending, "warnings": warnings}, as_json=as_json)

    _with_connection(work)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="File to write. It is readable only by you.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Back up the embedded database to a file. The service can be running.

    The backup is a consistent snapshot and does not block requests. The file appears under its name only
    after it was verified. It contains secrets: protect it like the data directory.
    """
    settings = _embedded_only("backup", "pg_dump")
    with _progress() as tell:
        made = backups.back_up(settings.data_dir, file, force=force, tell=tell)
    record = {
        "file": str(made.file),
        "bytes": made.size_bytes,
        "tables": made.tables,
        "lastMigration": made.last_migration,
    }
    show(record, as_json=as_json)


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="Backup file created by `cockade db backup`.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Move an existing database to another directory first, next to it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore the embedded database from a backup.

    Stop `cockade serve` first. The command fails if the data directory has a database, unless you use
    --force, which moves that database aside. Nothing is overwritten. A backup of an older cockade is migrated
    when the service starts.
    """
    settings = _embedded_only("restore", "pg_restore")
    with _progress() as tell:
        done = backups.restore(settings.data_dir, file, clock.now(), force=force, tell=tell)
    record = {
        "dataDir": str(settings.data_dir),
        "replaced": None if done.replaced is None else str(done.replaced),
        "pendingMigrations": done.pending_migrations,
    }
    rows = {"rows": done.rows} if as_json else {f"rows of {name}": n for name, n in done.rows.items()}
    show(record | rows, as_json=as_json)


def _embedded_only(command: str, program: str) -> Config:
    """Return the settings. Raise SetupError if COCKADE_DATABASE_URL is set."""
    settings = config.from_environment()
    logs.configure(settings)
    if settings.database_url is not None:
        raise SetupError(
            f"`cockade db {command}` supports only the embedded database, but COCKADE_DATABASE_URL is set. "
            f"Use {program} or your provider's backups instead; see docs/how-to/backup.md."
        )
    # Clean up on SIGTERM as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return settings


@contextmanager
def _progress() -> Generator[backups.ReportProgress]:
    """Show progress on standard error, if it is a terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def tell(step: backups.ProgressStep) -> None:
            progress.update(task, description=step.doing, completed=step.done, total=step.total)

        yield tell


@app.command("grant")
def grant(
    role: Annotated[str, typer.Argument(help="Database role that `cockade serve` connects as.")],
    as_json: AsJson = False,
) -> None:
    """Grant a role exactly the permissions that `cockade serve` needs. Run it as the owner of the tables,
    after each migration.
    """

    async def work(connection: Connection) -> None:
        await migrations.require_migrated(connection)
        warnings = await rights.grant(connection, role)
        show({"role": role, "tables": len(rights.GRANTS), "warnings": warnings}, as_json=as_json)

    _with_connection(work)


def _with_connection(work: Callable[[Connection], Awaitable[None]]) -> None:
    settings = config.from_environment()
    logs.configure(settings)

    async def run(url: str) -> None:
        connection = await connect(url)
        try:
            await work(connection)
        finally:
            await connection.close()

    with database_url(settings) as url:
        asyncio.run(run(url))
