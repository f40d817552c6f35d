"""The directory in which processes share metrics is deleted in the end, even after the service was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cockade.metrics import DIRECTORIES, DIRECTORY, shared_directory

HOLD = "from cockade import metrics\nwith metrics.shared_directory(): print(flush=True), input()"


def test_directory_of_a_killed_service_is_deleted_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(DIRECTORY, raising=False)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with other:
        assert other.stdout is not None
        other.stdout.readline()
        [other_directory] = tmp_path.iterdir()
        (other_directory / "counter_1.db").write_bytes(b"1")
        with shared_directory():
            own_directory = Path(os.environ[DIRECTORY])
            assert own_directory.name.startswith(DIRECTORIES)
            assert set(tmp_path.iterdir()) == {other_directory, own_directory}, (
                "the directory of a running service must stay"
            )
        assert set(tmp_path.iterdir()) == {other_directory}
        other.kill()
    (tmp_path / "else").mkdir()
    with shared_directory():
        assert {Path(os.environ[DIRECTORY]), tmp_path / "else"} == set(tmp_path.iterdir())
