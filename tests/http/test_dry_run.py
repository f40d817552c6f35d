"""A dry run answers what the same call would answer if it were sent now, and changes nothing."""

from __future__ import annotations

import asyncio
import random
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cockade.badge import store as badge_store
from tests.concurrency import ledger
from tests.http.answers import failure, success
from tests.http.test_tenancy import rows_of
from tests.support import TRIGGER, Org, earn_bulk_body

SEED = 20231103
NOW = datetime.now(UTC)
DRY = {"dryRun": "true"}
EARN_BULK, ISSUE_BULK = "/customer/earnBulk", "/badgeMeta/customer/issueBulk"
ISSUE_EARN: dict[str, Any] = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": {"expiryType": "NEVER"}}
LONG_AGO: dict[str, Any] = {"startOn": (NOW - timedelta(days=30)).isoformat()}
LIMITED: dict[str, Any] = {
    **LONG_AGO,
    "customerConstraints": [
        {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 2},
        {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 3},
    ],
    "badgeConstraints": [
        {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 60},
        {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 3, "maxEarnLimit": 20},
    ],
}


async def ask(org: Org, path: str, body: Any, **params: str) -> httpx.Response:
    return await org.client.post(path, json=body, params=params)


def without_ids(answer: httpx.Response) -> Any:
    """Remove from the response the parts that only a real run has, and the dry run warning."""
    told = answer.json()
    for entry in (told["data"] or {}).get("issuedBadges", []):
        if "error" not in entry:
            entry["issuedId"] = None
    for entry in (told["data"] or {}).get("earnedBadgesList", []):
        entry["earnedBadgeId"] = None
    told["warnings"] = [
        warning for warning in told["warnings"] or [] if warning["reference"] != "dryRun"
    ] or None
    return answer.status_code, told


async def dry_then_real(org: Org, path: str, body: Any, **params: str) -> httpx.Response:
    """Both answers are alike, and the dry run has changed nothing before the real one."""
    before = await rows_of(org)
    dry = await ask(org, path, body, **params, **DRY)
    assert await rows_of(org) == before
    real = await ask(org, path, body, **params)
    assert without_ids(dry) == without_ids(real)
    return dry


async def test_it_is_marked_and_tells_no_id_that_is_not_there(org: Org) -> None:
    badge_id, earlier = await org.make_badge(), secrets.token_hex(8)
    [held] = success(await org.earn_bulk(badge_id, [2], requestId=earlier))["issuedBadges"]
    event = (NOW - timedelta(hours=1)).isoformat()
    body = earn_bulk_body(badge_id, [1, 2, 1], requestId="dry", earnEventDate=event)
    answer = await dry_then_real(org, EARN_BULK, body)
    first, second = success(answer)["issuedBadges"]
    assert first == {"customerId": 1, "issuedId": None, "status": "LIVE"}
    assert (second["issuedId"], second["error"]["code"]) == (held["issuedId"], 1040)
    assert [(warning["code"], warning["reference"]) for warning in answer.json()["warnings"]] == [
        (400, "customerIds"),
        (200, "dryRun"),
    ]


async def test_it_comes_in_both_shapes(org: Org) -> None:
    badge_id = await org.make_badge()
    event = (NOW - timedelta(hours=1)).isoformat()
    body = earn_bulk_body(badge_id, [1, 2], requestId="dry", earnEventDate=event)
    data = success(await dry_then_real(org, EARN_BULK, body, answer="earned"))
    assert data["earnedBadgesList"][0] == {"customerId": 1, "earnedBadgeId": None}


async def test_whatever_the_badge_asks_it_decides_as_the_call_does(org: Org) -> None:
    """Random audiences and events, call by call, on one badge with limits of all kinds and on one without."""
    chance = random.Random(SEED)
    codes: set[int] = set()
    for badge_id in (await org.make_badge(**LIMITED), await org.make_badge(**LONG_AGO)):
        for number in range(12):
            body = earn_bulk_body(
                badge_id,
                chance.sample(range(1, 40), chance.randint(1, 25)),
                requestId=f"{badge_id}-{number}",
                earnEventDate=(NOW - timedelta(hours=chance.randint(1, 24 * 20))).isoformat(),
            )
            data = success(await dry_then_real(org, EARN_BULK, body))
            codes |= {entry["error"]["code"] for entry in data["issuedBadges"] if "error" in entry}
    assert codes == {817, 818, 1040}


async def test_dry_run_of_enrolment_and_of_badges_that_need_it(org: Org) -> None:
    badge_id = await org.make_badge(**ISSUE_EARN)
    event = (NOW - timedelta(hours=1)).isoformat()
    enrol = {"badgeMetaId": badge_id, "customers": [1, 2], "triggeredBy": TRIGGER, "issueEventDate": event}
    answer = await dry_then_real(org, ISSUE_BULK, {**enrol, "requestId": "first"})
    assert success(answer)["issuedBadges"][0] == {"customerId": 1, "issuedId": None, "status": "ACTIVE"}
    answer = await dry_then_real(org, ISSUE_BULK, {**enrol, "customers": [2, 3], "requestId": "second"})
    assert success(answer)["failedCount"] == 1
    earn = earn_bulk_body(badge_id, [3, 4], requestId="third", earnEventDate=NOW.isoformat())
    answer = await dry_then_real(org, EARN_BULK, earn)
    assert success(answer)["issuedBadges"][1]["error"]["code"] == 811


async def test_rejected_request_also_rejects_the_dry_run(org: Org) -> None:
    badge_id, direct = await org.make_badge(), await org.make_badge(**LONG_AGO)
    off, unclaimed = await org.make_badge(), await org.make_badge(claim=False)
    await org.client.put(f"/badgeMeta/{off}/deactivate")
    success(await org.earn_bulk(badge_id, [1], requestId="used"))
    other_owner = {"ownerType": "Journeys", "referenceId": "1"}
    enrol = {"badgeMetaId": direct, "customers": [1], "triggeredBy": TRIGGER}
    refused: list[tuple[str, dict[str, Any], int, int]] = [
        (EARN_BULK, earn_bulk_body("", []), 400, 715),
        (EARN_BULK, earn_bulk_body(badge_id, [1], requestId="used"), 400, 809),
        (EARN_BULK, earn_bulk_body("0" * 24, [1]), 404, 404),
        (EARN_BULK, earn_bulk_body("none", [1]), 404, 404),
        (EARN_BULK, earn_bulk_body(off, [1]), 409, 815),
        (EARN_BULK, earn_bulk_body(badge_id, [1], triggeredBy=other_owner), 400, 714),
        (EARN_BULK, earn_bulk_body(unclaimed, [1]), 409, 810),
        (EARN_BULK, earn_bulk_body(badge_id, [1], earnEventDate="2999-01-01T00:00:00Z"), 400, 750),
        (EARN_BULK, earn_bulk_body(badge_id, [1], earnEventDate="2001-01-01T00:00:00Z"), 409, 816),
        (ISSUE_BULK, enrol, 400, 400),
    ]
    for path, body, status, code in refused:
        answer = await dry_then_real(org, path, body)
        assert code in [told for told, _ in failure(answer, status)], body


@pytest.mark.parametrize("path", [EARN_BULK, ISSUE_BULK])
async def test_another_value_than_true_or_false_is_a_fault(shared_org: Org, path: str) -> None:
    answer = await ask(shared_org, path, earn_bulk_body("0" * 24, [1]), dryRun="perhaps")
    assert failure(answer, 400) == [(400, "dryRun")]


async def test_dry_run_neither_waits_nor_blocks(org: Org, database_url: str) -> None:
    """Another transaction holds the badge exclusively, and another request uses the request id."""
    badge_id = await org.make_badge(**LIMITED)
    async with ledger.connection(database_url) as holder:
        await holder.execute("begin")
        await holder.execute(badge_store.SQL["lock_badge"], org.caller.org_id, badge_id, True)
        await holder.execute(
            "insert into request (org_id, request_id, request_key, kind) values ($1, 'held', 1, 'EARN_BULK')",
            org.caller.org_id,
        )
        async with asyncio.timeout(5):
            answer = await ask(org, EARN_BULK, earn_bulk_body(badge_id, [1], requestId="held"), **DRY)
        await holder.execute("rollback")
    assert success(answer)["earnedCount"] == 1
