"""List holders: every earned badge once, in order, for any page size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.answers import failure, success
from tests.support import REFERENCE, Org


async def who(org: Org, badge_id: str, **params: Any) -> dict[str, Any]:
    return success(await org.client.get(f"/badgeMeta/{badge_id}/customers", params=params))


async def test_everybody_is_listed_once_in_pages_of_any_size(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    await org.earn_bulk(badge_id, [30, 10, 20, 2**63 - 1], requestId="r1")
    await org.earn_bulk(badge_id, [10, 40], requestId="r2")
    whole = await who(org, badge_id, size=1000)
    assert whole["next"] is None
    rows = whole["customers"]
    assert [row["customerId"] for row in rows] == [10, 10, 20, 30, 40, 2**63 - 1]
    assert [row["requestId"] for row in rows[:2]] == ["r1", "r2"]
    assert {(row["ownerType"], row["ownerReferenceId"], row["status"]) for row in rows} == {
        ("Loyalty", REFERENCE, "LIVE")
    }
    for size in (1, 2, 3, 5, 6):
        paged: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = await who(org, badge_id, size=size, **after)
            assert len(page["customers"]) <= size
            paged += page["customers"]
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert paged == rows, size


async def test_statuses_are_filtered(org: Org) -> None:
    now = datetime.now(UTC)
    badge_id = await org.make_badge(
        startOn=(now - timedelta(days=9)).isoformat(),
        overlapPolicy="ALLOW",
        earnedBadgeExpiry={"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 2},
    )
    for customer, days in ((1, -5), (2, -1), (3, 0.5), (4, -1)):
        event = (now + timedelta(days=days)).isoformat()
        entry = success(await org.earn_bulk(badge_id, [customer], earnEventDate=event))["issuedBadges"][0]
        if customer == 4:
            body = {"badgeMetaId": badge_id, "customerId": 4, "earnedBadgeId": entry["issuedId"]}
            success(await org.client.post("/customer/revokeEarn", json=body))
    found = {row["customerId"]: row for row in (await who(org, badge_id))["customers"]}
    assert {customer: row["status"] for customer, row in found.items()} == {
        1: "EXPIRED", 2: "LIVE", 3: "UPCOMING", 4: "REVOKED",
    }  # fmt: skip
    assert found[4]["revokedOn"] is not None
    assert found[2]["revokedOn"] is None
    for statuses, expected in (
        (["LIVE"], [2]),
        (["REVOKED", "EXPIRED"], [1, 4]),
        (["UPCOMING"], [3]),
        ([], [1, 2, 3, 4]),
    ):
        told = await who(org, badge_id, status=statuses)
        assert [row["customerId"] for row in told["customers"]] == expected


@pytest.mark.parametrize("after", ["", "x", "no cursor", "AAAA", "é", "A" * 1000])
async def test_invalid_cursor_is_rejected(shared_org: Org, after: str) -> None:
    badge_id = await shared_org.make_badge()
    answer = await shared_org.client.get(f"/badgeMeta/{badge_id}/customers", params={"after": after})
    assert failure(answer, 400) == [(400, "after")]


async def test_another_orgs_badge_does_not_exist(org: Org, other_org: Org) -> None:
    badge_id = await org.make_badge()
    assert failure(await other_org.client.get(f"/badgeMeta/{badge_id}/customers"), 404) == [(404, None)]
    assert failure(await org.client.get("/badgeMeta/none/customers"), 404) == [(404, None)]
    assert (await who(org, badge_id)) == {"badgeMetaId": badge_id, "customers": [], "next": None}
