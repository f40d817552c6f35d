"""Undoing a request: all that it gave is revoked, once, and can be had again."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cockade.undoing.service import LINES_MAX
from tests.concurrency import ledger
from tests.concurrency.test_rewriting import MISCOUNTED
from tests.http.answers import earned_count, failure, success
from tests.http.test_events import feed
from tests.http.test_import import row, send
from tests.http.test_jobs import finish, start
from tests.http.test_tenancy import rows_of
from tests.support import TRIGGER, Org

NOW = datetime.now(UTC)
ONE_DAY = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1}
LONG_AGO: dict[str, Any] = {"startOn": (NOW - timedelta(days=30)).isoformat()}
ISSUE_EARN: dict[str, Any] = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": {"expiryType": "NEVER"}}
LIMITED: dict[str, Any] = {
    "overlapPolicy": "ALLOW",
    "customerConstraints": [
        {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}
    ],
    "badgeConstraints": [
        {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 1, "maxEarnLimit": 3}
    ],
}


async def undo(org: Org, request_id: Any, **params: str) -> httpx.Response:
    return await org.client.post("/requests/revoke", json={"requestId": request_id}, params=params)


async def undone(org: Org, request_id: str, **params: str) -> tuple[int, int]:
    """How many were revoked, and how many had been before."""
    data = success(await undo(org, request_id, **params))
    assert data.pop("requestId") == request_id
    assert list(data) == ["revoked", "alreadyRevoked"]
    return data["revoked"], data["alreadyRevoked"]


async def earn(org: Org, badge_id: str, customers: list[int], request_id: str, **fields: Any) -> list[Any]:
    """The code of each refusal, or None where she earned."""
    data = success(await org.earn_bulk(badge_id, customers, requestId=request_id, **fields))
    return [entry.get("error", {}).get("code") for entry in data["issuedBadges"]]


async def test_what_a_request_issued_is_revoked_once_and_can_be_issued_again(org: Org) -> None:
    badge_id = await org.make_badge()
    assert await earn(org, badge_id, [3], "before") == [None]
    assert await earn(org, badge_id, [1, 2, 3, 4], "wrong") == [None, None, 1040, None]
    assert await undone(org, "wrong") == (3, 0)
    assert await earned_count(org, badge_id) == 1, "what others issued stays"
    assert await undone(org, "wrong") == (0, 3)
    assert await earn(org, badge_id, [1, 2, 3, 4], "right") == [None, None, 1040, None]
    assert await undone(org, "wrong") == (0, 3), "what was issued since stays"
    assert await earned_count(org, badge_id) == 4


async def test_one_that_was_taken_back_before_is_counted_as_such(org: Org) -> None:
    badge_id = await org.make_badge()
    data = success(await org.earn_bulk(badge_id, [1, 2], requestId="two"))
    earned = {"badgeMetaId": badge_id, "customerId": 2, "earnedBadgeId": data["issuedBadges"][1]["issuedId"]}
    success(await org.client.post("/customer/revokeEarn", json=earned))
    assert await undone(org, "two") == (1, 1)
    assert failure(await org.client.post("/customer/revokeEarn", json=earned), 409) == [
        (814, "earnedBadgeId")
    ]


async def test_what_has_expired_is_revoked_too(org: Org) -> None:
    badge_id = await org.make_badge(**LONG_AGO, earnedBadgeExpiry=ONE_DAY)
    event = (NOW - timedelta(days=9)).isoformat()
    assert await earn(org, badge_id, [1], "expired", earnEventDate=event) == [None]
    assert await undone(org, "expired") == (1, 0)
    assert await earn(org, badge_id, [1], "again", earnEventDate=event) == [None]


async def test_limits_have_room_again(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge(**LIMITED)
    assert await earn(org, badge_id, [1, 2, 3], "full") == [None] * 3
    assert await earn(org, badge_id, [1, 4], "no room") == [817, 818]
    assert await undone(org, "full") == (3, 0)
    assert await undone(org, "no room") == (0, 0)
    assert await earn(org, badge_id, [1, 4, 5, 6], "room again") == [None, None, None, 818]
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []


async def test_a_single_earn_is_undone(org: Org) -> None:
    badge_id = await org.make_badge()
    body = {"badgeMetaId": badge_id, "customerId": 1, "requestId": 7, "triggeredBy": TRIGGER}
    success(await org.client.post("/customer/earn", json=body))
    assert success(await undo(org, 7)) == {"requestId": "7", "revoked": 1, "alreadyRevoked": 0}


async def test_enrolments_are_undone_and_what_was_earned_through_them_stays(org: Org) -> None:
    badge_id = await org.make_badge(**ISSUE_EARN)
    enrol = {"badgeMetaId": badge_id, "customers": [1, 2], "requestId": "enrol", "triggeredBy": TRIGGER}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=enrol))
    assert await earn(org, badge_id, [1], "earned") == [None]
    assert await undone(org, "enrol") == (2, 0)
    assert await earn(org, badge_id, [2], "late") == [811]
    data = success(await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"}))
    assert (data["issuedCount"], data["earnedCount"]) == (0, 1)
    assert await undone(org, "enrol") == (0, 2)
    again = await org.client.post("/badgeMeta/customer/issueBulk", json={**enrol, "requestId": "enrol again"})
    assert success(again)["earnedCount"] == 2


async def test_an_import_of_several_badges_is_undone(org: Org, database_url: str) -> None:
    badges = [await org.make_badge(), await org.make_badge(**LIMITED), await org.make_badge()]
    rows = [row(badge_id, customer) for badge_id in badges for customer in (1, 2)]
    rows += [row("0" * 24), row(badges[0], 1), row(badges[0], 1, days_ago=20)]
    assert (await send(org, rows, "history")).status_code == 200
    assert await undone(org, "history") == (7, 0)
    assert [await earned_count(org, badge_id) for badge_id in badges] == [0, 0, 0]
    assert await undone(org, "history") == (0, 7)
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []


async def test_a_large_one_is_undone_lot_by_lot(org: Org) -> None:
    """More than one lot; of each there is an entry in the audit trail."""
    badge_id, size = await org.make_badge(), LINES_MAX + 5
    success(await org.earn_bulk(badge_id, list(range(size, 0, -1)), requestId="large"))
    # One of the first lot is one of the last lot now: each lot takes back what was given at its own lines.
    success(await org.client.post("/customers/merge", json={"from": size, "into": 1}))
    assert await undone(org, "large") == (size, 0)
    assert await undone(org, "large") == (0, size)
    assert await earned_count(org, badge_id) == 0
    page = success(await org.client.get("/audit", params={"action": "request.revoke"}))
    assert [
        (entry["subject"], entry["badgeMetaId"], entry["username"], entry["details"])
        for entry in page["entries"]
    ] == [
        ("large", badge_id, org.caller.username, {"kind": "EARN_BULK", "revokedCount": count})
        for count in (5, LINES_MAX)
    ]


async def test_erased_and_merged_customers_are_met_where_they_are_now(org: Org) -> None:
    badge_id = await org.make_badge()
    assert await earn(org, badge_id, [1, 2, 3, 4], "four") == [None] * 4
    success(await org.client.delete("/customers/1"))
    success(await org.client.post("/customers/merge", json={"from": 2, "into": 3}))
    assert await undone(org, "four") == (3, 0)
    assert await earned_count(org, badge_id) == 0


async def test_a_dry_run_tells_the_same_and_changes_nothing(org: Org) -> None:
    badge_id = await org.make_badge()
    assert await earn(org, badge_id, [1, 2], "two") == [None, None]
    before = await rows_of(org)
    answer = await undo(org, "two", dryRun="true")
    assert success(answer) == {"requestId": "two", "revoked": 2, "alreadyRevoked": 0}
    assert [warning["reference"] for warning in answer.json()["warnings"]] == ["dryRun"]
    assert await rows_of(org) == before
    assert await undone(org, "two") == (2, 0)
    assert await undone(org, "two", dryRun="true") == (0, 2)
    assert failure(await undo(org, "two", dryRun="maybe"), 400) == [(400, "dryRun")]


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({"requestId": "never"}, 404, [(404, "requestId")]),
        ({}, 400, [(400, "requestId")]),
        ({"requestId": ""}, 400, [(400, "requestId")]),
        ({"requestId": "a\0b"}, 400, [(400, "requestId")]),
        ({"requestId": "x" * 256}, 400, [(400, "requestId")]),
        ({"requestId": ["x"]}, 400, [(400, "requestId")]),
    ],
)
async def test_an_id_that_did_nothing_or_cannot_be(
    shared_org: Org, sent: dict[str, Any], status: int, told: Any
) -> None:
    assert failure(await shared_org.client.post("/requests/revoke", json=sent), status) == told


async def test_another_orgs_request_is_unknown(org: Org, other_org: Org) -> None:
    badge_id, request_id = await org.make_badge(), secrets.token_hex(8)
    assert await earn(org, badge_id, [1], request_id) == [None]
    assert failure(await undo(other_org, request_id), 404) == [(404, "requestId")]
    assert await earned_count(org, badge_id) == 1


async def test_what_a_job_issued_is_revoked_chunk_by_chunk_under_its_request_id(org: Org) -> None:
    badge_id = await org.make_badge(
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 100}]
    )
    await earn(org, badge_id, [5], "before")
    job = await start(org, badge_id, [1, 2, 2, 3, 4, 5, 6, 7, 8], request_id="the job")
    assert "The job is queued" in (await undo(org, "the job")).text
    await finish(org, job)
    assert await earned_count(org, badge_id) == 8
    assert await undone(org, "the job", dryRun="true") == (7, 0)
    assert await undone(org, "the job") == (7, 0)
    assert await earned_count(org, badge_id) == 1, "what others issued stays"
    assert await undone(org, "the job") == (0, 7)
    assert await earn(org, badge_id, [*range(1, 9)], "again") == [None] * 4 + [1040] + [None] * 3


async def test_what_is_undone_is_told(org: Org) -> None:
    badge_id = await org.make_badge()
    await earn(org, badge_id, [3, 4], "wrong")
    await undone(org, "wrong")
    await undone(org, "wrong")
    events, _ = await feed(org)
    earned = {
        e["data"]["earnedBadgeId"]: e["data"]["customerId"] for e in events if e["type"] == "badgeEarned"
    }
    revoked = [e["data"] for e in events if e["type"] == "badgeRevoked"]
    assert {data["earnedBadgeId"]: data["customerId"] for data in revoked} == earned
    assert len(revoked) == len(earned) == 2


async def test_undone_enrolments_are_told(org: Org) -> None:
    badge_id = await org.make_badge(**ISSUE_EARN)
    body = {"badgeMetaId": badge_id, "customers": [3, 4], "triggeredBy": TRIGGER, "requestId": "enrol"}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=body))
    assert await undone(org, "enrol") == (2, 0)
    events, _ = await feed(org)
    assert [e["data"]["customerId"] for e in events if e["type"] == "badgeRevoked"] == [3, 4]
