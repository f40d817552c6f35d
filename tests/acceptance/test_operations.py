"""One test per operation that has no story of its own elsewhere, named after it: its documented shape, over real HTTP.

`docs/api/operations.md` says which test shows which operation; tests/http/test_operations_page.py keeps it complete.
"""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Service, earn_bulk, make_badge
from tests.support import REFERENCE, TRIGGER, badge_body

HEX24 = re.compile(r"[0-9a-f]{24}")
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
BASICS = {
    "id", "badgeNumericId", "orgId", "name", "description", "startOn", "startOnISO", "expiresOn", "expiresOnISO",
    "status", "earnType", "earnedBadgeExpiry", "issuedBadgeExpiry", "ownership", "images", "benefits", "tags",
    "badgeGroupId", "badgeGroupName", "badgeRank", "customFields", "defaultTillId", "active", "isActive",
    "overlapPolicy", "createdOn", "createdOnISO", "createdBy", "lastUpdatedOn", "lastUpdatedOnISO", "lastUpdatedBy",
}  # fmt: skip
WHOLE = BASICS | {"customerConstraints", "badgeConstraints"}
COUNTS = {"issuedCount", "earnedCount"}


def told(answer: httpx.Response, status: int = 200) -> Any:
    """The data of a success, whose envelope and request id are as they are documented."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert answer.headers["X-CAP-REQUEST-ID"]
    envelope = answer.json()
    assert list(envelope) == ["data", "errors", "warnings"]
    assert (envelope["errors"], envelope["warnings"]) == ([], [])
    return envelope["data"]


def error_codes(answer: httpx.Response, status: int) -> list[int]:
    """The codes of a failure."""
    assert answer.status_code == status, answer.text
    assert (answer.json()["data"], answer.json()["warnings"]) == (None, None)
    return [error["code"] for error in answer.json()["errors"]]


@pytest.fixture(scope="module")
def badge_id(client: httpx.Client) -> str:
    """A badge that is live and claimed by Loyalty."""
    return make_badge(client)


def test_create_badge(client: httpx.Client) -> None:
    body = badge_body(startOn=time.time())
    badge = told(client.post("/badgeMeta", json=body), 201)
    assert set(badge) == WHOLE
    assert HEX24.fullmatch(badge["id"])
    assert (badge["name"], badge["status"], badge["active"]) == (body["name"], "LIVE", True)
    assert badge["ownership"] == {"restrictedToOwners": ["Loyalty"], "claims": []}
    assert all(ISO.fullmatch(badge[f"{name}ISO"]) for name in ("startOn", "expiresOn", "createdOn"))


def test_get_badge(client: httpx.Client, badge_id: str) -> None:
    badge = told(client.get(f"/badgeMeta/{badge_id}"))
    assert set(badge) == WHOLE
    assert badge["ownership"]["claims"] == [{**TRIGGER, "isActive": True}]
    counted = told(client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"}))
    assert set(counted) == WHOLE | COUNTS
    assert error_codes(client.get(f"/badgeMeta/{'0' * 24}"), 404) == [404]


def test_list_badges(client: httpx.Client, badge_id: str) -> None:
    data = told(client.get("/badgeMeta", params={"size": 1000, "status": "LIVE"}))
    assert set(data) == {"metaBasicDetails", "pagination"}
    assert set(data["pagination"]) == {"page", "size", "total", "totalPages"}
    [row] = [row for row in data["metaBasicDetails"] if row["id"] == badge_id]
    assert set(row) == BASICS | COUNTS


def test_deactivate_badge_and_activate_badge(client: httpx.Client) -> None:
    badge_id = make_badge(client)
    assert told(client.put(f"/badgeMeta/{badge_id}/deactivate")) == {"id": badge_id, "isActive": False}
    assert error_codes(earn_bulk(client, badge_id, [1]), 409) == [815]
    assert told(client.put(f"/badgeMeta/{badge_id}/activate")) == {"id": badge_id, "isActive": True}
    assert told(earn_bulk(client, badge_id, [1]))["earnedCount"] == 1


def test_claim_badge_and_unclaim_badge(client: httpx.Client) -> None:
    badge_id = make_badge(client, claim=False)
    claim = {"badgeMetaId": badge_id, **TRIGGER}
    assert told(client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)) == {**claim, "isActive": True}
    assert told(client.post(f"/badgeMeta/{badge_id}/unclaim", json=TRIGGER)) == {**claim, "isActive": False}
    assert error_codes(client.post(f"/badgeMeta/{badge_id}/unclaim", json=TRIGGER), 400) == [737]


def test_earn(client: httpx.Client, badge_id: str) -> None:
    body = {"badgeMetaId": badge_id, "customerId": 501, "requestId": "earn 501", "triggeredBy": TRIGGER}
    data = told(client.post("/customer/earn", json=body))
    assert HEX24.fullmatch(data.pop("earnedBadgeId"))
    assert ISO.fullmatch(data.pop("expiresOnISO"))
    assert data.pop("expiresOn") > time.time()
    assert data == {"badgeMetaId": badge_id, "customerId": 501, "requestId": "earn 501", "issuedId": None}
    assert error_codes(client.post("/customer/earn", json={**body, "requestId": "again"}), 409) == [1040]


def test_revoke_earn(client: httpx.Client, badge_id: str) -> None:
    """A revoked one frees the customer to earn again; revoking twice is 814."""
    earned = {"badgeMetaId": badge_id, "customerId": 502}
    first = told(client.post("/customer/earn", json={**earned, "triggeredBy": TRIGGER}))["earnedBadgeId"]
    revoked = {**earned, "earnedBadgeId": first}
    assert told(client.post("/customer/revokeEarn", json=revoked)) == {**revoked, "isActive": False}
    assert error_codes(client.post("/customer/revokeEarn", json=revoked), 409) == [814]
    second = told(client.post("/customer/earn", json={**earned, "triggeredBy": TRIGGER}))["earnedBadgeId"]
    assert second != first


def test_get_request(client: httpx.Client, badge_id: str) -> None:
    answer = earn_bulk(client, badge_id, [601, 602, 601], requestId="asked again")
    asked = told(client.get("/requests", params={"requestId": "asked again"}))
    assert asked == answer.json()["data"]
    lists = told(client.get("/requests", params={"requestId": "asked again", "answer": "earned"}))
    assert [entry["customerId"] for entry in lists["earnedBadgesList"]] == [601, 602]
    assert error_codes(client.get("/requests", params={"requestId": "never"}), 404) == [404]


def test_generate_token(service: Service, client: httpx.Client, badge_id: str) -> None:
    shown = service.first_credential()
    proof = {"key": shown["client key"], "secret": shown["client secret"]}
    answer = httpx.post(f"{service.origin}/v3/oauth/token/generate", json=proof)
    assert answer.status_code == 200
    envelope = answer.json()
    assert (envelope["errors"], envelope["warnings"]) == (None, None)
    assert envelope["data"]["ttlSeconds"] == 3600
    headers = {"X-CAP-API-OAUTH-TOKEN": envelope["data"]["accessToken"]}
    with httpx.Client(base_url=client.base_url, headers=headers) as bearer:
        assert told(bearer.get(f"/badgeMeta/{badge_id}"))["id"] == badge_id


def test_issue_token(service: Service, client: httpx.Client, badge_id: str) -> None:
    shown = service.first_credential()
    form = {"grant_type": "client_credentials"}
    answer = httpx.post(
        f"{service.origin}/oauth/token", data=form, auth=(shown["client key"], shown["client secret"])
    )
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    with httpx.Client(base_url=client.base_url, headers=headers) as bearer:
        assert told(bearer.get(f"/badgeMeta/{badge_id}"))["id"] == badge_id


def test_healthz_and_readyz(service: Service) -> None:
    for path, word in (("healthz", "ok"), ("readyz", "ready")):
        answer = httpx.get(f"{service.origin}/{path}")
        assert (answer.status_code, answer.json()["status"]) == (200, word)
        assert answer.json()["version"]


def test_every_path_is_served_below_the_short_base_path_too(service: Service, badge_id: str) -> None:
    shown = service.first_credential()
    base = f"{service.origin}/v1/badges"
    with httpx.Client(base_url=base, auth=(shown["username"], shown["secret"])) as short:
        assert told(short.get(f"/badgeMeta/{badge_id}"))["ownership"]["claims"][0]["referenceId"] == REFERENCE
