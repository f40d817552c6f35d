"""`python -m chaos`: run the chaos test or an outage. The exit status is 1 if a promise was broken."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chaos.environment import environment
from chaos.history import History
from chaos.outage import outage
from chaos.report import report
from chaos.run import Intensity, run_faults, verify
from tests.acceptance.service import temporary_home


def main(
    seconds: Annotated[float, typer.Option(help="Duration in seconds.")] = 600,
    seed: Annotated[int | None, typer.Option(help="Seed of all random choices.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes of each of the two services.")] = 2,
    callers: Annotated[int, typer.Option(help="Number of concurrent clients.")] = 12,
    history: Annotated[Path | None, typer.Option(help="Write the history to this file.")] = None,
    outage_s: Annotated[
        float | None,
        typer.Option(
            "--outage", help="Run an outage test instead: stop PostgreSQL for this many seconds under load."
        ),
    ] = None,
) -> None:
    """Inject faults under load, then check every promise."""
    chosen = time.time_ns() % 2**31 if seed is None else seed
    typer.echo(f"seed {chosen}")
    with temporary_home() as home:
        if outage_s is not None:
            measured = asyncio.run(outage(home, outage_s, chosen))
            typer.echo(msgspec.json.format(msgspec.json.encode(measured), indent=2).decode())
            raise typer.Exit(int(not measured.passed))
        intensity = Intensity(seconds=seconds, seed=chosen, callers=callers)
        lines, failed = asyncio.run(_run(home, intensity, workers, History(history)))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(int(failed))


async def _run(home: Path, intensity: Intensity, workers: int, history: History) -> tuple[list[str], bool]:
    async with environment(home, workers=workers, seed=intensity.seed) as place:
        await run_faults(place, intensity, history)
        violations = await verify(place.database_url, history)
    return report(history, violations), bool(violations)


typer.run(main)
