"""`cockade demo`: from nothing to ten thousand badges, by itself."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.acceptance.service import command

DEMO_S_MAX = 60


def test_demo_shows_the_main_job_and_its_refusals(
    home: Path, record_property: Callable[[str, object], None]
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COCKADE_")}
    place = home / "place"
    place.mkdir()
    started = time.monotonic()
    demo = subprocess.run(
        command("demo"), cwd=place, env={**environment, "TMPDIR": str(place)},
        capture_output=True, text=True, check=False, timeout=DEMO_S_MAX,
    )  # fmt: skip
    took = f"{time.monotonic() - started:.1f} s"
    assert demo.returncode == 0, demo.stdout + demo.stderr
    rate = re.search(r"[\d,]+ customers per second", demo.stdout)
    assert rate is not None, demo.stdout
    assert "10,000 customers got the badge" in demo.stdout
    for code in ("809", "1040"):
        assert code in demo.stdout
    assert list(place.iterdir()) == [], "nothing is left behind"
    assert [process for process in psutil.process_iter(["cmdline"]) if _is_in(place, process)] == []
    record_property("cockade demo", f"{took}, {rate[0]}")


def _is_in(place: Path, process: psutil.Process) -> bool:
    return any(str(place) in word for word in process.info["cmdline"] or ())
