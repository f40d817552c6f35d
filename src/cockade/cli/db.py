"""`cockade db …`"""

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

app = typer.Typer(help="The database: its schema, its state, its backups.", no_args_is_help=True)


@app.command("migrate")
def migrate(as_json: AsJson = False) -> None:
    """Bring the schema up to this version of cockade.

    Safe to run from several places at once, and while services run. The embedded database is migrated by `cockade serve`
    itself; one of your own only by this command.
    """

    async def work(connection: Connection) -> None:
        await check_server(connection)
        done = await migrations.migrate(connection, clock.now())
        show({"applied": [f"{m.version:04d}_{m.name}" for m in done]}, as_json=as_json)

    _with_connection(work)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show the server's version, the migrations that the database lacks, and what is wrong with its settings.

    Changes nothing. `cockade db migrate` applies what is pending.
    """

    async def work(connection: Connection) -> None:
        warnings = await check_server(connection)
        pending = [f"{m.version:04d}_{m.name}" for m in await migrations.pending(connection)]
        version = await connection.fetchval("show server_version")
        show({"serverVersion": version, "pendingMigrations": pending, "warnings": warnings}, as_json=as_json)

    _with_connection(work)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; only you will be able to read it.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the embedded database to a file, while the service runs or not.

    The file holds one moment: all that was acknowledged before it, nothing of what came later. Nobody waits for it. It
    is checked before it gets its name, and holds secrets: keep it as safe as the data directory.
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
    file: Annotated[Path, typer.Argument(help="A file that `cockade db backup` wrote.")],
    force: Annotated[
        bool, typer.Option("--force", help="Put a database that is there aside, into a folder beside it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the embedded database from a backup, in a data directory that has none.

    Stop `cockade serve` first. Nothing is overwritten: where there is a database already, it is refused, or put aside
    with --force. A backup of an older cockade is brought up to date when the service is started.
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
    """The settings. Raises SetupError where they name a database: that is backed up by whoever runs its server."""
    settings = config.from_environment()
    logs.configure(settings)
    if settings.database_url is not None:
        raise SetupError(
            f"`cockade db {command}` is for the embedded database, and COCKADE_DATABASE_URL names another one."
            f" Use {program} or what your database's provider offers; docs/how-to/backup.md says how."
        )
    # Asked to stop, it tidies up as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return settings


@contextmanager
def _progress() -> Generator[backups.ReportProgress]:
    """Shows on a terminal how far it is, apart from what is printed."""
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
    role: Annotated[str, typer.Argument(help="The role that `cockade serve` connects as.")],
    as_json: AsJson = False,
) -> None:
    """Give a role exactly the rights that serving needs; run it as the owner, after each migration."""

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
