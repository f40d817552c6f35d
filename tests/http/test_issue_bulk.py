"""issueBulk, revokeIssue, and earning through an enrolment, through the whole app."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.http.answers import earned_count, failure, message, success
from tests.support import TRIGGER, Org

NOW = datetime.now(UTC)
TEN_DAYS = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 10}


async def enrolled_badge(org: Org, **fields: Any) -> str:
    """A badge that has to be enrolled in, live for 40 days; enrolments last ten."""
    given: dict[str, Any] = {
        "earnType": "ISSUE_EARN",
        "issuedBadgeExpiry": TEN_DAYS,
        "startOn": (NOW - timedelta(days=40)).isoformat(),
        **fields,
    }
    return await org.make_badge(**given)


async def issue(
    org: Org, badge_id: str, customers: Any, days_ago: float | None = None, **fields: Any
) -> httpx.Response:
    date = {} if days_ago is None else {"issueEventDate": (NOW - timedelta(days=days_ago)).isoformat()}
    body = {"badgeMetaId": badge_id, "customers": customers, "triggeredBy": TRIGGER, **date, **fields}
    return await org.client.post("/badgeMeta/customer/issueBulk", json=body)


async def revoke(org: Org, badge_id: Any, **fields: Any) -> httpx.Response:
    return await org.client.post("/badgeMeta/customer/revokeIssue", json={"badgeMetaId": badge_id, **fields})


async def issued_count(org: Org, badge_id: str) -> int:
    answer = await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"})
    return success(answer)["issuedCount"]


async def test_customers_are_enrolled_and_the_request_tells_it_again(org: Org) -> None:
    badge_id = await enrolled_badge(org)
    answer = await issue(org, badge_id, [30, "10", 20, 10], days_ago=1, requestId="enrol")
    data = success(answer)
    assert set(data) == {
        "badgeMetaId", "triggeredBy", "expiresOn", "expiresOnISO", "issuedBadges",
        "totalCount", "earnedCount", "failedCount", "requestId",
    }  # fmt: skip
    assert [entry["customerId"] for entry in data["issuedBadges"]] == [30, 10, 20]
    assert all(set(entry) == {"customerId", "issuedId", "status"} for entry in data["issuedBadges"])
    assert {entry["status"] for entry in data["issuedBadges"]} == {"ACTIVE"}
    assert (data["totalCount"], data["earnedCount"], data["failedCount"]) == (3, 3, 0)
    assert abs(data["expiresOn"] - (NOW + timedelta(days=9)).timestamp()) < 1e-3
    [warning] = answer.json()["warnings"]
    assert warning["reference"] == "customers"
    assert success(await org.client.get("/requests", params={"requestId": "enrol"})) == data
    assert failure(await issue(org, badge_id, [99], requestId="enrol"), 400) == [(809, "requestId")]
    assert await issued_count(org, badge_id) == 3
    assert await earned_count(org, badge_id) == 0


async def test_an_active_enrolment_stands_in_the_way_of_another(shared_org: Org) -> None:
    badge_id = await enrolled_badge(shared_org)
    first = success(await issue(shared_org, badge_id, [1], days_ago=5))["issuedBadges"][0]["issuedId"]
    data = success(await issue(shared_org, badge_id, [2, 1], days_ago=0))
    assert (data["totalCount"], data["earnedCount"], data["failedCount"]) == (2, 1, 1)
    assert data["issuedBadges"][1] == {
        "customerId": 1,
        "issuedId": first,
        "status": "ACTIVE",
        "error": {
            "code": 1040,
            "message": "An active issue for the badge already exists.",
            "reference": None,
        },
    }
    # One that ends when the next begins does not, and neither does a revoked one.
    assert success(await issue(shared_org, badge_id, [1], days_ago=15))["failedCount"] == 0
    assert success(await issue(shared_org, badge_id, [1], days_ago=14.9))["failedCount"] == 1
    success(await revoke(shared_org, badge_id, customers=[1]))
    assert success(await issue(shared_org, badge_id, [1], days_ago=4))["failedCount"] == 0


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"badgeMetaId": None, "customers": []}, 400, [(715, "badgeMetaId"), (812, "customers")]),
        ({"customers": None, "customerIds": []}, 400, [(812, "customerIds")]),
        ({"customers": [1], "customerIds": [2]}, 400, [(400, "customers")]),
        ({"customers": [1, "x", 0]}, 400, [(400, "customers[1]"), (400, "customers[2]")]),
        ({"badgeMetaId": "0" * 24}, 404, [(404, "badgeMetaId")]),
        ({"triggeredBy": {"ownerType": "Journeys", "referenceId": "1"}}, 400, [(714, "triggeredBy.ownerType")]),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": "1"}}, 409, [(810, None)]),
        ({"issueEventDate": (NOW + timedelta(days=2)).isoformat()}, 400, [(750, "earnEventDate")]),
        ({"issueEventDate": (NOW - timedelta(days=50)).isoformat()}, 409, [(816, "earnEventDate")]),
    ],
)  # fmt: skip
async def test_errors_that_reject_the_whole_request(
    shared_org: Org, fields: dict[str, Any], status: int, told: list[tuple[int, str | None]]
) -> None:
    badge_id = await enrolled_badge(shared_org)
    body = {"badgeMetaId": badge_id, "customers": [1], "triggeredBy": TRIGGER, **fields}
    answer = await shared_org.client.post("/badgeMeta/customer/issueBulk", json=body)
    assert failure(answer, status) == told


async def test_direct_badge_rejects_enrolments_and_customer_ids_are_accepted(shared_org: Org) -> None:
    answer = await issue(shared_org, await shared_org.make_badge(), [1])
    assert failure(answer, 400) == [(400, "badgeMetaId")]
    badge_id = await enrolled_badge(shared_org)
    assert success(await issue(shared_org, badge_id, None, customerIds=[1, 2]))["earnedCount"] == 2


async def test_an_enrolled_badge_is_earned_within_the_window_of_the_enrolment(org: Org) -> None:
    badge_id = await enrolled_badge(
        org, overlapPolicy="ALLOW", expiresOn=(NOW - timedelta(days=12)).isoformat()
    )
    data = success(await issue(org, badge_id, [1], days_ago=15))
    issue_id, opens = data["issuedBadges"][0]["issuedId"], NOW - timedelta(days=15)
    microsecond, closes = timedelta(microseconds=1), opens + timedelta(days=10)
    # The enrolment outlives the badge, and it is what counts.
    for event, code in (
        (opens - microsecond, 811),
        (opens, None),
        (closes - microsecond, None),
        (closes, 811),
    ):
        answer = await org.earn_bulk(badge_id, [1, 2], earnEventDate=event.isoformat())
        first, second = success(answer)["issuedBadges"]
        assert (first.get("error") or {"code": None})["code"] == code, event
        assert second["error"]["code"] == 811
        assert (second["issuedId"], second["status"]) == (None, None)
    body = {
        "badgeMetaId": badge_id,
        "customerId": 1,
        "earnEventDate": opens.isoformat(),
        "triggeredBy": TRIGGER,
    }
    earned = success(await org.client.post("/customer/earn", json={**body, "requestId": "through"}))
    assert earned["issuedId"] == issue_id
    assert success(await org.client.get("/requests", params={"requestId": "through"})) == earned
    assert failure(await org.client.post("/customer/earn", json={**body, "customerId": 2}), 409) == [
        (811, None)
    ]
    # Revoking the enrolment keeps what was earned, and ends earning.
    success(await revoke(org, badge_id, revokeIssuals=[{"customerId": 1, "issueId": issue_id}]))


async def test_a_revoked_enrolment_holds_no_event_any_longer(org: Org) -> None:
    badge_id = await enrolled_badge(org, overlapPolicy="ALLOW")
    success(await issue(org, badge_id, [1, 2, 3]))
    assert success(await org.earn_bulk(badge_id, [1]))["earnedCount"] == 1
    data = success(await revoke(org, badge_id, customers=[1, 4, "2", 1]))
    assert data["badgeMetaId"] == badge_id
    assert [(entry["customerId"], entry["error"]) for entry in data["revokedIssuedBadges"]] == [
        (1, None),
        (4, {"code": 404, "message": "Customer doesn't have issue instance", "reference": None}),
        (2, None),
    ]
    assert data["revokedIssuedBadges"][1]["issuedId"] is None
    assert (await issued_count(org, badge_id), await earned_count(org, badge_id)) == (1, 1)
    codes = [
        entry.get("error", {}).get("code")
        for entry in success(await org.earn_bulk(badge_id, [1, 2, 3]))["issuedBadges"]
    ]
    assert codes == [811, 811, None]
    again = success(await revoke(org, badge_id, customers=[1]))["revokedIssuedBadges"]
    assert again[0]["error"]["code"] == 404
    assert await issued_count(org, badge_id) == 1


async def test_single_enrolments_are_revoked_by_their_ids(org: Org, other_org: Org) -> None:
    badge_id, other_id = await enrolled_badge(org), await enrolled_badge(org)
    ids = [entry["issuedId"] for entry in success(await issue(org, badge_id, [1, 2]))["issuedBadges"]]
    issuals = [
        {"customerId": 2, "issueId": ids[0]},  # another customer's
        {"customerId": 1, "issueId": ids[0].upper()},
        {"customerId": 1, "issueId": "no id"},
        {"customerId": 1, "issueId": "f" * 24},
        {"customerId": 1, "issueId": ids[0]},  # a repeated customer is enrolled once
    ]
    told = success(await revoke(org, other_id, revokeIssuals=issuals[1:2]))["revokedIssuedBadges"]
    assert told[0]["error"]["code"] == 404, "another badge's"
    told = success(await revoke(org, badge_id, revokeIssuals=issuals))["revokedIssuedBadges"]
    assert [(entry["customerId"], entry["error"] is None) for entry in told] == [
        (2, False), (1, True), (1, False), (1, False),
    ]  # fmt: skip
    assert await issued_count(org, badge_id) == 1
    assert failure(await revoke(other_org, badge_id, customers=[2]), 404) == [(404, "badgeMetaId")]


async def test_revoking_nothing_is_1051(shared_org: Org) -> None:
    badge_id = await enrolled_badge(shared_org)
    for fields in ({}, {"customers": []}, {"customers": [], "revokeIssuals": []}, {"revokeIssuals": None}):
        answer = await revoke(shared_org, badge_id, **fields)
        assert failure(answer, 400) == [(1051, "customers")]
        assert message(answer) == "RevokeIssuals or CustomerId is mandatory."
    answer = await revoke(shared_org, None, revokeIssuals=[{"customerId": None, "issueId": 5}])
    assert failure(answer, 400) == [
        (715, "badgeMetaId"),
        (812, "revokeIssuals[0].customerId"),
        (400, "revokeIssuals[0].issueId"),
    ]


async def test_of_a_customer_with_several_active_enrolments_each_is_revoked(org: Org) -> None:
    badge_id = await enrolled_badge(org)
    ids = {
        success(await issue(org, badge_id, [1], days_ago=days))["issuedBadges"][0]["issuedId"]
        for days in (9, -1)
    }  # a second one whose event is still ahead
    told = success(await revoke(org, badge_id, customers=[1]))["revokedIssuedBadges"]
    assert {entry["issuedId"] for entry in told} == ids
    assert await issued_count(org, badge_id) == 0


async def test_many_at_once_enrol_everybody_exactly_once(org: Org) -> None:
    badge_id, chance = await enrolled_badge(org), random.Random(20231103)
    audiences = [chance.sample(range(1, 401), 300) for _ in range(12)]
    answers = [
        success(each)
        for each in await asyncio.gather(*(issue(org, badge_id, audience) for audience in audiences))
    ]
    enrolled = [
        entry["customerId"] for data in answers for entry in data["issuedBadges"] if "error" not in entry
    ]
    assert sorted(enrolled) == sorted({customer for audience in audiences for customer in audience})
    assert await issued_count(org, badge_id) == len(enrolled)
    ids = {entry["customerId"]: entry["issuedId"] for data in answers for entry in data["issuedBadges"]}
    told = [
        entry["issuedId"] == ids[entry["customerId"]] for data in answers for entry in data["issuedBadges"]
    ]
    assert all(told), "a rejected customer gets the id of the enrolment"
