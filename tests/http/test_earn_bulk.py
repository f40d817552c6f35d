"""earnBulk through the whole app: its rules in order, its answers, its faults."""

from __future__ import annotations

from tests.support import Org


async def test_each_customer_gets_the_badge_once_in_the_order_sent(org: Org) -> None:
    badge_id = await org.make_badge()
    answer = await org.earn_bulk(badge_id, [30, 10, 20])
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert [entry["customerId"] for entry in data["issuedBadges"]] == [30, 10, 20]
    assert {entry["status"] for entry in data["issuedBadges"]} == {"LIVE"}
    assert len({entry["issuedId"] for entry in data["issuedBadges"]}) == 3
