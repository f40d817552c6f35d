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

from bench.table import Case, Round, Row

GIB = 1024**3
HEADINGS = ("case", "measured as", "median", "min", "max", "must", "want", "reached")


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

    @property
    def reached(self) -> str:
        """Which of the two numbers the median reaches."""
        middle = median(self.values)
        if self.row.reaches(middle, self.row.want):
            return "want"
        return "must" if self.row.reaches(middle, self.row.must) else "no"

    def cells(self) -> list[str]:
        """In the order of HEADINGS."""
        sign = "≤ " if self.row.at_most else ""
        unit = f" {self.row.unit}" if self.row.unit else ""
        measured = [
            _number(value) + unit for value in (median(self.values), min(self.values), max(self.values))
        ]
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
    cases: list[CaseReport]


def report_case(case: Case, rounds: Sequence[Round]) -> CaseReport:
    """Put the rounds of a case together."""
    by_row = zip(*(each.values for each in rounds), strict=True)
    latencies = [latency * 1000 for each in rounds for latency in each.latencies_s]
    return CaseReport(
        case=case.name,
        lines=[Line(row, list(values)) for row, values in zip(case.rows, by_row, strict=True)],
        figures={name: median(each.figures[name] for each in rounds) for name in rounds[0].figures},
        latency_ms=_percentiles(latencies) if len(latencies) > 1 else {},
    )


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
    table = Table(*HEADINGS, title=f"Ratios of one run, {report.rounds} rounds")
    for line in _lines(report):
        colour = {"want": "green", "must": "yellow", "no": "red"}[line.reached]
        *cells, reached = line.cells()
        table.add_row(*cells, f"[{colour}]{reached}[/]")
    console.print(table)
    figures = Table("case", "figure", "median", title="What they were made of")
    for case in report.cases:
        for name, value in case.figures.items():
            figures.add_row(case.case, name, _number(value))
        for name, value in case.latency_ms.items():
            figures.add_row(case.case, f"{name}, ms", _number(value))
    console.print(figures)
    console.print(_machine_sentence(report.machine))


def markdown(report: Report) -> str:
    """The tables, for docs/performance.md."""
    head = [f"| {' | '.join(HEADINGS)} |", "| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    rows = [f"| {' | '.join(line.cells())} |" for line in _lines(report)]
    figures = ["| case | figure | median |", "| --- | --- | ---: |"]
    for case in report.cases:
        latencies = {f"{name}, ms": value for name, value in case.latency_ms.items()}
        for name, value in {**case.figures, **latencies}.items():
            figures.append(f"| {case.case} | {name} | {_number(value)} |")
    return "\n".join([_machine_sentence(report.machine), "", *head, *rows, "", *figures])


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
