"""The benchmark covers every documented row and reports correctly which bounds were reached."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bench import profile
from bench.__main__ import app
from bench.cases import CASES
from bench.report import Machine, Report, markdown, report_case, row_result
from bench.report_table import Case, ProfileEntry, Row, Run
from tests.lint import repo

BOUNDS = [
    ("bulk: 10,000 fresh customers per call, 2 callers, 1 million in all", 0.7, 1.0),
    ("large: 100,000 per call", 0.7, 1.0),
    ("a job: 5 million customers in one file", 0.5, 1.0),
    ("bulk against the reference", 2.5, 4),
    ("small: 1 customer per call, 32 callers", 0.2, 0.4),
    ("small against pgbench", 0.08, 0.2),
    ("small against the reference", 2.5, 6),
    ("all refused: every customer already holds it", 0.5, 1.0),
    ("second one after the first expired", 0.4, 0.8),
    ("with limits: a customer limit, a rolling window and a badge limit", 0.5, 0.8),
    ("growth: 20 million of 100 badges already there", 0.8, 1.0),
    ("a customer's page at 20 million, 100 badges in the org", 2, 1.2),
    ("a customer's page, 5,000 badges in the org", 30, 5),
    ("linear: cost per customer at 1,000, 10,000, 100,000 per call", 1.6, 1.2),
    ("memory: four calls of 100,000 at once", 600, 300),
    ("start: `cockade serve` on an existing embedded database until `/readyz`", 5, 2),
]
"""Row name, required bound, target. If lower values are better, the target is the smaller number."""
ROWS = {row.name: row for case in CASES.values() for row in case.rows}
HIGHER = Row(name="higher", measured="÷", required=0.7, target=1.0)
LOWER = Row(name="lower", measured="s", required=5, target=2, at_most=True, unit="s")
MACHINE = Machine("a processor", 2, 8.0, "18.4", "3.11.7")


def test_cases_cover_every_row() -> None:
    assert sorted(ROWS) == sorted(name for name, _, _ in BOUNDS)


@pytest.mark.parametrize(("name", "required", "target"), BOUNDS)
def test_row_has_its_bounds(name: str, required: float, target: float) -> None:
    row = ROWS[name]
    assert (row.required, row.target, row.at_most) == (required, target, target < required)


def test_performance_page_documents_every_row_and_case() -> None:
    page = (repo.ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in ROWS if name not in page] == []
    assert [name for name in [*CASES, "profile"] if f"`{name}`" not in page] == []


def test_list_option_lists_every_row() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "bench", "--list"], cwd=repo.ROOT, capture_output=True, text=True, check=True
    )
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == [
        *(case.name for case in CASES.values() for _ in case.rows),
        "profile",
    ]


def test_help_option_describes_every_case() -> None:
    printed = CliRunner().invoke(app, ["--help"]).output
    assert [case.name for case in CASES.values() if f"{case.name:<8} {case.description}" not in printed] == []
    assert all(case.description for case in CASES.values())


def test_unknown_case_is_rejected() -> None:
    result = CliRunner().invoke(app, ["bulky"])
    assert result.exit_code == 2
    assert "unknown case: bulky" in result.output


@pytest.mark.parametrize(
    ("row", "values", "reached"),
    [
        (HIGHER, [0.1, 1.0, 1.2], "target"),
        (HIGHER, [0.9, 0.7, 0.1], "required"),
        (HIGHER, [0.69, 0.69, 2.0], "no"),
        (LOWER, [9.0, 2.0, 1.0], "target"),
        (LOWER, [2.1, 5.0, 9.0], "required"),
        (LOWER, [5.1, 5.1, 0.1], "no"),
    ],
)
def test_median_decides_which_bound_is_reached(row: Row, values: list[float], reached: str) -> None:
    assert row_result(row, values).reached == reached


def test_markdown_contains_medians_figures_latencies_and_profile() -> None:
    case = Case(name="both", description="", rows=(HIGHER, LOWER), measure=lambda _: runs[0])
    runs = [
        Run(values=(ratio, seconds), figures={"requests/s": 1000 * ratio}, latencies_s=[0.01, 0.02])
        for ratio, seconds in [(0.5, 1.0), (0.8, 6.0), (0.9, 3.0)]
    ]
    entries = [ProfileEntry("database", "copy", 3), ProfileEntry("encode", "write", 1)]
    lines = markdown(Report(MACHINE, 3, [report_case(case, runs)], entries)).splitlines()
    assert lines[0] == "a processor, 2 cores, 8 GiB, PostgreSQL 18.4, Python 3.11.7."
    assert "| higher | ÷ | 0.8 | 0.5 | 0.9 | 0.7 | 1 | required |" in lines
    assert "| lower | s | 3 s | 1 s | 6 s | ≤ 5 s | ≤ 2 s | required |" in lines
    assert "| both | requests/s | 800 |" in lines
    assert "| both | p50, ms | 15 |" in lines
    assert "| database |  | 3.0 | 75% |" in lines
    assert "|  | write | 1.0 | 25% |" in lines


def test_reference_implementation_has_at_most_150_lines() -> None:
    assert len((repo.ROOT / "bench/reference.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_profiled_function_exists() -> None:
    """After a rename in src/, update WRAPPED and the pages that show a profile."""
    assert all(profile.functions(target) for target in profile.WRAPPED)


def test_audience_has_distinct_customers_then_repeated_and_malformed_lines() -> None:
    arguments = ["10001", "--first", "5", "--repeated", "3", "--malformed", "2"]
    result = subprocess.run(
        [sys.executable, "-m", "bench.audience", *arguments],
        cwd=repo.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    head, *lines = result.stdout.splitlines()
    customers = [int(line) for line in lines[:-2]]
    assert (head, sorted(customers[:10_001])) == ("customerId", list(range(5, 10_006)))
    assert customers[10_001:] == customers[:3]
    assert lines[-2:] == ["malformed 0", "malformed 1"]
