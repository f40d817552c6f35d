"""A request is undone over HTTP: seen before in a dry run, and the badge can be issued again."""

from __future__ import annotations

import secrets
import subprocess

import httpx

from tests.acceptance.service import Service, command, earn_bulk, make_badge
from tests.acceptance.test_jobs import END_S_MAX, ended, environment, start
from tests.support import earn_bulk_body


def test_revoke_request(client: httpx.Client) -> None:
    badge_id, request_id = make_badge(client), secrets.token_hex(8)
    audience = range(8_100_080_000, 8_100_081_000)
    assert earn_bulk(client, badge_id, audience, requestId=request_id).json()["data"]["earnedCount"] == 1_000
    body, told = {"requestId": request_id}, {"requestId": request_id, "revoked": 1_000, "alreadyRevoked": 0}
    tried = client.post("/requests/revoke", json=body, params={"dryRun": "true"})
    assert (tried.status_code, tried.json()["data"]) == (200, told)
    undone = client.post("/requests/revoke", json=body)
    assert (undone.status_code, undone.json()["data"]) == (200, told)
    again = client.post("/requests/revoke", json=body).json()["data"]
    assert again == {"requestId": request_id, "revoked": 0, "alreadyRevoked": 1_000}
    assert earn_bulk(client, badge_id, audience).json()["data"]["earnedCount"] == 1_000


def test_a_dry_run_of_earn_bulk_issues_nothing(client: httpx.Client) -> None:
    badge_id, request_id = make_badge(client), secrets.token_hex(8)
    audience = range(8_100_082_000, 8_100_083_000)
    body = earn_bulk_body(badge_id, list(audience), requestId=request_id)
    tried = client.post("/customer/earnBulk", json=body, params={"dryRun": "true"}).json()["data"]
    assert (tried["earnedCount"], tried["issuedBadges"][0]["issuedId"]) == (1_000, None)
    assert client.get("/requests", params={"requestId": request_id}).status_code == 404
    assert client.post("/customer/earnBulk", json=body).json()["data"]["earnedCount"] == 1_000


def undo(service: Service, request_id: str, *options: str) -> tuple[int, str]:
    """Exit status and all that `cockade undo` said."""
    done = subprocess.run(
        command("undo", request_id, *options),
        env=environment(service), capture_output=True, text=True, check=False, timeout=END_S_MAX,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).replace("│", "").split())


def test_a_large_job_is_undone_by_cockade_undo(service: Service, client: httpx.Client) -> None:
    """More than one call issues: by the worker, and the command waits for it."""
    badge_id, size = make_badge(client), 100_001
    job = ended(client, start(client, badge_id, range(1, size + 1)))
    for status, said in (
        undo(service, job["requestId"], "--dry-run"),
        undo(service, job["requestId"]),
        undo(service, job["requestId"]),
    ):
        assert status == 0, said
        assert f"revoked {size} already revoked 0" in said
    assert earn_bulk(client, badge_id, [1, size]).json()["data"]["earnedCount"] == 2
    status, said = undo(service, "never")
    assert (status, "(404)" in said) == (1, True), said
