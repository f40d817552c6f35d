"""The reference pages list every setting, metric, command line option and error of the source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer.main
from prometheus_client import REGISTRY

from cockade import config, metrics
from cockade.cli import app
from cockade.config import Config
from cockade.errors import CockadeError
from cockade.http.errors import STATUS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference"
ON_EVERY_COMMAND = {"--help", "--json"}
ONLY_ON_THE_COMMAND_LINE = {"CredentialNotFound", "SigningKeyNotFound", "SigningKeyInUse", "UsernameTaken"}
"""Errors that no HTTP operation raises."""
FALLBACK_MESSAGES = {"InvalidInput", "JobEnded", "JobNotEnded", "CustomerNotFound"}
"""Errors whose message always depends on the request."""


def _page(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _rows(page: str) -> dict[str, list[str]]:
    """First cell, without backquotes → the other cells."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {first.strip("`"): rest for first, *rest in rows}


def test_every_setting_is_listed_with_its_default() -> None:
    rows = _rows(_page("configuration.md"))
    for field in msgspec.structs.fields(Config):
        listed = rows[config.PREFIX + field.name.upper()][1]
        if field.name != "data_dir":  # depends on the user
            expected = "unset" if field.default in (None, "") else str(field.default)
            assert listed.strip("`").split(" ")[0] == expected, field.name


def test_every_listed_variable_exists() -> None:
    listed = dict.fromkeys(re.findall(r"^\| `(COCKADE_\w+)`", _page("configuration.md"), re.MULTILINE), "")
    assert config.unknown(listed) == []


def test_every_metric_is_listed_with_its_labels() -> None:
    rows = _rows(_page("metrics.md"))
    ours = {metric.name: metric for metric in REGISTRY.collect() if metric.name.startswith("cockade_")}
    listed = {name.removesuffix("_total"): cells[0] for name, cells in rows.items() if "cockade_" in name}
    assert listed == {name: metric.type for name, metric in ours.items()}
    labels = {
        collector._name: list(collector._labelnames)  # pyright: ignore
        for collector in vars(metrics).values()
        if hasattr(collector, "_labelnames")
    }
    for name, cells in rows.items():
        if "cockade_" in name:
            assert re.findall(r"`(\w+)`", cells[1]) == labels[name.removesuffix("_total")], name


def _commands(command: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    if hasattr(command, "commands"):
        for name, part in command.commands.items():
            yield from _commands(part, [*path, name])
    else:
        yield path, command


@pytest.mark.parametrize(
    ("path", "command"),
    [
        pytest.param(path, command, id=" ".join(path))
        for path, command in _commands(typer.main.get_command(app), [])
    ],
)
def test_every_command_is_described_with_its_options(path: list[str], command: Any) -> None:
    section = re.search(
        rf"^## cockade {path[0]}\n(.*?)(?=^## |\Z)", _page("command-line.md"), re.MULTILINE | re.DOTALL
    )
    assert section is not None
    assert len(path) == 1 or f"`{' '.join(path)}" in section[1]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            assert parameter.name.upper() in section[1]
        elif not parameter.hidden:
            for option in {*parameter.opts, *parameter.secondary_opts} - ON_EVERY_COMMAND:
                assert f"`{option}`" in section[1]


@pytest.mark.parametrize("error", STATUS, ids=lambda error: error.__name__)
def test_every_error_is_listed_with_its_code_and_status(error: type[CockadeError]) -> None:
    if error.__name__ in ONLY_ON_THE_COMMAND_LINE | FALLBACK_MESSAGES:
        return
    rows = [line.strip("| ").split(" | ") for line in _page("errors.md").splitlines()]
    found = [row for row in rows if len(row) > 2 and row[2] == error.message]
    assert found, error.message
    assert any(
        str(error.code) == row[0] and str(STATUS[error]) in re.findall(r"\d+", row[1]) for row in found
    )
