"""`explain` agrees with the result of earning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.answers import failure, success
from tests.support import REFERENCE, TRIGGER, Org

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
RULES = [
    "ACTIVE", "OWNER_ALLOWED", "CLAIMED", "NOT_IN_FUTURE", "IN_WINDOW", "EXPIRES_AFTER_EVENT", "ENROLLED", "NOT_HELD",
]  # fmt: skip


async def explain(org: Org, badge_id: str, customer: Any, **params: Any) -> dict[str, Any]:
    answer = await org.client.get(f"/badgeMeta/{badge_id}/customers/{customer}/explain", params=params)
    return success(answer)


def first_refusal(told: dict[str, Any]) -> dict[str, Any] | None:
    return next((rule for rule in told["rules"] if rule["verdict"] == "REFUSED"), None)


async def test_every_rule_has_its_verdict(org: Org) -> None:
    badge_id = await org.make_badge(
        customerConstraints=[{"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 2}],
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1}],
    )
    told = await explain(org, badge_id, 7)
    assert [rule["rule"] for rule in told["rules"]] == [*RULES, "CUSTOMER_LIMIT", "BADGE_LIMIT"]
    verdicts = {rule["rule"]: rule["verdict"] for rule in told["rules"]}
    assert verdicts.pop("ENROLLED") == verdicts.pop("NOT_HELD") == "NOT_ASKED"
    assert set(verdicts.values()) == {"PASSED"}
    assert (told["wouldEarn"], told["earned"], told["enrolments"]) == (True, [], [])
    assert told["expiresOn"] is not None
    earned = success(await org.earn_bulk(badge_id, [7], requestId="hers"))["issuedBadges"][0]["issuedId"]
    told = await explain(org, badge_id, 7)
    assert (told["wouldEarn"], told["expiresOn"]) == (False, None)
    assert "has earned it once; valid now: 1" in told["summary"]
    customer_limit, badge_limit = told["rules"][-2:]
    assert (customer_limit["verdict"], customer_limit["details"]["used"]) == ("PASSED", 1)
    assert (badge_limit["verdict"], badge_limit["code"]) == ("REFUSED", 818)
    assert badge_limit["reference"] == "badgeConstraints[0]"
    assert badge_limit["details"] == {"limit": 1, "used": 1, "availableFrom": None, "availableFromISO": None}
    [entry] = told["earned"]
    assert (entry["earnedBadgeId"], entry["requestId"], entry["status"]) == (earned, "hers", "LIVE")
    assert (entry["ownerType"], entry["ownerReferenceId"], entry["revokedOn"]) == ("Loyalty", REFERENCE, None)


ENROLLED = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": {"expiryType": "NEVER"}}
BADGES: list[dict[str, Any]] = [
    {},
    {"active": False},
    {"startOn": (NOW + DAY).isoformat()},
    {"startOn": (NOW - 9 * DAY).isoformat(), "expiresOn": (NOW - DAY).isoformat()},
    {"earnedBadgeExpiry": {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": (NOW - DAY / 2).isoformat()}},
    {"overlapPolicy": "ALLOW"},
    ENROLLED,
    {**ENROLLED, "overlapPolicy": "REJECT", "startOn": (NOW - 9 * DAY).isoformat()},
    {"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 1}], "overlapPolicy": "ALLOW"},
    {"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}]},
    {"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 1, "durationType": "WEEKLY"}]},
    {"badgeConstraints": [{"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 1, "maxEarnLimit": 1}]},
    {"badgeConstraints": [{"constraintType": "BADGE_FIXED_WINDOW", "durationType": "DAYS", "maxEarnLimit": 2}], "overlapPolicy": "ALLOW"},
]  # fmt: skip


@pytest.mark.parametrize("fields", BADGES)
async def test_it_agrees_with_earn(org: Org, fields: dict[str, Any]) -> None:
    badge_id, unclaimed = await org.make_badge(**fields), await org.make_badge(claim=False, **fields)
    enrol = {"badgeMetaId": badge_id, "customers": [1, 2], "triggeredBy": TRIGGER}
    await org.client.post("/badgeMeta/customer/issueBulk", json=enrol)
    await org.earn_bulk(badge_id, [1])
    seen: set[bool] = set()
    for badge in (badge_id, unclaimed):
        for customer in (1, 2, 3):
            for event in (None, NOW - 2 * DAY, NOW - DAY / 4, NOW + DAY / 2, NOW + 2 * DAY):
                date = {} if event is None else {"earnEventDate": event.isoformat()}
                told = await explain(org, badge, customer, **date)
                body = {"badgeMetaId": badge, "customerId": customer, "triggeredBy": TRIGGER, **date}
                earned = await org.client.post("/customer/earn", json=body)
                refusal = first_refusal(told)
                if earned.status_code == 200:
                    assert (told["wouldEarn"], refusal) == (True, None)
                    assert abs(told["expiresOn"] - earned.json()["data"]["expiresOn"]) < 60
                    taken = {
                        "badgeMetaId": badge,
                        "customerId": customer,
                        "earnedBadgeId": earned.json()["data"]["earnedBadgeId"],
                    }
                    await org.client.post("/customer/revokeEarn", json=taken)
                else:
                    assert not told["wouldEarn"]
                    assert refusal is not None
                    [error] = earned.json()["errors"]
                    assert refusal["code"] == error["code"]
                    if error["code"] in (817, 818):
                        assert (refusal["reference"], refusal["details"]) == (
                            error["reference"],
                            error["details"],
                        )
                seen.add(told["wouldEarn"])
    assert False in seen


async def test_an_owner_may_be_named(org: Org) -> None:
    badge_id = await org.make_badge(ownership={"restrictedToOwners": ["Loyalty", "Journeys"]})
    assert (await explain(org, badge_id, 1, ownerType="Loyalty", referenceId=REFERENCE))["wouldEarn"]
    for owner, code in (("Journeys", 810), ("Milestones", 714)):
        told = await explain(org, badge_id, 1, ownerType=owner, referenceId=REFERENCE)
        refusal = first_refusal(told)
        assert refusal is not None
        assert refusal["code"] == code
    path = f"/badgeMeta/{badge_id}/customers/1/explain"
    assert failure(await org.client.get(path, params={"ownerType": "Loyalty"}), 400) == [(400, "referenceId")]
    assert failure(await org.client.get(path, params={"referenceId": "1"}), 400) == [(400, "ownerType")]


async def test_customer_can_be_given_by_id_or_identifier(org: Org, other_org: Org) -> None:
    badge_id = await org.make_badge()
    identifiers = [{"customerId": 5, "type": "email", "value": "Five@example.org"}]
    success(await org.client.put("/customers/identifiers", json={"identifiers": identifiers}))
    header = {"X-CAP-CUSTOMER-IDENTIFIER": "email"}
    path = f"/badgeMeta/{badge_id}/customers/five@example.org/explain"
    assert success(await org.client.get(path, headers=header))["customerId"] == 5
    assert failure(await org.client.get(path), 400) == [(400, "customerId")]
    unknown = path.replace("five", "six")
    assert [code for code, _ in failure(await org.client.get(unknown, headers=header), 404)] == [404]
    assert failure(await other_org.client.get(f"/badgeMeta/{badge_id}/customers/5/explain"), 404) == [
        (404, None)
    ]
