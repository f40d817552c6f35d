"""A request is undone over HTTP: seen before in a dry run, and the badge can be issued again."""

from __future__ import annotations

import secrets

import httpx

from tests.acceptance.service import earn_bulk, make_badge
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
