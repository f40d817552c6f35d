"""The report: ratios, figures, latencies and the machine, printed on the terminal or written as JSON or Markdown."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec
import psutil
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench.report_table import Case, ProfileEntry, Row, Run

GIB = 1024**3
MAX_WIDTH = 10_000
HEADINGS = ("case", "measured as", "median", "min", "max", "required", "target", "reached")
FIGURE_HEADINGS = ("case", "figure", "median")
PROFILE_HEADINGS = ("stage", "function", "ms", "share")


class Machine(Struct, frozen=True):
    """The machine and versions used for the benchmark."""

    cpu: str
    cores: int
    memory_gib: float
    postgresql: str
    python: str


class RowResult(Struct, frozen=True):
    """The results of one row over all runs."""

    row: Row
    values: list[float]
    """One value for each run."""
    median: float
    min: float
    max: float
    reached: str
    """The better bound that the median reaches: `target`, `required` or `no` (neither)."""

    def cells(self) -> list[str]:
        """Return the table cells in the order of HEADINGS."""
        sign = "≤ " if self.row.at_most else ""
        unit = f" {self.row.unit}" if self.row.unit else ""
        measured = [_number(value) + unit for value in (self.median, self.min, self.max)]
        bounds = [f"{sign}{bound:g}{unit}" for bound in (self.row.required, self.row.target)]
        return [self.row.name, self.row.measured, *measured, *bounds, self.reached]


class CaseReport(Struct, frozen=True):
    """The results of one case over all runs."""

    case: str
    rows: list[RowResult]
    figures: dict[str, float]
    """Medians over the runs."""
    latency_ms: dict[str, float]
    """p50 and p99 over the requests of all runs."""


class Report(Struct, frozen=True):
    """The results of all cases that were measured together."""

    machine: Machine
    runs: int
    cases: list[CaseReport] = []
    profile: list[ProfileEntry] = []
    """Empty if the profile was not requested."""


def report_case(case: Case, runs: Sequence[Run]) -> CaseReport:
    """Combine the runs of a case."""
    by_row = zip(*(run.values for run in runs), strict=True)
    latencies = [latency * 1000 for run in runs for latency in run.latencies_s]
    return CaseReport(
        case=case.name,
        rows=[row_result(row, list(values)) for row, values in zip(case.rows, by_row, strict=True)],
        figures={name: median(run.figures[name] for run in runs) for name in runs[0].figures},
        latency_ms=_percentiles(latencies) if len(latencies) > 1 else {},
    )


def row_result(row: Row, values: list[float]) -> RowResult:
    """Combine the values of a row, one per run."""
    middle = median(values)
    reaches_target, reaches_required = (row.reaches(middle, bound) for bound in (row.target, row.required))
    reached = "target" if reaches_target else "required" if reaches_required else "no"
    return RowResult(row, values, middle, min(values), max(values), reached)


def _percentiles(values: list[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}


def machine(postgresql: str) -> Machine:
    """Describe the machine that the benchmark runs on."""
    memory = psutil.virtual_memory().total / GIB
    cores = psutil.cpu_count() or 1
    return Machine(_cpu(), cores, round(memory, 1), postgresql, platform.python_version())


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show(console: Console, report: Report) -> None:
    """Print the report as tables."""
    if report.cases:
        ratios = Table(*HEADINGS, title=f"Results (runs per case: {report.runs})")
        for result in _row_results(report):
            colour = {"target": "green", "required": "yellow", "no": "red"}[result.reached]
            *cells, reached = result.cells()
            ratios.add_row(*cells, f"[{colour}]{reached}[/]")
        _print(console, ratios)
        _print(console, _table(FIGURE_HEADINGS, _figures(report), "Figures (medians)"))
    if report.profile:
        title = "Profile of one bulk request with 10,000 customers"
        _print(console, _table(PROFILE_HEADINGS, _profile_rows(report), title))
    console.print(_describe(report.machine))


def _table(headings: Sequence[str], rows: list[list[str]], title: str) -> Table:
    table = Table(*headings, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _print(console: Console, table: Table) -> None:
    """Print a table without cutting cells. The terminal wraps tables that are too wide."""
    needed = Console(width=MAX_WIDTH).measure(table).maximum
    Console(width=max(console.width, needed)).print(table)


def markdown(report: Report) -> str:
    """Return the tables as Markdown, for the page about performance."""
    blocks = [_describe(report.machine)]
    if report.cases:
        blocks.append(_markdown_table(HEADINGS, [result.cells() for result in _row_results(report)]))
        blocks.append(_markdown_table(FIGURE_HEADINGS, _figures(report)))
    if report.profile:
        blocks.append(_markdown_table(PROFILE_HEADINGS, _profile_rows(report)))
    return "\n\n".join(blocks)


def _markdown_table(headings: Sequence[str], rows: list[list[str]]) -> str:
    ruler = ["---"] * len(headings)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ruler, *rows))


def _figures(report: Report) -> list[list[str]]:
    rows: list[list[str]] = []
    for case in report.cases:
        latencies = {f"{name}, ms": value for name, value in case.latency_ms.items()}
        figures = {**case.figures, **latencies}
        rows += [[case.case, name, _number(value)] for name, value in figures.items()]
    return rows


def _profile_rows(report: Report) -> list[list[str]]:
    """Return a row for each stage, followed by the rows of its functions."""
    total = sum(entry.ms for entry in report.profile)
    stages: dict[str, list[ProfileEntry]] = {}
    for entry in report.profile:
        stages.setdefault(entry.stage, []).append(entry)
    rows: list[list[str]] = []
    for stage, entries in stages.items():
        stage_total = ProfileEntry(stage, "", sum(entry.ms for entry in entries))
        rows += [
            [
                entry.stage if not entry.function else "",
                entry.function,
                f"{entry.ms:.1f}",
                f"{entry.ms / total:.0%}",
            ]
            for entry in [stage_total, *entries]
        ]
    return rows


def write(report: Report, file: Path) -> None:
    """Write the report as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def read(file: Path) -> Report:
    """Read a report that `write` has written."""
    return msgspec.json.decode(file.read_bytes(), type=Report)


def _row_results(report: Report) -> list[RowResult]:
    return [result for case in report.cases for result in case.rows]


def _describe(machine: Machine) -> str:
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, "
        f"PostgreSQL {machine.postgresql}, Python {machine.python}."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
