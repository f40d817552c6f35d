"""Only `clock.py` reads the time. Everywhere else it is an argument, so that tests can set it."""

import ast

import pytest

from tests.lint import repo

READS_THE_TIME = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
}  # fmt: skip


def violations(tree: ast.Module) -> list[str]:
    """Return every use of the wall clock. Measuring durations is allowed."""
    return [f"line {line}: uses {name}" for line, name in repo.used_names(tree) if name in READS_THE_TIME]


def test_only_the_clock_reads_the_time() -> None:
    others = [path for path in repo.modules() if path != repo.SOURCE / "clock.py"]
    found = [
        f"{repo.short(path)} {field_error}" for path in others for field_error in violations(repo.parse(path))
    ]
    assert found == []


@pytest.mark.parametrize(
    "lines",
    [
        "import time\nx = time.time()",
        "from time import time\nx = time()",
        "import time as t\nx = t.time_ns()",
        "from datetime import UTC, datetime\nx = datetime.now(UTC)",
        "import datetime\nx = datetime.datetime.utcnow()",
        "from datetime import date as day\nx = day.today()",
        "from datetime import datetime\nread = datetime.now",
    ],
)
def test_reading_the_time_is_caught(lines: str) -> None:
    assert violations(ast.parse(lines))


def test_measuring_a_duration_is_left_alone() -> None:
    assert violations(ast.parse("import time\nx = time.monotonic() + time.perf_counter()")) == []
