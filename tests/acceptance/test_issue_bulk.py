"""issueBulk and revokeIssue over real HTTP, and earning through an enrolment."""

from __future__ import annotations

import re

import httpx

from tests.acceptance.service import earn_bulk, make_badge
from tests.acceptance.test_operations import error_codes, told
from tests.support import TRIGGER

HEX24 = re.compile(r"[0-9a-f]{24}")
DAYS_10 = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 10}


def test_issue_bulk(client: httpx.Client) -> None:
    badge_id = make_badge(client, earnType="ISSUE_EARN", issuedBadgeExpiry=DAYS_10)
    assert told(earn_bulk(client, badge_id, [1]))["issuedBadges"][0]["error"]["code"] == 811
    customers = list(range(1, 10_001))
    body = {"badgeMetaId": badge_id, "customers": customers, "triggeredBy": TRIGGER}
    data = told(client.post("/badgeMeta/customer/issueBulk", json=body))
    assert set(data) == {
        "badgeMetaId", "triggeredBy", "expiresOn", "expiresOnISO", "issuedBadges",
        "totalCount", "earnedCount", "failedCount", "requestId",
    }  # fmt: skip
    assert [entry["customerId"] for entry in data["issuedBadges"]] == customers
    assert {entry["status"] for entry in data["issuedBadges"]} == {"ACTIVE"}
    ids = [entry["issuedId"] for entry in data["issuedBadges"]]
    assert len(set(ids)) == 10_000
    assert all(map(HEX24.fullmatch, ids))
    again = told(client.post("/badgeMeta/customer/issueBulk", json=body))
    assert (again["earnedCount"], again["failedCount"]) == (0, 10_000)
    assert [entry["issuedId"] for entry in again["issuedBadges"]] == ids
    assert {entry["error"]["code"] for entry in again["issuedBadges"]} == {1040}
    one = {"badgeMetaId": badge_id, "customerId": 1, "triggeredBy": TRIGGER}
    assert told(client.post("/customer/earn", json=one))["issuedId"] == ids[0]
    counted = told(client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"}))
    assert (counted["issuedCount"], counted["earnedCount"]) == (10_000, 1)


def test_revoke_issue(client: httpx.Client) -> None:
    badge_id = make_badge(client, earnType="ISSUE_EARN", issuedBadgeExpiry=DAYS_10)
    body = {"badgeMetaId": badge_id, "customers": [1, 2, 3], "triggeredBy": TRIGGER}
    ids = [
        entry["issuedId"]
        for entry in told(client.post("/badgeMeta/customer/issueBulk", json=body))["issuedBadges"]
    ]
    asked = {
        "badgeMetaId": badge_id,
        "customers": [1, 9],
        "revokeIssuals": [{"customerId": 2, "issueId": ids[1]}],
    }
    data = told(client.post("/badgeMeta/customer/revokeIssue", json=asked))
    none = {"code": 404, "message": "Customer doesn't have issue instance", "reference": None}
    assert data == {
        "badgeMetaId": badge_id,
        "revokedIssuedBadges": [
            {"customerId": 1, "issuedId": ids[0], "error": None},
            {"customerId": 9, "issuedId": None, "error": none},
            {"customerId": 2, "issuedId": ids[1], "error": None},
        ],
    }
    codes = [
        entry.get("error", {}).get("code")
        for entry in told(earn_bulk(client, badge_id, [1, 2, 3]))["issuedBadges"]
    ]
    assert codes == [811, 811, None]
    assert error_codes(
        client.post("/badgeMeta/customer/revokeIssue", json={"badgeMetaId": badge_id}), 400
    ) == [1051]
