"""earn and revokeEarn through the whole app: one customer, whose refusal is the whole answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.http.answers import failure, success
from tests.support import TRIGGER, Org


async def earn(org: Org, badge_id: str, customer: Any, **fields: Any) -> httpx.Response:
    body = {"badgeMetaId": badge_id, "customerId": customer, "triggeredBy": TRIGGER, **fields}
    return await org.client.post("/customer/earn", json=body)


async def revoke(org: Org, badge_id: Any, customer: Any, earned_badge_id: Any) -> httpx.Response:
    body = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": earned_badge_id}
    return await org.client.post("/customer/revokeEarn", json=body)


async def test_one_customer_earns_and_the_request_tells_it_again(org: Org) -> None:
    badge_id = await org.make_badge()
    answer = await earn(org, badge_id, "7", requestId="r1")
    data = success(answer)
    assert set(data) == {
        "badgeMetaId",
        "customerId",
        "earnedBadgeId",
        "expiresOn",
        "expiresOnISO",
        "requestId",
        "issuedId",
    }
    assert (data["badgeMetaId"], data["customerId"], data["requestId"]) == (badge_id, 7, "r1")
    assert data["issuedId"] is None
    assert answer.headers["X-CAP-REQUEST-ID"] == "r1"
    assert success(await org.client.get("/requests", params={"requestId": "r1"})) == data


async def test_a_refusal_is_the_whole_answer_and_leaves_the_id_free(org: Org) -> None:
    badge_id = await org.make_badge()
    success(await earn(org, badge_id, 7))
    assert failure(await earn(org, badge_id, 7, requestId="r"), 409) == [(1040, None)]
    enrolled = await org.make_badge(
        earnType="ISSUE_EARN", issuedBadgeExpiry={"expiryType": "NEVER"}, name="To enrol in"
    )
    assert failure(await earn(org, enrolled, 7, requestId="r"), 409) == [(811, None)]
    success(await earn(org, badge_id, 8, requestId="r"))
    assert failure(await earn(org, badge_id, 9, requestId="r"), 400) == [(809, "requestId")]


@pytest.mark.parametrize("customer", [None, "", 0, "0", -1, True, 1.5, "x", [1], 2**63, str(2**63)])
async def test_invalid_customer_is_rejected(org: Org, customer: Any) -> None:
    code = 812 if customer in (None, "") else 400
    badge_id = await org.make_badge()
    assert failure(await earn(org, badge_id, customer), 400) == [(code, "customerId")]
    assert failure(await revoke(org, badge_id, customer, "0" * 24), 400) == [(code, "customerId")]


async def test_a_revoked_badge_frees_the_customer_and_is_revoked_once(org: Org) -> None:
    badge_id = await org.make_badge()
    earned = success(await earn(org, badge_id, 7))["earnedBadgeId"]
    assert success(await revoke(org, badge_id, 7, earned.upper())) == {
        "badgeMetaId": badge_id,
        "customerId": 7,
        "earnedBadgeId": earned,
        "isActive": False,
    }
    assert failure(await revoke(org, badge_id, 7, earned), 409) == [(814, "earnedBadgeId")]
    shown = await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"})
    assert success(shown)["earnedCount"] == 0
    assert success(await earn(org, badge_id, 7))["earnedBadgeId"] != earned


async def test_upcoming_badge_can_be_revoked_and_expired_one_cannot(org: Org) -> None:
    day = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1}
    badge_id = await org.make_badge(earnedBadgeExpiry=day, startOn="2023-01-01T00:00:00Z")
    past = success(await earn(org, badge_id, 7, earnEventDate="2023-02-01T00:00:00Z"))["earnedBadgeId"]
    assert failure(await revoke(org, badge_id, 7, past), 409) == [(814, "earnedBadgeId")]
    ahead = success(await earn(org, badge_id, 8, earnEventDate=_in_hours(3)))["earnedBadgeId"]
    success(await revoke(org, badge_id, 8, ahead))


async def test_only_the_very_earned_badge_is_revoked(org: Org, other_org: Org) -> None:
    badge_id, another = await org.make_badge(name="A"), await org.make_badge(name="B")
    earned = success(await earn(org, badge_id, 7))["earnedBadgeId"]
    for wrong_badge, customer, earned_badge_id in [
        (another, 7, earned),
        (badge_id, 8, earned),
        (badge_id, 7, earned[:-1] + "1"),
        (badge_id, 7, "not hex"),
    ]:
        answer = await revoke(org, wrong_badge, customer, earned_badge_id)
        assert failure(answer, 409) == [(814, "earnedBadgeId")]
    assert failure(await revoke(other_org, badge_id, 7, earned), 404) == [(404, "badgeMetaId")]
    assert failure(await revoke(org, "x", 7, earned), 404) == [(404, "badgeMetaId")]
    success(await revoke(org, badge_id, 7, earned))


def _in_hours(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
