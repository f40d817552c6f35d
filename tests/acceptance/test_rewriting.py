"""A customer is erased, and two are merged, over HTTP."""

from __future__ import annotations

import secrets

import httpx

from tests.acceptance.service import earn_bulk, make_badge


def test_erase_customer(client: httpx.Client) -> None:
    badge_id, request_id = make_badge(client), secrets.token_hex(8)
    earn_bulk(client, badge_id, [8_100_071_001, 8_100_071_002], requestId=request_id)
    answer = client.delete("/customers/8100071001")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {
        "customerId": 8_100_071_001, "earnedBadgeCount": 1, "enrolmentCount": 0, "identifierCount": 0, "requestCount": 1,
    }  # fmt: skip
    told = client.get("/requests", params={"requestId": request_id}).json()["data"]
    assert [entry["customerId"] for entry in told["issuedBadges"]] == [0, 8_100_071_002]
    holders = client.get(f"/badgeMeta/{badge_id}/customers").json()["data"]["customers"]
    assert [holder["customerId"] for holder in holders] == [8_100_071_002]
    assert client.delete("/customers/8100071001").json()["data"]["earnedBadgeCount"] == 0


def test_merge_customers(client: httpx.Client) -> None:
    badge_id = make_badge(client)
    earned = earn_bulk(client, badge_id, [8_100_072_001, 8_100_072_002]).json()["data"]["issuedBadges"]
    answer = client.post("/customers/merge", json={"from": 8_100_072_001, "into": 8_100_072_002})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == {
        "from": 8_100_072_001, "into": 8_100_072_002,
        "earnedBadgeCount": 1, "enrolmentCount": 0, "identifierCount": 0, "requestCount": 1,
    }  # fmt: skip
    holders = client.get(f"/badgeMeta/{badge_id}/customers").json()["data"]["customers"]
    assert [holder["customerId"] for holder in holders] == [8_100_072_002, 8_100_072_002]
    assert {holder["earnedBadgeId"] for holder in holders} == {entry["issuedId"] for entry in earned}
    entry = client.get("/audit", params={"action": "customer.merge"}).json()["data"]["entries"][0]
    assert (entry["subject"], entry["details"]["into"]) == ("8100072001", 8_100_072_002)
