"""`python -m chaos`: run the chaos test, or measure a database outage.

The exit status is 1 if a guarantee was violated or the service did not recover.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chaos.environment import start_environment
from chaos.history import History
from chaos.outage import measure_outage
from chaos.report import report
from chaos.run import RunOptions, run_faults, verify
from tests.acceptance.service import temporary_home


def main(
    seconds: Annotated[float, typer.Option(help="Duration of the load and of the faults, in seconds.")] = 600,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all random choices.", show_default="random")
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of workers of each of the two services.")] = 2,
    clients: Annotated[int, typer.Option(help="Number of concurrent clients.")] = 12,
    history: Annotated[
        Path | None,
        typer.Option(help="Write all requests, responses and faults to this file, as JSON Lines."),
    ] = None,
    outage_s: Annotated[
        float | None,
        typer.Option(
            "--outage",
            help="Measure a database outage instead: stop PostgreSQL for this many seconds under load."
            " Only --seed applies.",
        ),
    ] = None,
) -> None:
    """Inject faults into a running service under load, then check every guarantee.

    The exit status is 1 if a guarantee was violated.
    """
    chosen = time.time_ns() % 2**31 if seed is None else seed
    with temporary_home() as home:
        if outage_s is not None:
            typer.echo(f"Seed: {chosen}. Stopping PostgreSQL for {outage_s:g} s under load.", err=True)
            outage = asyncio.run(measure_outage(home, outage_s, chosen))
            typer.echo(msgspec.json.format(msgspec.json.encode(outage), indent=2).decode())
            raise typer.Exit(int(not outage.passed))
        typer.echo(f"Seed: {chosen}. Injecting faults for {seconds:g} s.", err=True)
        options = RunOptions(seconds=seconds, seed=chosen, clients=clients)
        lines, failed = asyncio.run(_run(home, options, workers, History(history)))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(int(failed))


async def _run(home: Path, options: RunOptions, workers: int, history: History) -> tuple[list[str], bool]:
    async with start_environment(home, workers=workers, seed=options.seed) as environment:
        await run_faults(environment, options, history)
        violations = await verify(environment.database_url, history)
    return report(history, violations), bool(violations)


typer.run(main)
