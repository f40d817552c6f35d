"""The systemd units match the commands and timeouts of the service."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from cockade.cli import app
from cockade.config import Config
from cockade.storage import embedded

UNITS = Path(__file__).resolve().parents[2] / "packaging" / "systemd"
COMMAND = re.compile(r"/\.venv/bin/cockade ([a-z ]+?)(?= -|$)")


def _service(name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read(UNITS / name)
    return dict(parser["Service"])


def test_stop_timeout_of_systemd_is_longer_than_a_shutdown() -> None:
    unit = _service("cockade.service")
    assert int(unit["TimeoutStopSec"]) > Config().shutdown_timeout_s + embedded.STOP_S_MAX
    assert unit["KillMode"] == "mixed", "the parent must stop its workers before the embedded database"
    assert unit["Restart"] == "always"


@pytest.mark.parametrize("name", ["cockade.service", "cockade-backup.service", "cockade-worker.service"])
def test_unit_runs_an_existing_command_without_privileges(name: str) -> None:
    unit = _service(name)
    found = COMMAND.search(unit["ExecStart"])
    assert found is not None
    groups = {group.name for group in app.registered_groups}
    commands = {command.name for command in app.registered_commands}
    assert found[1].split()[0] in groups | commands
    assert (unit["User"], unit["NoNewPrivileges"], unit["ProtectSystem"]) == ("cockade", "yes", "strict")
    assert unit["CapabilityBoundingSet"] == ""
