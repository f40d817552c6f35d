"""Attempts to break the service, and their responses."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.http.answers import failure, success
from tests.support import TRIGGER, Org, client_for, earn_bulk_body

ROOT = "http://test"


@pytest.mark.parametrize("earned_badge_id", ["f" * 24, "0" * 16 + "80000000", "0" * 16 + "7fffffff"])
async def test_an_id_that_was_never_given_is_no_earned_badge(org: Org, earned_badge_id: str) -> None:
    badge_id = await org.make_badge()
    body = {"badgeMetaId": badge_id, "customerId": 1, "earnedBadgeId": earned_badge_id}
    assert failure(await org.client.post("/customer/revokeEarn", json=body), 409) == [(814, "earnedBadgeId")]


async def test_an_encoded_slash_leads_to_no_other_path(org: Org) -> None:
    badge_id = await org.make_badge()
    failure(await org.client.put(f"/badgeMeta/{badge_id}%2fdeactivate"), 405)
    failure(await org.client.get(f"/badgeMeta/{badge_id}%2Fclaim"), 404)
    assert success(await org.client.get(f"/badgeMeta/{badge_id}"))["isActive"]


@pytest.mark.parametrize("name", ["%00", "a" * 4000, "none.js"])
async def test_invalid_file_name_is_404(org: Org, name: str) -> None:
    async with client_for(org.services, None) as client:
        failure(await client.get(f"{ROOT}/docs/assets/{name}"), 404)


@pytest.mark.parametrize(
    ("fields", "reference"),
    [
        ({"name": "  "}, "name"),
        ({"customFields": {str(number): number for number in range(101)}}, "customFields"),
        ({"ownership": {"restrictedToOwners": ["Loyalty"] * 101}}, "ownership.restrictedToOwners"),
        ({"tags": [{"name": "x"}] * 101}, "tags"),
    ],
)
async def test_a_badge_has_a_name_and_is_of_a_bounded_size(
    org: Org, fields: dict[str, Any], reference: str
) -> None:
    body = {"startOn": "2030-01-01T00:00Z", "expiresOn": "2031-01-01T00:00Z", "earnType": "EARN", "name": "x"}
    rest = {"earnedBadgeExpiry": {"expiryType": "NEVER"}, "ownership": {"restrictedToOwners": ["Loyalty"]}}
    answer = await org.client.post("/badgeMeta", json={**body, **rest, **fields})
    assert failure(answer, 400) == [(400, reference)]


async def test_invalid_customer_is_reported_with_its_index(org: Org) -> None:
    customers: list[Any] = list(range(1, 50_001))
    customers[43_210] = "x"
    answer = await org.client.post("/customer/earnBulk", json=earn_bulk_body("0" * 24, customers))
    assert failure(answer, 400) == [(400, "customerIds[43210]")]


async def test_disconnecting_client_is_not_logged_as_an_error(org: Org) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app: Any = org.client._transport.app  # pyright: ignore[reportAttributeAccessIssue]
    request = org.client.build_request("POST", "/customer/earnBulk")
    authorized = next(httpx.BasicAuth(org.credential.username, org.credential.secret).auth_flow(request))
    scope = {
        "type": "http",
        "method": "POST",
        "path": authorized.url.path,
        "raw_path": authorized.url.raw_path,
        "query_string": b"",
        "headers": [
            (name.lower(), value) for name, value in authorized.headers.raw if name != b"Content-Length"
        ],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert b"The request body is incomplete" in sent[1]["body"]


async def test_an_oauth_client_is_sent_once(org: Org) -> None:
    client = {"client_id": org.credential.client_key, "client_secret": org.credential.client_secret}
    grant = {"grant_type": "client_credentials"}
    basic = (org.credential.client_key, org.credential.client_secret)
    async with client_for(org.services, None) as anybody:
        twice = await anybody.post(f"{ROOT}/oauth/token", data={**grant, **client}, auth=basic)
        repeated = await anybody.post(f"{ROOT}/oauth/token", data={"grant_type": ["client_credentials", "x"]})
    for answer in (twice, repeated):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_text_that_postgresql_cannot_store_is_rejected(org: Org) -> None:
    badge_id = await org.make_badge()
    answer = await org.client.post(f"/badgeMeta/{badge_id}/claim", json={**TRIGGER, "referenceId": "a\0"})
    assert failure(answer, 400) == [(400, "referenceId")]
    assert answer.json()["errors"][0]["message"] == "The text contains characters that are not allowed."
