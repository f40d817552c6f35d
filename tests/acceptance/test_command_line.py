"""The command line: it works beside a running service and without one, and the first start shows the way."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Generator

import pytest

from tests.acceptance.service import Service, earn_bulk, make_badge, running, temporary_home

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
CREDENTIAL_KEYS = [
    "orgId", "username", "secret", "clientKey", "clientSecret", "accessGroup", "tokenTtlMinutes"
]  # fmt: skip
LISTED_KEYS = ["username", "orgId", "accessGroup", "clientKey", "tokenTtlMinutes", "createdOn", "revokedOn"]
CURL = re.compile(r"^  (curl .*?\}'\n)", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def idle() -> Generator[Service]:
    """A service that tests start and stop."""
    with temporary_home() as made, running(Service(made), start=False) as service:
        yield service


def test_database_is_made_and_migrated_before_there_is_a_service(idle: Service) -> None:
    status = idle.cockade("db", "status")
    assert list(status) == ["serverVersion", "pendingMigrations", "warnings"]
    assert int(status["serverVersion"].split(".")[0]) >= 15
    assert status["warnings"] == []
    pending = status["pendingMigrations"]
    assert pending[0] == "0001_initial"
    assert idle.cockade("db", "migrate") == {"applied": pending}
    assert idle.cockade("db", "migrate") == {"applied": []}
    assert idle.cockade("db", "status")["pendingMigrations"] == []
    assert idle.cockade("org", "list") == []


def test_first_start_shows_a_credential_and_a_call_that_works_as_pasted(idle: Service) -> None:
    idle.start()
    shown = idle.first_credential()
    assert list(shown) == ["username", "secret", "client key", "client secret"]
    call = CURL.search(idle.printed())
    assert call is not None, idle.printed()
    with idle.client(shown["username"], shown["secret"]) as client:
        assert earn_bulk(client, make_badge(client), [1, 2]).status_code == 200
    bash, curl = shutil.which("bash"), shutil.which("curl")
    if bash is None or curl is None:
        pytest.skip("bash and curl are needed to paste the call that is shown")
    pasted = subprocess.run([bash, "-c", call[1]], capture_output=True, text=True, check=True, timeout=60)
    assert '"name":"First badge"' in pasted.stdout, pasted.stdout


def test_commands_work_beside_the_running_service(idle: Service) -> None:
    org = idle.cockade("org", "create", "Acme", "--time-zone", "Asia/Kolkata")
    assert list(org) == ["orgId", "name", "timeZone", "requestIdIsKey", "createdOn"]
    assert (org["name"], org["timeZone"]) == ("Acme", "Asia/Kolkata")
    assert ISO.fullmatch(org["createdOn"])
    assert [found["name"] for found in idle.cockade("org", "list")] == ["default", "Acme"]
    to_org = ["credential", "create", "--org", str(org["orgId"]), "--name"]

    made = idle.cockade(*to_org, "writer", "--token-ttl-minutes", "5")
    assert list(made) == CREDENTIAL_KEYS
    assert (made["accessGroup"], made["tokenTtlMinutes"]) == ("default", 5)
    with idle.client("writer", made["secret"]) as client:
        badge_id = make_badge(client)

    kept = idle.cockade(*to_org, "mover", "--secret-stdin", stdin="0cc175b9c0f1b6a831c399e269772661\n")
    assert kept["secret"] == "0cc175b9c0f1b6a831c399e269772661"
    with idle.client("mover", kept["secret"]) as client:
        assert client.get(f"/badgeMeta/{badge_id}").status_code == 200

    reader = idle.cockade(*to_org, "reader", "--access-group", "read-only")
    assert reader["accessGroup"] == "read-only"
    with idle.client("reader", reader["secret"]) as client:
        assert client.get(f"/badgeMeta/{badge_id}").status_code == 200
        assert earn_bulk(client, badge_id, [1]).status_code == 403

    listed = idle.cockade("credential", "list", "--org", str(org["orgId"]))
    assert [found["username"] for found in listed] == ["writer", "mover", "reader"]
    assert all(list(found) == LISTED_KEYS for found in listed)
    assert {found["revokedOn"] for found in listed} == {None}
    assert len(idle.cockade("credential", "list")) == 4


def test_revoked_credential_is_refused_and_stays_listed(idle: Service) -> None:
    made = idle.cockade("credential", "create", "--org", "1001", "--name", "leaver")
    assert idle.cockade("credential", "revoke", "--name", "leaver") == {"username": "leaver", "revoked": True}
    with idle.client("leaver", made["secret"]) as client:
        assert client.get("/badgeMeta").status_code == 401
    listed = {found["username"]: found for found in idle.cockade("credential", "list")}
    assert ISO.fullmatch(listed["leaver"]["revokedOn"])


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["credential", "create", "--org", "999999", "--name", "x"], 1, "There is no such org."),
        (["credential", "create", "--org", "1001", "--name", "admin"], 1, "already used"),
        (["credential", "create", "--org", "1001", "--name", "a:b"], 2, "must not contain"),
        (
            ["credential", "create", "--org", "1001", "--name", "x", "--secret-stdin"],
            2,
            "must contain the secret",
        ),
        (
            ["credential", "create", "--org", "1001", "--name", "x", "--token-ttl-minutes", "61"],
            2,
            "--token-ttl-minutes",
        ),
        (["credential", "revoke", "--name", "nobody"], 1, "There is no such credential."),
        (["org", "create", "x", "--time-zone", "Mars/Olympus"], 2, "IANA time zone"),
    ],
)
def test_invalid_commands_print_a_clear_error(
    idle: Service, words: list[str], status: int, message: str
) -> None:
    refused = idle.run(*words, check=False)
    assert refused.returncode == status, refused.stderr
    assert message in " ".join(refused.stderr.replace("│", " ").split())
    assert "Traceback" not in refused.stderr


def test_tables_are_for_people_and_never_cut_a_secret(idle: Service) -> None:
    shown = idle.run("credential", "create", "--org", "1001", "--name", "table").stdout
    secret = re.search(r"│ secret +│ (\S+) +│", shown)
    assert secret is not None, shown
    assert "cannot be shown again" in shown
    with idle.client("table", secret[1]) as client:
        assert client.get("/badgeMeta").status_code == 200
    assert "table" in idle.run("credential", "list").stdout


def test_second_start_shows_nothing_and_commands_go_on_without_a_service(idle: Service) -> None:
    assert idle.stop() == 0
    assert [found["name"] for found in idle.cockade("org", "list")] == ["default", "Acme"]
    idle.start()
    assert idle.printed() == ""
    assert "serving" in idle.log()
    assert idle.stop() == 0


def test_version_and_help_are_there(idle: Service) -> None:
    assert re.fullmatch(r"cockade \d+\.\d+\.\d+\S*\n", idle.run("--version").stdout)
    shown = idle.run("--help").stdout
    for word in ("serve", "demo", "org", "credential", "db"):
        assert f"│ {word} " in shown
