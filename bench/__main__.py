"""`python -m bench`: run cases, print one table, write it as JSON."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import report
from bench.cases import CASES
from bench.profile import profile
from bench.report import Report
from bench.stage import Settings, Stage, open_stage
from bench.table import Case, Round
from bench.yardsticks import SQL
from tests.acceptance.service import query

PROFILE = "profile"
"""Named like a case; it has no rows."""
OUTPUT = Path("build/bench.json")


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    cases: Annotated[list[str] | None, typer.Argument(help="Which; all of them when none is named.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each case is measured.")] = 5,
    output: Annotated[Path, typer.Option(help="Where the JSON goes.")] = OUTPUT,
    growth_rows: Annotated[
        int, typer.Option(min=1000, help="Earned badges that are there already, where growth is measured.")
    ] = 20_000_000,
    list_: Annotated[bool, typer.Option("--list", help="List the cases.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print an earlier run's JSON as Markdown, and measure nothing.")
    ] = False,
) -> None:
    """Measure cockade beside its yardsticks, each case in interleaved rounds, on servers of its own."""
    console = Console(highlight=False)
    if list_:
        for case in CASES.values():
            for row in case.rows:
                typer.echo(f"{case.name}\t{row.name}\t{row.measured}")
        typer.echo(f"{PROFILE}\twhere the time of one bulk request goes\tms")
        return
    if markdown:
        typer.echo(report.markdown(report.read(output)))
        return
    names = cases or [*CASES, PROFILE]
    if unknown := [name for name in names if name not in CASES and name != PROFILE]:
        raise typer.BadParameter(
            f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}, {PROFILE}"
        )
    made = _run(console, names, Settings(rounds=rounds, growth_rows=growth_rows), output)
    report.show(console, made)
    console.print(f"All of it is in {output}.")


def _run(console: Console, names: list[str], settings: Settings, output: Path) -> Report:
    """Measure; what is known is written after each case, so that whoever stops a run keeps the cases before."""
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    )
    with progress, open_stage(settings) as stage:
        [(postgresql,)] = query(stage.ours.server.database_url, SQL["server_version"])
        made = Report(report.machine(postgresql), settings.rounds)
        for name in names:
            if name == PROFILE:
                made.profile.extend(profile(stage))
            else:
                case = CASES[name]
                made.cases.append(report.report_case(case, _rounds(progress, stage, case)))
            report.write(made, output)
    return made


def _rounds(progress: Progress, stage: Stage, case: Case) -> list[Round]:
    """The rounds of a case, after one that warms everything up and is not counted."""
    step = progress.add_task(f"{case.name}: warming up", total=stage.settings.rounds + 1)
    measured: list[Round] = []
    for number in range(stage.settings.rounds + 1):
        made = case.measure(stage)
        if number > 0:
            measured.append(made)
        progress.update(step, advance=1, description=f"{case.name}: {number} of {stage.settings.rounds}")
    return measured


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Asked to end in whatever way, all servers are ended first.
    signal.signal(signal.SIGTERM, _interrupt)
    app()
