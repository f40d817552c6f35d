"""Erasing a customer removes all references, and merging moves everything; other data stays the same."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.concurrency import ledger
from tests.http.answers import earned_count, failure, success
from tests.support import TRIGGER, Org

ENROLLED: dict[str, Any] = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": {"expiryType": "NEVER"}}
CAPPED: dict[str, Any] = {"badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 2}]}
SEVERAL: dict[str, Any] = {"overlapPolicy": "ALLOW"}
SOURCE, OTHER, THIRD = 7, 8, 9
NOTHING = {"earnedBadgeCount": 0, "enrolmentCount": 0, "identifierCount": 0, "requestCount": 0}


async def erase(org: Org, customer: Any = SOURCE, **headers: str) -> dict[str, Any]:
    return success(await org.client.delete(f"/customers/{customer}", headers=headers))


async def merge(org: Org, source: Any = SOURCE, into: Any = OTHER) -> dict[str, Any]:
    return success(await org.client.post("/customers/merge", json={"from": source, "into": into}))


async def earn(org: Org, badge_id: str, customers: list[int], **fields: Any) -> list[str | None]:
    """Return the error code of each customer, or None if the badge was earned."""
    entries = success(await org.earn_bulk(badge_id, customers, **fields))["issuedBadges"]
    return [entry.get("error", {}).get("code") for entry in entries]


async def enrol(org: Org, badge_id: str, customers: list[int]) -> None:
    sent = {"badgeMetaId": badge_id, "customers": customers, "triggeredBy": TRIGGER}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=sent))


async def identify(org: Org, customer: int, email: str) -> None:
    sent = [{"customerId": customer, "type": "email", "value": email}]
    success(await org.client.put("/customers/identifiers", json={"identifiers": sent}))


async def holders(org: Org, badge_id: str) -> list[tuple[int, str]]:
    """Return each customer with the id of the earned badge, in storage order."""
    page = success(await org.client.get(f"/badgeMeta/{badge_id}/customers", params={"size": 1000}))
    return [(entry["customerId"], entry["earnedBadgeId"]) for entry in page["customers"]]


async def told(org: Org, request_id: str) -> list[int]:
    """The customers that a request answers for, in their order."""
    answer = success(await org.client.get("/requests", params={"requestId": request_id}))
    return [entry["customerId"] for entry in answer["issuedBadges"]]


async def test_erasing_leaves_nothing_that_names_her(org: Org, database_url: str) -> None:
    badge_id, enrolled_id = await org.make_badge(), await org.make_badge(**ENROLLED)
    email = f"{secrets.token_hex(8)}@example.org"
    await identify(org, SOURCE, email)
    await enrol(org, enrolled_id, [OTHER, SOURCE])
    assert await earn(org, badge_id, [OTHER, SOURCE, THIRD], requestId="first") == [None] * 3
    assert await earn(org, badge_id, [SOURCE], requestId="second") == [1040]
    sent = {
        "badgeMetaId": badge_id,
        "customerId": OTHER,
        "earnedBadgeId": (await holders(org, badge_id))[1][1],
    }
    success(await org.client.post("/customer/revokeEarn", json=sent))
    rows = [
        {"badgeMetaId": badge_id, "customerId": customer, "earnEventDate": 1.7e9, "earnExpiresOn": 1.8e9}
        for customer in (SOURCE, OTHER)
    ]
    imported = await org.client.post(
        "/import/customerBadges", json=rows, headers={"X-CAP-REQUEST-ID": "third"}
    )
    assert imported.status_code == 200
    sent = {"badgeMetaId": enrolled_id, "customerId": SOURCE, "requestId": "fourth", "triggeredBy": TRIGGER}
    success(await org.client.post("/customer/earn", json=sent))

    assert await erase(org) == {
        "customerId": SOURCE, "earnedBadgeCount": 3, "enrolmentCount": 1, "identifierCount": 1, "requestCount": 5,
    }  # fmt: skip

    assert {customer for customer, _ in await holders(org, badge_id)} == {OTHER, THIRD}
    assert await told(org, "first") == [OTHER, 0, THIRD]
    assert await told(org, "second") == [0]
    envelopes = (await org.client.get("/requests", params={"requestId": "third"})).json()
    assert [envelope["data"]["customerId"] for envelope in envelopes] == [0, OTHER]
    single = success(await org.client.get("/requests", params={"requestId": "fourth"}))
    assert single["customerId"] == 0
    header = {"X-CAP-CUSTOMER-IDENTIFIER": "email"}
    assert failure(await org.client.get(f"/customer/{email}", headers=header), 404)
    async with ledger.connection(database_url) as opened:
        for query in (
            "select count(*) from request where org_id = $1 and $2 = any(customer_ids)",
            "select count(*) from earned_badge join badge using (badge_key) where org_id = $1 and customer_id = $2",
            "select count(*) from enrolment join badge using (badge_key) where org_id = $1 and customer_id = $2",
            "select count(*) from customer_identifier where org_id = $1 and customer_id = $2",
        ):
            assert await opened.fetchval(query, org.caller.org_id, SOURCE) == 0, query
    # OTHER's first one was revoked, its imported one counts.
    assert await earned_count(org, badge_id) == 2
    stored = success(await org.client.get(f"/badgeMeta/{enrolled_id}", params={"includeStatistics": "true"}))
    assert (stored["issuedCount"], stored["earnedCount"]) == (1, 0)


async def test_erasing_again_is_the_same_and_leaves_no_second_entry(org: Org) -> None:
    badge_id = await org.make_badge()
    await earn(org, badge_id, [SOURCE])
    await erase(org)
    assert await erase(org) == {"customerId": SOURCE, **NOTHING}
    trail = success(await org.client.get("/audit", params={"action": "customer.erase"}))["entries"]
    assert [(entry["subject"], entry["username"]) for entry in trail] == [(str(SOURCE), org.caller.username)]
    assert trail[0]["details"] == {**NOTHING, "earnedBadgeCount": 1, "requestCount": 1}


async def test_erased_customer_starts_as_a_new_customer(org: Org) -> None:
    badge_id = await org.make_badge()
    await earn(org, badge_id, [SOURCE])
    await erase(org)
    assert await earn(org, badge_id, [SOURCE]) == [None]


async def test_erased_badges_count_towards_no_limit(org: Org) -> None:
    badge_id = await org.make_badge(**CAPPED, **SEVERAL)
    assert await earn(org, badge_id, [SOURCE, OTHER, THIRD]) == [None, None, 818]
    await erase(org)
    assert await earn(org, badge_id, [THIRD, SOURCE]) == [None, 818]
    assert await earned_count(org, badge_id) == 2


async def test_erasing_accepts_an_identifier(org: Org) -> None:
    badge_id, email = await org.make_badge(), f"{secrets.token_hex(8)}@example.org"
    await identify(org, SOURCE, email)
    await earn(org, badge_id, [SOURCE])
    header = {"X-CAP-CUSTOMER-IDENTIFIER": "email"}
    assert (await erase(org, email, **header))["customerId"] == SOURCE
    failure(await org.client.delete(f"/customers/{email}", headers=header), 404)


async def test_another_org_keeps_its_customer_of_the_same_id(org: Org, other_org: Org) -> None:
    for each in (org, other_org):
        await earn(each, await each.make_badge(), [SOURCE], requestId="both")
    await erase(org)
    await merge(org, SOURCE, OTHER)
    assert await told(other_org, "both") == [SOURCE]
    page = success(await other_org.client.get(f"/customer/{SOURCE}", params={"badgeType": "EARNED"}))
    assert len(page["badges"]) == 1


async def test_merging_moves_everything_of_the_source(org: Org) -> None:
    hers, both = await org.make_badge(**ENROLLED), await org.make_badge()
    email = f"{secrets.token_hex(8)}@example.org"
    await identify(org, SOURCE, email)
    await enrol(org, hers, [SOURCE])
    await earn(org, hers, [SOURCE], requestId="first")
    await earn(org, both, [THIRD, SOURCE, OTHER], requestId="second")
    before = dict(await holders(org, both))

    assert await merge(org) == {
        "from": SOURCE, "into": OTHER,
        "earnedBadgeCount": 2, "enrolmentCount": 1, "identifierCount": 1, "requestCount": 3,
    }  # fmt: skip

    assert [customer for customer, _ in await holders(org, hers)] == [OTHER]
    # Both stay, the merged one after the other, and their ids stay the same.
    assert await holders(org, both) == [
        (OTHER, before[OTHER]),
        (OTHER, before[SOURCE]),
        (THIRD, before[THIRD]),
    ]
    assert await told(org, "second") == [THIRD, OTHER, OTHER]
    assert await earned_count(org, both) == 3
    assert await earn(org, hers, [OTHER, SOURCE]) == [1040, 811]
    assert await earn(org, both, [OTHER, SOURCE]) == [1040, None]
    found = success(
        await org.client.get(f"/customer/{email}", headers={"X-CAP-CUSTOMER-IDENTIFIER": "email"},
                             params={"badgeType": "EARNED"})
    )  # fmt: skip
    assert len(found["badges"]) == 2
    trail = success(await org.client.get("/audit", params={"action": "customer.merge"}))["entries"]
    assert [(entry["subject"], entry["details"]["into"]) for entry in trail] == [(str(SOURCE), OTHER)]


async def test_merged_badges_count_towards_the_targets_limits(org: Org) -> None:
    window = {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 3, "rollForDays": 10}
    badge_id = await org.make_badge(customerConstraints=[window], **SEVERAL)
    for _ in range(2):
        assert await earn(org, badge_id, [SOURCE, OTHER]) == [None, None]
    await merge(org)
    assert await earn(org, badge_id, [OTHER]) == [817]
    assert await earn(org, badge_id, [SOURCE]) == [None]


async def test_merging_again_is_the_same(org: Org) -> None:
    await earn(org, await org.make_badge(), [SOURCE])
    await merge(org)
    assert await merge(org) == {"from": SOURCE, "into": OTHER, **NOTHING}


@pytest.mark.parametrize(
    ("sent", "references"),
    [
        ({}, ["from", "into"]),
        ({"from": 1, "into": 1}, ["into"]),
        ({"from": "1", "into": 1}, ["into"]),
        ({"from": 0, "into": 2}, ["from"]),
        ({"from": 1, "into": 2**63}, ["into"]),
        ({"from": "x", "into": None}, ["from", "into"]),
        ({"from": "9" * 19, "into": 1.5}, ["from", "into"]),
    ],
)
async def test_merge_needs_two_different_customers(
    shared_org: Org, sent: dict[str, Any], references: list[str]
) -> None:
    told_of = failure(await shared_org.client.post("/customers/merge", json=sent), 400)
    assert sorted(reference or "" for _, reference in told_of) == references


async def test_the_tally_is_as_the_ledger_after_both(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge(
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 100}], **SEVERAL
    )
    event_at = datetime.now(UTC) - timedelta(hours=3)
    for hours in range(3):
        at = (event_at + timedelta(hours=hours)).isoformat()
        await earn(org, badge_id, [SOURCE, OTHER, THIRD], earnEventDate=at)
    await merge(org, THIRD, SOURCE)
    await erase(org)
    async with ledger.connection(database_url) as opened:
        rows = await opened.fetch(
            "select t.bucket_s, t.bucket_start, t.earned from badge_limit_counter t join badge using (badge_key)"
            " where badge_id = $1 and t.earned <> 0 order by 1, 2", badge_id,
        )  # fmt: skip
    assert [row[2] for row in rows if row[0] == 0] == [1, 1, 1]
    assert sum(row[2] for row in rows if row[0] == 3600) == 3
