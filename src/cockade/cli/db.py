"""`cockade db …`"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import typer

from cockade import clock, config, logs
from cockade.cli.database import database_url
from cockade.cli.output import AsJson, show
from cockade.storage import migrate as migrations
from cockade.storage.connection import Connection
from cockade.storage.database import check_server, connect

app = typer.Typer(help="The database: its schema and its state.", no_args_is_help=True)


@app.command("migrate")
def migrate(as_json: AsJson = False) -> None:
    """Bring the schema up to this version. Safe to run from several places at once."""

    async def work(connection: Connection) -> None:
        await check_server(connection)
        done = await migrations.migrate(connection, clock.now())
        show({"applied": [f"{m.version:04d}_{m.name}" for m in done]}, as_json=as_json)

    _with_connection(work)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show the server's version, what is wrong with its settings, and the migrations it lacks."""

    async def work(connection: Connection) -> None:
        warnings = await check_server(connection)
        pending = [f"{m.version:04d}_{m.name}" for m in await migrations.pending(connection)]
        version = await connection.fetchval("show server_version")
        show({"serverVersion": version, "pendingMigrations": pending, "warnings": warnings}, as_json=as_json)

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
