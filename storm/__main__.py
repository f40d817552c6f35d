"""`python -m storm`: a storm of so many seconds, the checker's word, and exit status 1 on any violation."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from storm.diary import Diary
from storm.run import Weather, blow, report, site, verify
from tests.acceptance.service import temporary_home


def main(
    seconds: Annotated[float, typer.Option(help="How long it blows.")] = 600,
    seed: Annotated[int | None, typer.Option(help="All that is random comes from it.")] = None,
    diary_file: Annotated[
        Path | None, typer.Option(help="Where to keep what was called and answered.")
    ] = None,
) -> None:
    """Storm, then check."""
    weather = Weather(seconds=seconds, seed=time.time_ns() % 2**31 if seed is None else seed)
    typer.echo(f"seed {weather.seed}")
    with temporary_home() as home:
        lines, failed = asyncio.run(_run(home, weather, diary_file))
    for line in lines:
        typer.echo(line)
    raise typer.Exit(int(failed))


async def _run(home: Path, weather: Weather, diary_file: Path | None) -> tuple[list[str], bool]:
    diary = Diary(diary_file)
    async with site(home, weather) as place:
        await blow(place, weather, diary)
        violations = await verify(place.database_url, diary)
    return report(diary, violations), bool(violations)


typer.run(main)
