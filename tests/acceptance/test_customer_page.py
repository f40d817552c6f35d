"""getCustomerBadges: a customer with 500 earned badges of 200 kinds."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.acceptance.service import Service, earn_bulk, make_badge
from tests.acceptance.test_operations import told
from tests.acceptance.test_statements import statements

SEED = 20231103
KINDS, EARNED, CUSTOMER = 200, 500, 4711


def test_get_customer_badges_with_500_earned_of_200_kinds(logging_service: Service) -> None:
    shown = logging_service.first_credential()
    with logging_service.client(shown["username"], shown["secret"]) as client:
        before = count_statements(logging_service, client)
        badges = make_history(client)
        assert count_statements(logging_service, client) == before, "the same for nothing and for 500"
        assert max(before.values()) <= 10
        check_pages(client, badges)


def make_history(client: httpx.Client) -> dict[str, dict[str, Any]]:
    """Create the history. Return rank, number of earned badges and latest event, by badge id."""
    chance, now = random.Random(SEED), datetime.now(UTC)
    badges: dict[str, dict[str, Any]] = {}
    for number in range(KINDS):
        rank = chance.choice([None, *range(20)])
        badge_id = make_badge(
            client, overlapPolicy="ALLOW", badgeRank=rank, startOn=(now - timedelta(days=900)).isoformat()
        )
        badges[badge_id] = {"badgeRank": rank, "earnedCount": 0, "number": number, "events": []}
    kinds = [*badges, *chance.choices(list(badges), k=EARNED - KINDS)]
    for order, badge_id in enumerate(kinds):
        event = now - timedelta(seconds=chance.randrange(800 * 86_400))
        others = chance.sample(range(1, 4000), 3)
        answer = earn_bulk(client, badge_id, [CUSTOMER, *others], earnEventDate=event.isoformat())
        assert answer.json()["data"]["issuedBadges"][0]["status"] == "LIVE"
        badges[badge_id]["earnedCount"] += 1
        badges[badge_id]["events"].append(event.timestamp())
        badges[badge_id]["last"] = order
    return badges


def check_pages(client: httpx.Client, badges: dict[str, dict[str, Any]]) -> None:
    by_event = {badge_id: max(badge["events"]) for badge_id, badge in badges.items()}
    for sort in (None, "RANK", "LAST_EARNED_ON_DATE", "LAST_EARNED_EVENT_DATE"):
        for size in (7, 100, 1000):
            rows = all_pages(client, size, sort)
            ids = [row["badgeMetaId"] for row in rows]
            assert Counter(ids) == Counter(badges.keys()), "every badge exactly once"
            for row in rows:
                assert row["earnedCount"] == badges[row["badgeMetaId"]]["earnedCount"]
                assert abs(row["lastEarnEventDate"] - by_event[row["badgeMetaId"]]) < 1e-5
            assert ids == sorted(ids, key=lambda badge_id: key_of(sort, badges, by_event, rows, badge_id))
    assert sum(badge["earnedCount"] for badge in badges.values()) == EARNED


def key_of(
    sort: str | None,
    badges: dict[str, dict[str, Any]],
    by_event: dict[str, float],
    rows: list[dict[str, Any]],
    badge_id: str,
) -> tuple[Any, ...]:
    badge = badges[badge_id]
    match sort:
        case None:
            return (-badge["number"],)
        case "RANK":
            rank = badge["badgeRank"]
            return (rank is None, rank or 0, badge_id)
        case "LAST_EARNED_EVENT_DATE":
            return (-by_event[badge_id], badge_id)
        case _:
            [row] = [row for row in rows if row["badgeMetaId"] == badge_id]
            return (-row["lastEarnedOnDate"], badge_id)


def all_pages(client: httpx.Client, size: int, sort: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for page in range(-(-KINDS // size) + 1):
        params: dict[str, Any] = {"badgeType": "EARNED", "size": size, "page": page}
        data = told(client.get(f"/customer/{CUSTOMER}", params=params | ({"sortOn": sort} if sort else {})))
        assert data["pagination"] == {
            "page": page,
            "size": size,
            "total": KINDS,
            "totalPages": -(-KINDS // size),
        }
        rows += data["badges"]
    return rows


def count_statements(service: Service, client: httpx.Client) -> dict[str, int]:
    """For each of the page's types, and the operator's list; of pages that are not empty."""
    make_badge(client, overlapPolicy="ALLOW")
    filler = make_badge(client, overlapPolicy="ALLOW")
    told(earn_bulk(client, filler, [CUSTOMER + 1]))
    customer = CUSTOMER + 1
    calls = {
        "AVAILABLE": f"/customer/{customer}",
        "EARNED": f"/customer/{customer}?badgeType=EARNED",
        "management": f"/management/{customer}",
    }
    for path in calls.values():  # the worker has met all types of the database before anything is counted
        told(client.get(path))
    # The least of three: a new connection of the pool asks for the types of the database once.
    return {
        name: min(len(statements(service, lambda path=path: client.get(path))) for _ in range(3))
        for name, path in calls.items()
    }
