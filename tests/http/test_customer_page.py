"""A customer's page and the operator's list through the whole app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.answers import failure, message, success
from tests.support import REFERENCE, TRIGGER, Org

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
TWO_DAYS = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 2}
ENROLLED: dict[str, Any] = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": TWO_DAYS}
LAST_WEEK: dict[str, Any] = {"startOn": (NOW - 9 * DAY).isoformat()}
PAGE_FIELDS = {
    "badgeMetaId", "orgId", "name", "description", "startOn", "startOnISO", "expiresOn", "expiresOnISO", "images",
    "tags", "badgeGroupId", "badgeGroupName", "badgeRank", "ownership", "earnType", "benefits", "customerConstraints",
    "badgeConstraints", "customFields", "active", "earnedCount", "lastEarnedOnDate", "lastEarnedOnDateISO",
    "lastEarnEventDate", "lastEarnEventDateISO",
}  # fmt: skip
LIST_FIELDS = {
    "badgeMetaId", "name", "description", "badgeType", "badgeGroupId", "badgeGroupName", "badgeRank", "createdOn",
    "createdOnISO", "lastUpdatedOn", "lastUpdatedOnISO", "images", "badgeStatus", "lastEarnedOn", "lastEarnedOnISO",
    "startsOn", "startsOnISO", "expiresOn", "expiresOnISO", "earnCount", "ownership", "issueStatus", "active",
}  # fmt: skip


async def page(org: Org, customer: Any = 1, **params: Any) -> list[dict[str, Any]]:
    data = success(await org.client.get(f"/customer/{customer}", params={"size": 1000, **params}))
    assert set(data) == {"badges", "pagination"}
    assert data["pagination"]["total"] == len(data["badges"])
    assert all(set(badge) == PAGE_FIELDS for badge in data["badges"])
    return data["badges"]


async def managed(org: Org, customer: Any = 1, **params: Any) -> list[dict[str, Any]]:
    data = success(await org.client.get(f"/management/{customer}", params={"size": 1000, **params}))
    assert set(data) == {"customerBadges", "pagination"}
    assert all(set(badge) == LIST_FIELDS for badge in data["customerBadges"])
    return data["customerBadges"]


def ids(badges: list[dict[str, Any]]) -> list[str]:
    return [badge["badgeMetaId"] for badge in badges]


async def earn(org: Org, badge_id: str, customer: int = 1, days_ago: float = 0) -> str:
    date = {} if not days_ago else {"earnEventDate": (NOW - days_ago * DAY).isoformat()}
    data = success(await org.earn_bulk(badge_id, [customer], **date))
    assert data["earnedCount"] == 1, data
    return data["issuedBadges"][0]["issuedId"]


async def test_available_lists_badges_that_the_customer_can_earn_now(org: Org) -> None:
    fixed = {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 2}
    day = {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}
    cap = {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 1, "maxEarnLimit": 1}
    month = {"constraintType": "BADGE_FIXED_WINDOW", "durationType": "MONTHS", "maxEarnLimit": 2}
    made = {
        "plain": await org.make_badge(),
        "held": await org.make_badge(),
        "several": await org.make_badge(overlapPolicy="ALLOW"),
        "ended": await org.make_badge(**LAST_WEEK, earnedBadgeExpiry=TWO_DAYS),
        "upcoming one": await org.make_badge(earnedBadgeExpiry=TWO_DAYS),
        "off": await org.make_badge(active=False),
        "not yet": await org.make_badge(startOn=(NOW + DAY).isoformat()),
        "over": await org.make_badge(**LAST_WEEK, expiresOn=(NOW - DAY).isoformat()),
        "enrolled": await org.make_badge(**ENROLLED),
        "one left": await org.make_badge(customerConstraints=[fixed]),
        "used up": await org.make_badge(customerConstraints=[{**fixed, "maxEarnLimit": 1}], overlapPolicy="ALLOW"),
        "today": await org.make_badge(customerConstraints=[day]),
        "before": await org.make_badge(**LAST_WEEK, customerConstraints=[day]),
        "full": await org.make_badge(badgeConstraints=[cap, month]),
        "room": await org.make_badge(badgeConstraints=[month]),
        "too short": await org.make_badge(earnedBadgeExpiry={"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": (NOW - DAY / 2).isoformat()}),
    }  # fmt: skip
    for name in ("held", "several", "one left", "used up", "today"):
        await earn(org, made[name])
    await earn(org, made["ended"], days_ago=5)
    await earn(org, made["before"], days_ago=5)
    await earn(org, made["upcoming one"], days_ago=-0.9)
    await earn(org, made["full"], customer=2)
    await earn(org, made["room"], customer=2)
    names = {badge_id: name for name, badge_id in made.items()}
    available = await page(org)
    shown = {names[badge_id] for badge_id in ids(available)}
    assert shown == {"plain", "several", "ended", "one left", "before", "room"}
    # It says the same as earn.
    for badge_id, name in names.items():
        body = {"badgeMetaId": badge_id, "customerId": 1, "triggeredBy": TRIGGER}
        earned = await org.client.post("/customer/earn", json=body)
        assert (earned.status_code == 200) == (name in shown), name
    # A page is a part of the same list.
    paged = [
        success(await org.client.get("/customer/9", params={"size": 1, "page": number}))
        for number in range(9)
    ]
    everything = ids(await page(org, 9))
    assert [ids(part["badges"]) for part in paged] == [[badge_id] for badge_id in everything[:9]]
    assert paged[0]["pagination"] == {
        "page": 0,
        "size": 1,
        "total": len(everything),
        "totalPages": len(everything),
    }
    expired = {names[badge_id] for badge_id in ids(await page(org, 3, includeExpired="true"))}
    assert expired - {names[badge_id] for badge_id in ids(await page(org, 3))} == {"over"}


async def test_lists_of_available_earned_and_expired_badges(org: Org) -> None:
    enrol, other = await org.make_badge(**ENROLLED), await org.make_badge(**ENROLLED)
    body = {"badgeMetaId": enrol, "customers": [1], "triggeredBy": TRIGGER}
    assert set(ids(await page(org, badgeType="AVAILABLE_TO_ISSUE"))) == {enrol, other}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=body))
    assert ids(await page(org, badgeType="AVAILABLE_TO_ISSUE")) == [other]
    assert set(ids(await page(org, 2, badgeType="AVAILABLE_TO_ISSUE"))) == {enrol, other}
    live, had = await org.make_badge(), await org.make_badge(**LAST_WEEK, earnedBadgeExpiry=TWO_DAYS)
    ahead, revoked = await org.make_badge(), await org.make_badge()
    await earn(org, live)
    await earn(org, had, days_ago=5)
    await earn(org, ahead, days_ago=-0.5)
    taken = await earn(org, revoked)
    gone = {"badgeMetaId": revoked, "customerId": 1, "earnedBadgeId": taken}
    success(await org.client.post("/customer/revokeEarn", json=gone))
    success(await org.client.put(f"/badgeMeta/{live}/deactivate"))
    [row] = await page(org, badgeType="EARNED")
    assert (row["badgeMetaId"], row["earnedCount"], row["active"]) == (live, 1, False)
    assert abs(row["lastEarnedOnDate"] - datetime.now(UTC).timestamp()) < 120
    assert row["lastEarnedOnDate"] == int(row["lastEarnedOnDate"])
    [row] = await page(org, badgeType="EXPIRED")
    assert (row["badgeMetaId"], row["earnedCount"]) == (had, 1)
    assert abs(row["lastEarnEventDate"] - (NOW - 5 * DAY).timestamp()) < 1e-3
    assert set(ids(await page(org, badgeType="EARNED", includeExpired="true"))) == {live, had}
    assert ids(await page(org, 2, badgeType="EARNED")) == []


async def test_managed_list_has_every_badge_with_the_customers_state(org: Org) -> None:
    group = success(await org.client.post("/group", json={"name": "Gold", "rank": 1}), 201)["id"]
    first = await org.make_badge(name="Alpha", badgeGroupId=group, badgeRank=2)
    second = await org.make_badge(
        name="beta", **ENROLLED, ownership={"restrictedToOwners": ["Loyalty", "Journeys"]}
    )
    third = await org.make_badge(name="Gamma", claim=False, active=False, startOn=(NOW + DAY).isoformat())
    await earn(org, first)
    body = {"badgeMetaId": second, "customers": [1], "triggeredBy": TRIGGER}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=body))
    rows = {row["badgeMetaId"]: row for row in await managed(org)}
    assert list(rows) == [third, second, first], "newest first"
    assert (rows[first]["earnCount"], rows[first]["badgeGroupName"], rows[first]["issueStatus"]) == (
        1,
        "Gold",
        None,
    )
    assert (rows[second]["badgeType"], rows[second]["issueStatus"]) == ("ISSUE_EARN", "ACTIVE")
    assert (rows[third]["badgeStatus"], rows[third]["active"], rows[third]["lastEarnedOn"]) == (
        "UPCOMING",
        False,
        None,
    )
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({"badgeType": "EARN"}, [third, first]),
        ({"badgeStatus": "UPCOMING"}, [third]),
        ({"owner": "Journeys"}, [second]),
        ({"claimedBy": "Loyalty"}, [second, first]),
        ({"name": "A"}, [third, second, first]),
        ({"name": "alph"}, [first]),
        ({"action": "DE_ACTIVATED"}, [third]),
        ({"action": "ACTIVATED", "badgeType": "EARN"}, [first]),
        ({"groupId": group.upper()}, [first]),
        ({"startOn": NOW.isoformat()}, [third]),
        ({"startOn": f"lt:{NOW.isoformat()}"}, [second, first]),
        ({"startOn": [f"gte:{(NOW - 2 * DAY).timestamp()}", f"LESS_THAN_EQUAL:{NOW.timestamp()}"]}, [second, first]),
        ({"startOn": f"eq:{rows[first]['startsOn']}"}, [first]),
        ({"startOn": f"gt:{rows[first]['startsOn']}", "badgeType": "EARN"}, [third]),
        ({"startOn": f"lt:{rows[first]['startsOn']}"}, []),
        ({"startOn": ["gt:2030-01-01T00:00:00Z", "lt:2029-01-01T00:00:00Z"]}, []),
        ({"expiresOn": NOW.isoformat()}, []),
        ({"expiresOn": "GREATER_THAN:2020-01-01T00:00:00Z"}, [third, second, first]),
    ]  # fmt: skip
    for params, expected in filters:
        assert ids(await managed(org, **params)) == expected, params
    for bad in ("soon", "ne:2020-01-01T00:00:00Z", "lt:", "2020-01-01"):
        answer = await org.client.get("/management/1", params={"startOn": bad})
        assert failure(answer, 400) == [(400, "startOn")]
        assert "GREATER_THAN" in message(answer)


async def test_the_operators_list_is_sorted_every_way(org: Org) -> None:
    a = await org.make_badge(
        **LAST_WEEK, expiresOn=(NOW + 3 * DAY).isoformat(), earnedBadgeExpiry=TWO_DAYS, overlapPolicy="ALLOW"
    )
    b = await org.make_badge(**LAST_WEEK, expiresOn=(NOW + 2 * DAY).isoformat(), earnedBadgeExpiry=TWO_DAYS)
    c = await org.make_badge(**LAST_WEEK, **ENROLLED, expiresOn=(NOW + 9 * DAY).isoformat())
    await earn(org, a, days_ago=5)
    await earn(org, b, days_ago=4)
    await earn(org, a, days_ago=3)
    await earn(org, a)
    body = {"badgeMetaId": c, "customers": [1], "triggeredBy": TRIGGER}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=body))
    success(await org.client.put("/badgeMeta", json={"id": b, "description": "changed last"}))
    expected = {
        None: [c, b, a],
        "EXPIRES_ON": [c, a, b],
        "LAST_MODIFIED_DATE": [b, c, a],
        "LAST_ISSUED_DATE": [c],
        "LAST_EXPIRED_BADGE": [a, b],
        "LAST_EARNED_EVENT_DATE": [a, b],
    }
    for sort, order in expected.items():
        params = {} if sort is None else {"sortOn": sort}
        latest = ids(await managed(org, **params))
        earliest = ids(await managed(org, **params, order="ASC"))
        assert latest[: len(order)] == order, sort
        assert earliest[: len(order)] == order[::-1], sort
        assert sorted(latest[len(order) :]) == latest[len(order) :] == earliest[len(order) :], (
            "no date: by id"
        )


async def test_one_badge_for_one_customer(org: Org) -> None:
    window = {
        "constraintType": "CUSTOMER_BADGE_FIXED_WINDOW",
        "maxEarnLimit": 3,
        "durationType": "DAYS",
        "refreshRate": 3,
    }
    rolling = {
        "constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW",
        "maxEarnForDays": 5, "rollForDays": 1, "maxEarnForWeeks": 4, "rollForWeeks": 1,
    }  # fmt: skip
    badge_id = await org.make_badge(
        **ENROLLED,
        **LAST_WEEK,
        overlapPolicy="ALLOW",
        customerConstraints=[{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}, window, rolling],
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 10}],
    )
    enrol = {"badgeMetaId": badge_id, "triggeredBy": TRIGGER, "issueEventDate": (NOW - 4 * DAY).isoformat()}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json={**enrol, "customers": [1, 2]}))
    enrol["issueEventDate"] = (NOW - DAY).isoformat()
    success(await org.client.post("/badgeMeta/customer/issueBulk", json={**enrol, "customers": [1]}))
    old = await earn(org, badge_id, days_ago=3.5)
    new = await earn(org, badge_id)
    taken = await earn(org, badge_id)
    await earn(org, badge_id, customer=2, days_ago=3.5)
    gone = {"badgeMetaId": badge_id, "customerId": 1, "earnedBadgeId": taken}
    success(await org.client.post("/customer/revokeEarn", json=gone))
    path = f"/management/1/badge/{badge_id}"
    plain = success(await org.client.get(path))
    assert (plain["id"], plain["activeEarnedCount"], plain["action"]) == (badge_id, 2, "ACTIVATED")
    assert (plain["owner"], plain["claimedBy"], plain["issueExpiry"]) == (["Loyalty"], ["Loyalty"], TWO_DAYS)
    assert "earnDetails" not in plain
    told = success(await org.client.get(path, params={"includeStatistics": "true"}))
    earns, issuals = told["earnDetails"], told["issualDetails"]
    assert (earns["earnCount"], issuals["issuedCount"]) == (2, 2)
    assert [(each["earnedBadgeId"], each["status"]) for each in earns["earns"]] == [
        (taken, "REVOKED"), (new, "LIVE"), (old, "LIVE"),
    ]  # fmt: skip
    assert {(each["ownerType"], each["ownerReferenceId"]) for each in earns["earns"]} == {
        ("Loyalty", REFERENCE)
    }
    assert [each["issuedStatus"] for each in issuals["issuals"]] == ["ACTIVE", "EXPIRED"]
    uses = told["earnConstraintBlockStatistics"]
    free, cycle, rolls = uses["customerConstraints"]
    assert (free["currentEarnCount"], cycle["currentEarnCount"], rolls["currentEarnCount"]) == (2, 1, 2)
    assert (rolls["currentEarnCountForDays"], rolls["currentEarnCountForWeeks"]) == (1, 2)
    assert cycle["cycleStatus"] == "ACTIVE"
    assert cycle["endDate"] - cycle["startDate"] == pytest.approx(2 * 86400, abs=3600)
    assert uses["badgeConstraints"][0]["currentEarnCount"] == 3
    assert failure(await org.client.get(f"/management/1/badge/{'0' * 24}"), 404) == [(404, None)]


async def test_whose_pages(org: Org, other_org: Org) -> None:
    badge_id = await org.make_badge()
    await earn(org, badge_id)
    assert await managed(other_org) == []
    assert await page(other_org, badgeType="EARNED") == []
    assert failure(await other_org.client.get(f"/management/1/badge/{badge_id}"), 404) == [(404, None)]
    for path in ("/customer/0", "/customer/x", "/management/-1", f"/management/1.5/badge/{badge_id}"):
        assert failure(await org.client.get(path), 400) == [(400, "customerId")]
    named = {"identifiers": [{"customerId": 1, "type": "mobile", "value": "+49 170"}]}
    success(await org.client.put("/customers/identifiers", json=named))
    header = {"X-CAP-CUSTOMER-IDENTIFIER": "mobile"}
    for path in (
        "/customer/%2B49%20170?badgeType=EARNED",
        "/management/%2B49%20170",
        f"/management/%2B49%20170/badge/{badge_id}",
    ):
        success(await org.client.get(path, headers=header))
    unknown = await other_org.client.get("/customer/%2B49%20170", headers=header)
    assert [code for code, _ in failure(unknown, 404)] == [404]
