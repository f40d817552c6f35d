"""Limits through the whole app and the real database: badge limits, late events, revocations."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cockade.earning.store import SQL
from cockade.storage.database import connect
from tests import limit_model
from tests.http.answers import failure, success
from tests.support import TRIGGER, Org

SEED = 20231103
ZONE = ZoneInfo("Europe/Berlin")
STARTS = datetime(2024, 10, 1, 9, 30, tzinfo=UTC)  # summer time ends on 27 October
TALLY = (
    "select bucket_s, bucket_start, earned from badge_limit_counter join badge using (badge_key)"
    " where badge_id = $1 and earned <> 0 order by bucket_s, bucket_start"
)
LEDGER = (
    "select 0, valid_from, count(*) from earned_badge join badge using (badge_key)"
    " where badge_id = $1 and revoked_at is null group by valid_from union all"
    " select 3600, date_trunc('hour', valid_from, 'UTC'), count(*) from earned_badge join badge using (badge_key)"
    " where badge_id = $1 and revoked_at is null group by 2 order by 1, 2"
)
COUNTS = (
    "select sum(c.earned)::int, (select count(*) from earned_badge e where e.badge_key = b.badge_key and revoked_at is null)"
    " from badge_count c join badge b using (badge_key) where b.badge_id = $1 group by b.badge_key"
)
WHOLE: list[list[dict[str, Any]]] = [
    [{"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 2, "maxEarnLimit": 9}],
    [{"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "MONTHS", "rollValue": 1, "maxEarnLimit": 40}],
    [{"constraintType": "BADGE_FIXED_WINDOW", "durationType": "DAYS", "refreshRate": 3, "maxEarnLimit": 11}],
    [
        {"constraintType": "BADGE_FIXED_WINDOW", "durationType": "WEEKLY", "startDayOfTheWeek": "SUNDAY", "maxEarnLimit": 30},
        {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "WEEKS", "rollValue": 1, "maxEarnLimit": 25},
        {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 120},
    ],
]  # fmt: skip


async def rows_of(url: str, sql: str, badge_id: str) -> list[tuple[Any, ...]]:
    connection = await connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql, badge_id)]
    finally:
        await connection.close()


@pytest.mark.parametrize("constraints", WHOLE)
async def test_limits_of_a_badge_as_a_whole_are_the_models(
    org: Org, database_url: str, constraints: list[dict[str, Any]]
) -> None:
    """Random events and revocations; afterwards the counters are compared with the issuances."""
    chance = random.Random(SEED)
    badge_id = await org.make_badge(
        startOn=STARTS.isoformat(),
        overlapPolicy="ALLOW",
        badgeConstraints=constraints,
        earnedBadgeExpiry={"expiryType": "NEVER"},
    )
    theirs = limit_model.limits("badgeConstraints", constraints)
    counted: list[datetime] = []
    earned: list[tuple[int, str, datetime]] = []
    for _ in range(60):
        at = STARTS + timedelta(minutes=chance.randrange(45 * 24 * 60))
        if counted and chance.random() < 0.4:  # hours and cycles that are nearly full
            at = chance.choice(counted) + timedelta(seconds=chance.choice([-3600, -1, 0, 1, 3600, 86_400]))
            at = max(at, STARTS)
        audience = chance.sample(range(1, 1000), chance.choice([1, 3, 8]))
        data = success(await org.earn_bulk(badge_id, audience, earnEventDate=at.isoformat()))
        for customer, entry in zip(audience, data["issuedBadges"], strict=True):
            full = limit_model.first_full(theirs, counted, at, STARTS, ZONE)
            error = entry.get("error")
            assert (
                error and (error["reference"], error["details"]["limit"], error["details"]["used"])
            ) == full
            if full is None:
                counted.append(at)
                earned.append((customer, entry["issuedId"], at))
        if earned and chance.random() < 0.3:
            customer, earned_id, event = earned.pop(chance.randrange(len(earned)))
            body = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": earned_id}
            success(await org.client.post("/customer/revokeEarn", json=body))
            counted.remove(event)
    assert limit_model.overrun(theirs, counted, STARTS, ZONE) == []
    assert await rows_of(database_url, TALLY, badge_id) == await rows_of(database_url, LEDGER, badge_id)
    [(stored, real)] = await rows_of(database_url, COUNTS, badge_id)
    assert stored == real == len(counted)


async def test_revoked_badges_count_towards_no_limit(org: Org) -> None:
    badge_id = await org.make_badge(
        customerConstraints=[
            {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 1},
            {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1},
            {"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 1, "durationType": "MONTHS"},
        ],
        badgeConstraints=[
            {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1},
            {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": 1, "durationType": "DAILY"},
        ],
    )
    body = {"badgeMetaId": badge_id, "customerId": 1, "triggeredBy": TRIGGER}
    for _ in range(3):
        earned = success(await org.client.post("/customer/earn", json=body))["earnedBadgeId"]
        assert failure(await org.client.post("/customer/earn", json=body), 409) == [
            (817, "customerConstraints[0]")
        ]
        other = await org.client.post("/customer/earn", json={**body, "customerId": 2})
        assert failure(other, 409) == [(818, "badgeConstraints[0]")]
        assert set(other.json()["errors"][0]["details"]) == {
            "limit",
            "used",
            "availableFrom",
            "availableFromISO",
        }
        gone = {"badgeMetaId": badge_id, "customerId": 1, "earnedBadgeId": earned}
        success(await org.client.post("/customer/revokeEarn", json=gone))
        assert failure(await org.client.post("/customer/revokeEarn", json=gone), 409) == [
            (814, "earnedBadgeId")
        ]


async def test_the_request_tells_its_refusals_again(org: Org) -> None:
    badge_id = await org.make_badge(
        customerConstraints=[{"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}],
        badgeConstraints=[{"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 1, "maxEarnLimit": 2}],
    )  # fmt: skip
    first = success(await org.earn_bulk(badge_id, [3, 1]))
    assert first["earnedCount"] == 2
    told = success(await org.earn_bulk(badge_id, [2, 1], requestId="refused"))
    errors = [entry["error"] for entry in told["issuedBadges"]]
    assert [(error["code"], error["reference"]) for error in errors] == [
        (818, "badgeConstraints[0]"),
        (817, "customerConstraints[0].rollForDays"),
    ]
    assert all(error["details"]["used"] == error["details"]["limit"] for error in errors)
    assert errors[0]["details"]["availableFrom"] == errors[1]["details"]["availableFrom"]
    assert success(await org.client.get("/requests", params={"requestId": "refused"})) == told


async def test_an_answer_of_two_lists_names_the_limit_too(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1}]
    )
    answer = await shared_org.client.post(
        "/customer/earnBulk",
        params={"answer": "earned"},
        json={"badgeMetaId": badge_id, "customerIds": [5, 4], "triggeredBy": TRIGGER},
    )
    [failed] = success(answer)["failedEarnBadgeErrorList"]
    assert (failed["customerId"], failed["errorCode"]) == (4, 818)


async def test_the_rows_that_are_read_are_bounded_by_the_windows(org: Org, database_url: str) -> None:
    """A year of history per customer, of which the window holds a day: the index by event date finds just that."""
    badge_id = await org.make_badge(
        startOn="2024-01-01T00:00:00Z",
        customerConstraints=[{"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 9, "rollForDays": 1}],
    )  # fmt: skip
    connection = await connect(database_url)
    try:
        key = await connection.fetchval("select badge_key from badge where badge_id = $1", badge_id)
        await connection.execute(
            "insert into earned_badge (customer_id, request_key, valid_from, valid_until, counted_at, badge_key, ordinal, line)"
            " select c, 1, at, at + interval '1 hour', at, $1, d, 0 from generate_series(1, 700) c,"
            " generate_series(1, 300) d, lateral (select timestamptz '2024-01-01' + d * interval '1 day') t (at)",
            key,
        )
        await connection.execute("analyze earned_badge")
        at = datetime(2024, 9, 1, 12, tzinfo=UTC)
        reach = (at - timedelta(days=1), at + timedelta(days=2))
        plan = await connection.fetchval(
            f"explain (analyze, format json) {SQL['find_last_ordinals']}", key, list(range(1, 701)), *reach
        )
    finally:
        await connection.close()
    assert "earned_badge_counted" in plan
    # For each customer: one row for the ordinal, the first eight, and three days of events.
    assert _rows_read(plan) <= 700 * (1 + 8 + 3) * 1.2


def _rows_read(plan: str) -> float:
    def walk(node: dict[str, Any]) -> float:
        own = 0.0
        if node.get("Relation Name") == "earned_badge":
            own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return own + sum(walk(child) for child in node.get("Plans", []))

    return walk(json.loads(plan)[0]["Plan"])
