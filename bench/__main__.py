"""`python -m bench`: run cases, print the report, and write it as JSON."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import report
from bench.baselines import SQL
from bench.cases import CASES
from bench.environment import Environment, Settings, open_environment
from bench.profile import profile
from bench.report import Report
from bench.report_table import Case, Run
from tests.acceptance.service import query

PROFILE = "profile"
"""Named on the command line like a case, but reports a profile instead of rows."""
PROFILE_DESCRIPTION = "The time that each stage of one bulk request takes."
OUTPUT = Path("build/bench.json")
DESCRIPTIONS = {name: each.description for name, each in CASES.items()} | {PROFILE: PROFILE_DESCRIPTION}
# The line with \b keeps the line breaks of the paragraph.
HELP = """Measure cockade against baselines in the same run, and report the ratios.

Each case runs several times. In each run, the service and its baselines are measured one after the other. The benchmark
starts its own servers and databases in a temporary directory.

\b
Cases:
""" + "\n".join(f"  {name:<8} {description}" for name, description in DESCRIPTIONS.items())

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)


@app.command(help=HELP)
def bench(
    cases: Annotated[list[str] | None, typer.Argument(help="Cases to run. Default: all.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Number of runs of each case, after a warm-up run.")] = 5,
    output: Annotated[Path, typer.Option(help="The JSON file to write.")] = OUTPUT,
    growth_rows: Annotated[
        int, typer.Option(min=1000, help="Number of existing earned badges in the cases growth and page.")
    ] = 20_000_000,
    list_: Annotated[bool, typer.Option("--list", help="List the cases and the rows they report.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the JSON file of an earlier run as Markdown and exit.")
    ] = False,
) -> None:
    console = Console(highlight=False)
    if list_:
        for case in CASES.values():
            for row in case.rows:
                typer.echo(f"{case.name}\t{row.name}\t{row.measured}")
        typer.echo(f"{PROFILE}\t{PROFILE_DESCRIPTION}\tms")
        return
    if markdown:
        typer.echo(report.markdown(report.read(output)))
        return
    names = cases or [*CASES, PROFILE]
    if unknown := [name for name in names if name not in DESCRIPTIONS]:
        raise typer.BadParameter(f"unknown case: {', '.join(unknown)}. Cases: {', '.join(DESCRIPTIONS)}.")
    finished = _measure_all(console, names, Settings(runs=runs, growth_rows=growth_rows), output)
    report.show(console, finished)
    console.print(f"The full report is in {output}.")


def _measure_all(console: Console, names: list[str], settings: Settings, output: Path) -> Report:
    """Measure the cases. The report is written after each case, so that an interrupted run keeps finished cases."""
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    )
    with progress, open_environment(settings) as environment:
        [(postgresql,)] = query(environment.main.server.database_url, SQL["server_version"])
        unfinished = Report(report.machine(postgresql), settings.runs)
        for name in names:
            if name == PROFILE:
                unfinished.profile.extend(profile(environment))
            else:
                case = CASES[name]
                unfinished.cases.append(report.report_case(case, _measure(progress, environment, case)))
            report.write(unfinished, output)
    return unfinished


def _measure(progress: Progress, environment: Environment, case: Case) -> list[Run]:
    """Run a case several times. The first run is a warm-up and is not returned."""
    total = environment.settings.runs
    step = progress.add_task(f"{case.name}: warm-up", total=total + 1)
    measured: list[Run] = []
    for number in range(total + 1):
        run = case.measure(environment)
        if number > 0:
            measured.append(run)
        progress.update(step, advance=1, description=f"{case.name}: {number} of {total}")
    return measured


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # Treat SIGTERM like Ctrl-C, so that all servers are stopped.
    signal.signal(signal.SIGTERM, _interrupt)
    app()
