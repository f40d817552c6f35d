"""One test per operation that has no story of its own elsewhere, named after it: its documented shape, over real HTTP.

`docs/reference/api/operations.md` lists the test of each operation; tests/http/test_operations_page.py checks the list.
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


def test_update_badge(client: httpx.Client) -> None:
    badge_id = make_badge(client)
    changed = told(client.put("/badgeMeta", json={"id": badge_id, "description": "New", "tags": None}))
    assert set(changed) == WHOLE
    assert (changed["id"], changed["description"], changed["tags"]) == (badge_id, "New", [])
    stale = {"id": badge_id, "lastUpdatedOn": changed["createdOn"]}
    assert error_codes(client.put("/badgeMeta", json=stale), 409) == [409]
    wrong = {"id": badge_id, "earnType": "ISSUE_EARN", "startOn": time.time() + 9, "ownership": None}
    assert set(error_codes(client.put("/badgeMeta", json=wrong), 400)) == {727}
    wrong.pop("ownership")
    assert set(error_codes(client.put("/badgeMeta", json=wrong), 400)) == {400, 723, 1020}


def test_list_managed_badges(client: httpx.Client, badge_id: str) -> None:
    data = told(client.get("/management/77", params={"size": 1000, "sortOn": "EXPIRES_ON", "order": "ASC"}))
    assert set(data) == {"customerBadges", "pagination"}
    [row] = [row for row in data["customerBadges"] if row["badgeMetaId"] == badge_id]
    assert set(row) == {
        "badgeMetaId", "name", "description", "badgeType", "badgeGroupId", "badgeGroupName", "badgeRank", "createdOn",
        "createdOnISO", "lastUpdatedOn", "lastUpdatedOnISO", "images", "badgeStatus", "lastEarnedOn", "lastEarnedOnISO",
        "startsOn", "startsOnISO", "expiresOn", "expiresOnISO", "earnCount", "ownership", "issueStatus", "active",
    }  # fmt: skip
    ends = [row["expiresOn"] for row in data["customerBadges"]]
    assert ends == sorted(ends)


def test_get_managed_badge(client: httpx.Client, badge_id: str) -> None:
    earned = {"badgeMetaId": badge_id, "customerId": 701, "triggeredBy": TRIGGER}
    earned_id = told(client.post("/customer/earn", json=earned))["earnedBadgeId"]
    data = told(client.get(f"/management/701/badge/{badge_id}", params={"includeStatistics": "true"}))
    assert set(data) == {
        "id", "name", "description", "createdOn", "createdOnISO", "lastUpdatedOn", "lastUpdatedOnISO", "startsOn",
        "startsOnISO", "expiresOn", "expiresOnISO", "action", "badgeType", "badgeStatus", "owner", "claimedBy", "images",
        "earnExpiry", "issueExpiry", "badgeGroupId", "badgeGroupName", "badgeRank", "activeEarnedCount", "customFields",
        "earnConstraintBlockStatistics", "issualDetails", "earnDetails",
    }  # fmt: skip
    assert data["activeEarnedCount"] == data["earnDetails"]["earnCount"] == 1
    [earn] = data["earnDetails"]["earns"]
    assert (earn["earnedBadgeId"], earn["status"], earn["ownerType"]) == (earned_id, "LIVE", "Loyalty")
    assert data["issualDetails"] == {"issuedCount": 0, "issuals": []}


def test_get_fixed_window_details(client: httpx.Client) -> None:
    """Weekly cycles of a badge that starts on Monday 25 September 2023, in the time zone of the first org."""
    window = {"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 2, "durationType": "WEEKS"}
    whole = {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": 9, "durationType": "MONTHS"}
    badge_id = make_badge(
        client,
        startOn="2023-09-25T00:00:00Z",
        expiresOn="2023-12-01T00:00:00Z",
        customerConstraints=[window],
        badgeConstraints=[whole],
    )
    assert told(earn_bulk(client, badge_id, [1, 2], earnEventDate="2023-10-03T10:00:00Z"))["earnedCount"] == 2
    params = {"badgeMetaId": badge_id, "customerId": "1", "includeEarnCount": "true", "size": "100"}
    data = told(client.get("/badgeMeta/getFixedWindowDetails", params=params))
    cycles = data["fixedWindowCycles"]
    assert data["pagination"]["total"] == len(cycles) == 10 + 3
    assert set(cycles[0]) == {
        "fixedWindowCycleReferenceId", "startDate", "startDateISO", "endDate", "endDateISO", "earnCount",
        "constraintType", "cycleStatus",
    }  # fmt: skip
    days = [(cycle["startDateISO"][:10], cycle["endDateISO"][:10], cycle["earnCount"]) for cycle in cycles]
    assert days[:3] == [
        ("2023-09-25", "2023-10-01", 0),
        ("2023-10-02", "2023-10-08", 1),
        ("2023-10-09", "2023-10-15", 0),
    ]
    assert days[10:] == [
        ("2023-09-25", "2023-09-30", 0),
        ("2023-10-01", "2023-10-31", 2),
        ("2023-11-01", "2023-11-30", 0),
    ]
    assert [cycle["constraintType"] for cycle in cycles] == ["CUSTOMER"] * 10 + ["BADGE"] * 3
    within = {
        "badgeMetaId": badge_id,
        "constraintType": "BADGE",
        "startDate": "2023-10-31T12:00:00Z",
        "endDate": "2023-11-01T00:00:00Z",
    }
    some = told(client.get("/badgeMeta/getFixedWindowDetails", params=within))["fixedWindowCycles"]
    assert [cycle["startDateISO"][:10] for cycle in some] == ["2023-10-01", "2023-11-01"]
    assert error_codes(client.get("/badgeMeta/getFixedWindowDetails"), 400) == [715]
    no_customer = {"badgeMetaId": badge_id, "includeEarnCount": "true"}
    assert error_codes(client.get("/badgeMeta/getFixedWindowDetails", params=no_customer), 400) == [812]


def test_groups(client: httpx.Client) -> None:
    group = told(client.post("/group", json={"name": "Gold", "rank": 1}), 201)
    assert set(group) == {
        "id", "orgId", "name", "rank", "createdBy", "createdOn", "createdOnISO", "lastUpdatedBy", "lastUpdatedOn",
        "lastUpdatedOnISO", "isActive",
    }  # fmt: skip
    changed = told(client.put(f"/{group['id']}", json={"name": "Platinum"}))
    assert (changed["id"], changed["name"], changed["rank"]) == (group["id"], "Platinum", 1)
    assert told(client.get(f"/group/{group['id']}")) == changed
    assert changed in told(client.get("/group", params={"size": 1000}))["badgeGroups"]


def test_custom_fields(client: httpx.Client) -> None:
    body = {"name": f"size {time.time()}", "dataType": "INTEGER", "isMandatory": True, "defaultValue": 5}
    field = told(client.post("/customField", json=body), 201)
    assert body.items() <= field.items()
    assert {"id", "orgId", "isActive", "createdOn", "createdOnISO"} <= set(field)
    try:
        assert told(client.get(f"/badgeMeta/{make_badge(client)}"))["customFields"] == {body["name"]: 5}
        wrong = badge_body(startOn=time.time(), customFields={body["name"]: "many"})
        assert error_codes(client.post("/badgeMeta", json=wrong), 400) == [400]
        assert field in told(client.get("/customField", params={"size": 1000}))["customFieldROList"]
    finally:
        changed = told(
            client.put(f"/customField/{field['id']}", json={"isMandatory": False, "isActive": False})
        )
    assert told(client.get(f"/customField/{field['id']}")) == changed


def test_org_meta(client: httpx.Client) -> None:
    assert error_codes(client.get("/orgMeta"), 404) == [404]
    tag = {"key": "season", "dataType": "STRING", "description": "When", "mandatory": False}
    made = told(client.post("/orgMeta", json={"tags": [tag]}), 201)
    assert made["tags"] == [tag]
    assert error_codes(client.post("/orgMeta", json={"tags": []}), 409) == [409]
    changed = told(client.put("/orgMeta", json={"tags": []}))
    assert (changed["id"], changed["tags"]) == (made["id"], [])
    assert told(client.get("/orgMeta")) == changed


def test_put_identifiers(client: httpx.Client) -> None:
    body = {"identifiers": [{"customerId": 801, "type": "email", "value": " Eight@Example.org "}]}
    counts = {"totalCount": 1, "createdCount": 1, "updatedCount": 0, "unchangedCount": 0}
    assert told(client.put("/customers/identifiers", json=body)) == counts
    header = {"X-CAP-CUSTOMER-IDENTIFIER": "email"}
    assert told(client.get("/customer/eight@example.org", headers=header))["badges"] is not None
    assert error_codes(client.get("/customer/nine@example.org", headers=header), 404) == [404]


def test_list_holders(client: httpx.Client) -> None:
    badge_id = make_badge(client)
    issued = told(earn_bulk(client, badge_id, [3, 1, 2], requestId=f"who {badge_id}"))["issuedBadges"]
    page = told(client.get(f"/badgeMeta/{badge_id}/customers", params={"size": 2}))
    assert set(page) == {"badgeMetaId", "customers", "next"}
    rest = told(client.get(f"/badgeMeta/{badge_id}/customers", params={"after": page["next"]}))
    rows = page["customers"] + rest["customers"]
    assert {row["customerId"]: row["earnedBadgeId"] for row in rows} == {
        entry["customerId"]: entry["issuedId"] for entry in issued
    }
    assert [row["customerId"] for row in rows] == [1, 2, 3]
    assert {row["requestId"] for row in rows} == {f"who {badge_id}"}
    assert rest["next"] is None


def test_explain(client: httpx.Client) -> None:
    badge_id = make_badge(client)
    path = f"/badgeMeta/{badge_id}/customers/1/explain"
    before = told(client.get(path))
    assert before["wouldEarn"] is True
    earned_id = told(earn_bulk(client, badge_id, [1]))["issuedBadges"][0]["issuedId"]
    after = told(client.get(path))
    [refusal] = [rule for rule in after["rules"] if rule["verdict"] == "REFUSED"]
    assert (refusal["rule"], refusal["code"], refusal["earnedBadgeId"]) == ("NOT_HELD", 1040, earned_id)
    assert (after["wouldEarn"], after["earned"][0]["earnedBadgeId"]) == (False, earned_id)
