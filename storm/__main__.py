"""`python -m storm`: a storm, or an outage, and exit status 1 where a promise was broken."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from storm.diary import Diary
from storm.outage import outage
from storm.report import report
from storm.run import Weather, blow, verify
from storm.site import site
from tests.acceptance.service import temporary_home


def main(
    seconds: Annotated[float, typer.Option(help="How long it blows.")] = 600,
    seed: Annotated[int | None, typer.Option(help="All that is random comes from it.")] = None,
    workers: Annotated[int, typer.Option(help="Of each of the two services.")] = 2,
    callers: Annotated[int, typer.Option(help="How many call at once.")] = 12,
    diary: Annotated[Path | None, typer.Option(help="A file for what was called and answered.")] = None,
    outage_s: Annotated[
        float | None,
        typer.Option("--outage", help="Instead: stop PostgreSQL for so many seconds under load."),
    ] = None,
) -> None:
    """Storm, then check."""
    chosen = time.time_ns() % 2**31 if seed is None else seed
    typer.echo(f"seed {chosen}")
    with temporary_home() as home:
        if outage_s is not None:
            measured = asyncio.run(outage(home, outage_s, chosen))
            typer.echo(msgspec.json.format(msgspec.json.encode(measured), indent=2).decode())
            raise typer.Exit(int(not measured.passed))
        weather = Weather(seconds=seconds, seed=chosen, callers=callers)
        lines, failed = asyncio.run(_run(home, weather, workers, Diary(diary)))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(int(failed))


async def _run(home: Path, weather: Weather, workers: int, diary: Diary) -> tuple[list[str], bool]:
    async with site(home, workers=workers, seed=weather.seed) as place:
        await blow(place, weather, diary)
        violations = await verify(place.database_url, diary)
    return report(diary, violations), bool(violations)


typer.run(main)
