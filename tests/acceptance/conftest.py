"""One running service for all tests that do not end it, and the numbers that tests have measured."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.service import Service, query, running, temporary_home

SETTINGS = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "WEBHOOK_TIMEOUT_S": "1"}
"""Webhooks may be delivered to the tests' own receivers, and those that hang are given up soon."""


@pytest.fixture
def home() -> Generator[Path]:
    """A directory for one service and its database."""
    with temporary_home() as made:
        yield made


@pytest.fixture
def logging_service(home: Path) -> Generator[Service]:
    """A service of one worker, whose database writes down every statement; its callers are the only ones to ask it."""
    with running(Service(home, settings={"RUN_WORKER": "off"})) as service:
        query(service.database_url, "alter system set log_statement = 'all'")
        query(service.database_url, "select pg_reload_conf()")
        yield service


@pytest.fixture(scope="session")
def service() -> Generator[Service]:
    """A service with two workers and its own database. Tests must leave it running."""
    with temporary_home() as made, running(Service(made, workers=2, settings=SETTINGS)) as started:
        yield started


@pytest.fixture(scope="session")
def client(service: Service) -> Generator[httpx.Client]:
    """The client with the credential that the service showed when it was first started."""
    shown = service.first_credential()
    with service.client(shown["username"], shown["secret"]) as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "teardown":
                for name, value in report.user_properties:
                    terminalreporter.write_line(f"Measured: {name}: {value}")
