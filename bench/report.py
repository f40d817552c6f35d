"""What a run has shown: the table of ratios, the latencies, the machine; on the terminal, as JSON and as Markdown."""

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

from bench.table import Case, Part, Round, Row

GIB = 1024**3
WIDTH_MAX = 10_000
HEADINGS = ("case", "measured as", "median", "min", "max", "must", "want", "reached")
FIGURE_HEADINGS = ("case", "figure", "median")
PART_HEADINGS = ("stage", "function", "ms", "share")


class Machine(Struct, frozen=True):
    """What it was measured on."""

    cpu: str
    cores: int
    memory_gib: float
    postgresql: str
    python: str


class Line(Struct, frozen=True):
    """A row of the table, measured."""

    row: Row
    values: list[float]
    """One for each round."""
    median: float
    min: float
    max: float
    reached: str
    """`want`, `must` or `no`: which of the two numbers the median reaches."""

    def cells(self) -> list[str]:
        """In the order of HEADINGS."""
        sign = "≤ " if self.row.at_most else ""
        unit = f" {self.row.unit}" if self.row.unit else ""
        measured = [_number(value) + unit for value in (self.median, self.min, self.max)]
        bounds = [f"{sign}{bound:g}{unit}" for bound in (self.row.must, self.row.want)]
        return [self.row.name, self.row.measured, *measured, *bounds, self.reached]


class CaseReport(Struct, frozen=True):
    """All rounds of a case."""

    case: str
    lines: list[Line]
    figures: dict[str, float]
    """Medians over the rounds."""
    latency_ms: dict[str, float]
    """p50 and p99 of all calls of all rounds."""


class Report(Struct, frozen=True):
    """A whole run."""

    machine: Machine
    rounds: int
    cases: list[CaseReport] = []
    profile: list[Part] = []
    """Empty where it was not asked for."""


def report_case(case: Case, rounds: Sequence[Round]) -> CaseReport:
    """Put the rounds of a case together."""
    by_row = zip(*(each.values for each in rounds), strict=True)
    latencies = [latency * 1000 for each in rounds for latency in each.latencies_s]
    return CaseReport(
        case=case.name,
        lines=[line_of(row, list(values)) for row, values in zip(case.rows, by_row, strict=True)],
        figures={name: median(each.figures[name] for each in rounds) for name in rounds[0].figures},
        latency_ms=_percentiles(latencies) if len(latencies) > 1 else {},
    )


def line_of(row: Row, values: list[float]) -> Line:
    """What the rounds come to."""
    middle = median(values)
    is_wanted, is_enough = (row.reaches(middle, bound) for bound in (row.want, row.must))
    reached = "want" if is_wanted else "must" if is_enough else "no"
    return Line(row, values, middle, min(values), max(values), reached)


def _percentiles(values: list[float]) -> dict[str, float]:
    cuts = quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}


def machine(postgresql: str) -> Machine:
    """This one."""
    memory = psutil.virtual_memory().total / GIB
    cores = psutil.cpu_count() or 1
    return Machine(_cpu(), cores, round(memory, 1), postgresql, platform.python_version())


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show(console: Console, report: Report) -> None:
    """The tables, for people."""
    if report.cases:
        ratios = Table(*HEADINGS, title=f"Medians of {report.rounds} rounds")
        for line in _lines(report):
            colour = {"want": "green", "must": "yellow", "no": "red"}[line.reached]
            *cells, reached = line.cells()
            ratios.add_row(*cells, f"[{colour}]{reached}[/]")
        _print(console, ratios)
        _print(console, _table(FIGURE_HEADINGS, _figures(report), "What they were made of"))
    if report.profile:
        title = "Where the time of one bulk request of 10,000 goes"
        _print(console, _table(PART_HEADINGS, _parts(report), title))
    console.print(_machine_sentence(report.machine))


def _table(headings: Sequence[str], rows: list[list[str]], title: str) -> Table:
    table = Table(*headings, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _print(console: Console, table: Table) -> None:
    """Where the table is wider than the terminal, the terminal may wrap it."""
    needed = Console(width=WIDTH_MAX).measure(table).maximum
    Console(width=max(console.width, needed)).print(table)


def markdown(report: Report) -> str:
    """The tables, for docs/performance.md."""
    blocks = [_machine_sentence(report.machine)]
    if report.cases:
        blocks.append(_markdown_table(HEADINGS, [line.cells() for line in _lines(report)]))
        blocks.append(_markdown_table(FIGURE_HEADINGS, _figures(report)))
    if report.profile:
        blocks.append(_markdown_table(PART_HEADINGS, _parts(report)))
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


def _parts(report: Report) -> list[list[str]]:
    """Each stage as a whole, and then its parts."""
    total = sum(part.ms for part in report.profile)
    stages: dict[str, list[Part]] = {}
    for part in report.profile:
        stages.setdefault(part.stage, []).append(part)
    rows: list[list[str]] = []
    for stage, parts in stages.items():
        whole = [Part(stage, "", sum(part.ms for part in parts))]
        rows += [
            [
                part.stage if not part.function else "",
                part.function,
                f"{part.ms:.1f}",
                f"{part.ms / total:.0%}",
            ]
            for part in whole + parts
        ]
    return rows


def write(report: Report, file: Path) -> None:
    """All of it, as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def read(file: Path) -> Report:
    """What an earlier run has written."""
    return msgspec.json.decode(file.read_bytes(), type=Report)


def _lines(report: Report) -> list[Line]:
    return [line for case in report.cases for line in case.lines]


def _machine_sentence(machine: Machine) -> str:
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, "
        f"PostgreSQL {machine.postgresql}, Python {machine.python}."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
