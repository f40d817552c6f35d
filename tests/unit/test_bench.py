"""The benchmark has a case for each row that is promised, and its table says honestly what was reached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import profile, reference
from bench.__main__ import app
from bench.cases import CASES
from bench.report import Machine, Report, line_of, markdown, report_case
from bench.table import Case, Part, Round, Row
from tests.lint import repo

PROMISED = [
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
"""What must be reached, and what is wanted; where less is better the second is the smaller one."""
ROWS = {row.name: row for case in CASES.values() for row in case.rows}
MORE = Row(name="more", measured="÷", must=0.7, want=1.0)
LESS = Row(name="less", measured="s", must=5, want=2, at_most=True, unit="s")
MACHINE = Machine("a processor", 2, 8.0, "18.4", "3.11.7")


def test_every_promised_row_has_a_case() -> None:
    assert sorted(ROWS) == sorted(name for name, _, _ in PROMISED)


@pytest.mark.parametrize(("name", "must", "want"), PROMISED)
def test_a_row_is_measured_against_its_promised_numbers(name: str, must: float, want: float) -> None:
    row = ROWS[name]
    assert (row.must, row.want, row.at_most) == (must, want, want < must)


def test_the_page_on_performance_tells_of_every_row() -> None:
    page = (repo.ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in ROWS if name not in page] == []
    assert [name for name in [*CASES, "profile"] if f"`{name}`" not in page] == []


def test_cases_are_listed() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "bench", "--list"], cwd=repo.ROOT, capture_output=True, text=True, check=True
    )
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == [
        *(case.name for case in CASES.values() for _ in case.rows),
        "profile",
    ]


def test_an_unknown_case_is_refused() -> None:
    ran = CliRunner().invoke(app, ["bulky"])
    assert ran.exit_code == 2
    assert "no such case: bulky" in ran.output


@pytest.mark.parametrize(
    ("row", "values", "reached"),
    [
        (MORE, [0.1, 1.0, 1.2], "want"),
        (MORE, [0.9, 0.7, 0.1], "must"),
        (MORE, [0.69, 0.69, 2.0], "no"),
        (LESS, [9.0, 2.0, 1.0], "want"),
        (LESS, [2.1, 5.0, 9.0], "must"),
        (LESS, [5.1, 5.1, 0.1], "no"),
    ],
)
def test_a_row_reaches_what_its_median_reaches(row: Row, values: list[float], reached: str) -> None:
    assert line_of(row, values).reached == reached


def test_rounds_become_a_table() -> None:
    case = Case(name="both", rows=(MORE, LESS), measure=lambda _: rounds[0])
    rounds = [
        Round(values=(ratio, seconds), figures={"requests/s": 1000 * ratio}, latencies_s=[0.01, 0.02])
        for ratio, seconds in [(0.5, 1.0), (0.8, 6.0), (0.9, 3.0)]
    ]
    report = Report(
        MACHINE, 3, [report_case(case, rounds)], [Part("database", "copy", 3), Part("encode", "write", 1)]
    )
    lines = markdown(report).splitlines()
    assert lines[0] == "a processor, 2 cores, 8 GiB, PostgreSQL 18.4, Python 3.11.7."
    assert "| more | ÷ | 0.8 | 0.5 | 0.9 | 0.7 | 1 | must |" in lines
    assert "| less | s | 3 s | 1 s | 6 s | ≤ 5 s | ≤ 2 s | must |" in lines
    assert "| both | requests/s | 800 |" in lines
    assert "| both | p50, ms | 15 |" in lines
    assert "| database |  | 3.0 | 75% |" in lines
    assert "|  | write | 1.0 | 25% |" in lines


def test_the_reference_is_what_fits_into_a_day() -> None:
    assert len(Path(reference.__file__).read_text(encoding="utf-8").splitlines()) <= 150


def test_all_that_a_profile_wraps_is_there() -> None:
    """Whoever renames one of these says so to the profile, and to the pages that show one."""
    assert all(profile.functions(place) for place in profile.WRAPPED)


def test_an_audience_has_each_customer_once_and_what_was_ordered_beside() -> None:
    words = ["10001", "--first", "5", "--repeated", "3", "--malformed", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.audience", *words],
        cwd=repo.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    head, *lines = done.stdout.splitlines()
    customers = [int(line) for line in lines[:-2]]
    assert (head, sorted(customers[:10_001])) == ("customerId", list(range(5, 10_006)))
    assert customers[10_001:] == customers[:3]
    assert lines[-2:] == ["nobody 0", "nobody 1"]
