"""Setup errors are reported as one line, before anything is started."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from cockade.storage.embedded import embedded_database
from tests.acceptance.service import Service, free_port, query, running, temporary_home


@pytest.fixture(scope="module")
def bare_url() -> Generator[str]:
    """A database without migrations whose settings can be changed."""
    with temporary_home() as made, embedded_database(made) as url:
        yield url


def _refusal(service: Service) -> str:
    """Return the error of a failed start: one line, and exit status 1."""
    with running(service, start=False):
        service.start(wait=False)
        assert service.wait_end() == 1, service.log()
    assert service.printed() == ""
    assert "Traceback" not in service.log()
    (line,) = service.log().splitlines()
    return line


def test_database_that_cannot_be_reached(home: Path) -> None:
    url = f"postgresql://cockade@127.0.0.1:{free_port()}/cockade"
    line = _refusal(Service(home, settings={"DATABASE_URL": url}))
    assert "Cannot connect to the database" in line
    assert "COCKADE_DATABASE_URL" in line


def test_database_url_that_is_none(home: Path) -> None:
    line = _refusal(Service(home, settings={"DATABASE_URL": "mysql://somewhere/else"}))
    assert "COCKADE_DATABASE_URL" in line


def test_given_database_without_migrations_names_the_command_that_helps(home: Path, bare_url: str) -> None:
    service = Service(home, settings={"DATABASE_URL": bare_url})
    line = _refusal(service)
    assert "`cockade db migrate`" in line
    assert "0001_initial" in line
    assert service.cockade("db", "migrate")["applied"][0] == "0001_initial"
    with running(service):
        assert service.readiness() == 200
        assert service.printed() == "", "a database that was given gets its first credential by hand"


def test_unsafe_database_settings_cause_a_warning(home: Path, bare_url: str) -> None:
    service = Service(home, settings={"DATABASE_URL": bare_url})
    service.cockade("db", "migrate")
    query(bare_url, "alter database cockade set synchronous_commit to off")
    try:
        with running(service):
            warnings = [line["event"] for line in service.log_lines() if line["level"] == "warning"]
            assert any(event.startswith("synchronous_commit is off") for event in warnings), service.log()
        (warning,) = service.cockade("db", "status")["warnings"]
        assert warning.startswith("synchronous_commit is off")
    finally:
        query(bare_url, "alter database cockade reset synchronous_commit")


def test_port_in_use(home: Path) -> None:
    data_dir = home / "not-yet"
    service = Service(home, settings={"DATA_DIR": str(data_dir)})
    with socket.create_server(("127.0.0.1", service.port)):
        line = _refusal(service)
    assert f"127.0.0.1:{service.port}" in line
    assert "--port" in line
    assert not data_dir.exists(), "nothing was begun"


def test_data_directory_of_another_service(service: Service, home: Path) -> None:
    line = _refusal(Service(home, settings={"DATA_DIR": str(service.data_dir)}))
    assert "Another `cockade serve`" in line
    assert str(service.data_dir) in line
    assert service.readiness() == 200


def test_data_directory_that_cannot_be_made(home: Path) -> None:
    (home / "file").touch()
    line = _refusal(Service(home, settings={"DATA_DIR": str(home / "file" / "data")}))
    assert "COCKADE_DATA_DIR" in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("POOL_SIZE", "many"), ("POOL_SIZE", "0"), ("LOCK_TIMEOUT_S", "-1"), ("LOG_LEVEL", "loud")],
)
def test_setting_that_cannot_be_used_is_named(home: Path, name: str, value: str) -> None:
    line = _refusal(Service(home, settings={name: value}))
    assert f"COCKADE_{name}={value!r}" in line


def test_certificate_without_its_key(home: Path) -> None:
    (home / "cert.pem").touch()
    service = Service(home, options=["--tls-cert", str(home / "cert.pem")])
    with running(service, start=False):
        service.start(wait=False)
        assert service.wait_end() == 2
    assert "--tls-key" in service.log()
