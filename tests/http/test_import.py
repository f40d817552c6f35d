"""Importing what customers earned elsewhere: rows beside rows, history that counts from now on."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cockade.http.urls import BASE_PATH
from tests.http.answers import earned_count, failure, success
from tests.support import TRIGGER, Org

NOW = datetime.now(UTC)
ONCE_A_DAY = {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}


def row(badge_id: str, customer: Any = 1, days_ago: float = 10, **fields: Any) -> dict[str, Any]:
    """A row of history: earned so many days ago, valid for five."""
    event = NOW - timedelta(days=days_ago)
    return {
        "badgeMetaId": badge_id,
        "customerId": customer,
        "earnEventDate": event.isoformat(),
        "earnExpiresOn": (event + timedelta(days=5)).isoformat(),
        **fields,
    }


async def send(org: Org, rows: Any, batch: str | None = None, method: str = "POST") -> httpx.Response:
    headers = {} if batch is None else {"X-CAP-REQUEST-ID": batch}
    return await org.client.request(method, "/import/customerBadges", json=rows, headers=headers)


async def imported(org: Org, rows: list[dict[str, Any]], batch: str | None = None) -> list[dict[str, Any]]:
    answer = await send(org, rows, batch)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_row_is_answered_with_an_envelope_of_its_own(shared_org: Org, method: str) -> None:
    badge_id = await shared_org.make_badge()
    batch = f"history {method}"
    answer = await send(
        shared_org,
        [row(badge_id, 7, earnExpiresOn=None, earnExpiresOnISO="2035-01-01T00:00:00Z")],
        batch,
        method,
    )
    assert answer.status_code == 200
    [envelope] = answer.json()
    earned_badge_id = envelope["data"].pop("earnedBadgeId")
    assert len(earned_badge_id) == 24
    assert envelope == {
        "data": {
            "badgeMetaId": badge_id,
            "customerId": 7,
            "expiresOn": 2051222400.0,
            "expiresOnISO": "2035-01-01T00:00:00Z",
            "issuedId": None,
            "requestId": f"{batch}_1",
        },
        "errors": [],
        "warnings": [],
    }


BAD: list[tuple[dict[str, Any], list[tuple[int, str | None]]]] = [
    ({"badgeMetaId": "0" * 24}, [(1054, "badgeMetaId")]),
    ({"badgeMetaId": "no id"}, [(1054, "badgeMetaId")]),
    ({"badgeMetaId": None}, [(715, "badgeMetaId")]),
    ({"badgeMetaId": ""}, [(715, "badgeMetaId")]),
    ({"customerId": None}, [(812, "customerId")]),
    ({"customerId": 0}, [(400, "customerId")]),
    ({"customerId": True}, [(400, "customerId")]),
    ({"customerId": 1.5}, [(400, "customerId")]),
    ({"earnEventDate": None}, [(400, "earnEventDate")]),
    ({"earnEventDate": "2026-01-01"}, [(400, "earnEventDate")]),
    ({"earnExpiresOn": None}, [(400, "earnExpiresOn")]),
    ({"earnExpiresOn": 12345678901234567890}, [(400, "earnExpiresOn")]),
    (
        {"earnEventDate": (NOW + timedelta(days=2)).isoformat(), "earnExpiresOn": 4102444800},
        [(750, "earnEventDate")],
    ),
    ({"earnEventDate": 1700000000, "earnExpiresOn": 1700000000}, [(400, "earnExpiresOn")]),
    ({"badgeMetaId": None, "customerId": "x", "earnEventDate": []}, [(715, "badgeMetaId"), (400, "customerId"), (400, "earnEventDate")]),
]  # fmt: skip


async def test_invalid_rows_are_reported_individually(org: Org) -> None:
    badge_id = await org.make_badge()
    rows: list[Any] = []
    for fields, _ in BAD:
        rows += [row(badge_id, len(rows) + 1), row(badge_id, 9999, **fields)]
    rows += ["no row", None, [1]]
    envelopes = await imported(org, rows)
    told = [[(error["code"], error["reference"]) for error in envelope["errors"]] for envelope in envelopes]
    expected: list[list[tuple[int, str | None]]] = []
    for _, field_errors in BAD:
        expected += [[], field_errors]
    assert told[: 2 * len(BAD)] == expected
    assert all(
        envelope["data"] is None and envelope["warnings"] is None for envelope in envelopes[1::2][: len(BAD)]
    )
    assert all(envelope["errors"][0]["code"] == 400 for envelope in envelopes[2 * len(BAD) :])
    assert await earned_count(org, badge_id) == len(BAD)


async def test_the_same_event_twice_in_a_batch_is_1040_in_the_second_row(shared_org: Org) -> None:
    badge_id, other_id = await shared_org.make_badge(), await shared_org.make_badge()
    rows = [row(badge_id), row(badge_id, "1"), row(badge_id, 2), row(other_id), row(badge_id, days_ago=11), row(badge_id)]  # fmt: skip
    told = [[error["code"] for error in envelope["errors"]] for envelope in await imported(shared_org, rows)]
    assert told == [[], [1040], [], [], [], [1040]]
    # A bad row is no first one.
    rows = [row(badge_id, 3, earnExpiresOn=1), row(badge_id, 3)]
    assert [bool(envelope["errors"]) for envelope in await imported(shared_org, rows)] == [True, False]


async def test_nothing_else_is_asked_of_history(shared_org: Org, other_org: Org) -> None:
    once = [{"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 1}, ONCE_A_DAY]
    badge_id = await shared_org.make_badge(
        claim=False,
        earnType="ISSUE_EARN",
        issuedBadgeExpiry={"expiryType": "NEVER"},
        customerConstraints=once,
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1}],
        overlapPolicy="REJECT",
        active=False,
    )
    rows = [row(badge_id, days_ago=days / 100) for days in range(1, 400, 40)]
    assert all(not envelope["errors"] for envelope in await imported(shared_org, rows))
    assert await earned_count(shared_org, badge_id) == 10
    # But a badge of another org does not exist.
    [envelope] = await imported(other_org, [row(badge_id)])
    assert envelope["errors"][0]["code"] == 1054


async def test_imported_badges_count_like_earned_ones(org: Org) -> None:
    held = await org.make_badge()
    limited = await org.make_badge(customerConstraints=[ONCE_A_DAY])
    capped = await org.make_badge(
        badgeConstraints=[
            {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 1, "maxEarnLimit": 2}
        ]
    )
    later = (NOW + timedelta(days=30)).isoformat()
    envelopes = await imported(
        org, [row(badge, 1, days_ago=0.5, earnExpiresOn=later) for badge in (held, limited, capped)]
    )
    earned_id = envelopes[0]["data"]["earnedBadgeId"]
    [entry] = success(await org.earn_bulk(held, [1]))["issuedBadges"]
    assert (entry["error"]["code"], entry["issuedId"], entry["status"]) == (1040, earned_id, "LIVE")
    entries = success(await org.earn_bulk(limited, [1, 2]))["issuedBadges"]
    assert entries[0]["error"]["reference"] == "customerConstraints[0].rollForDays"
    assert entries[0]["error"]["details"]["used"] == 1
    assert "error" not in entries[1]
    entries = success(await org.earn_bulk(capped, [2, 3]))["issuedBadges"]
    assert [entry.get("error", {}).get("code") for entry in entries] == [None, 818]
    # It can be revoked like any other.
    body = {"badgeMetaId": limited, "customerId": 1, "earnedBadgeId": envelopes[1]["data"]["earnedBadgeId"]}
    assert success(await org.client.post("/customer/revokeEarn", json=body))["isActive"] is False
    assert "error" not in success(await org.earn_bulk(limited, [1]))["issuedBadges"][0]


async def test_several_rows_of_one_customer_get_consecutive_ordinals(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    success(await org.earn_bulk(badge_id, [1]))
    await imported(
        org, [row(badge_id, customer, days_ago=days) for days in range(1, 4) for customer in (2, 1)]
    )
    success(await org.earn_bulk(badge_id, [1, 2]))
    assert await earned_count(org, badge_id) == 1 + 6 + 2


async def test_a_batch_is_known_by_its_request_id(org: Org) -> None:
    badge_id = await org.make_badge()
    rows = [row(badge_id, 1), row(badge_id, 1), row("f" * 24, 2)]
    first = await send(org, rows, "batch-1")
    assert failure(await send(org, rows, "batch-1"), 400) == [(809, "requestId")]
    assert failure(await org.earn_bulk(badge_id, [5], requestId="batch-1"), 400) == [(809, "requestId")]
    asked = await org.client.get("/requests", params={"requestId": "batch-1"})
    assert asked.status_code == 200
    assert asked.json() == first.json()
    assert await earned_count(org, badge_id) == 1


@pytest.mark.parametrize(
    "body", [b"{}", b"", b"7", b"null", b"[]", b"[{]", b'[{"customerId": "\xff"}]', b"[1] 2"]
)
async def test_body_that_is_no_list_is_rejected(shared_org: Org, body: bytes) -> None:
    answer = await shared_org.client.post("/import/customerBadges", content=body)
    assert [code for code, _ in failure(answer, 400)] == [400]


async def test_too_many_rows_are_refused_as_a_whole(shared_org: Org) -> None:
    answer = await send(shared_org, [{}] * 100_001)
    assert failure(answer, 400) == [(400, None)]
    assert "100001" in answer.text


async def test_imported_badges_have_the_owner_import(org: Org) -> None:
    """An import needs no claim. A second path under the short base path works too."""
    badge_id = await org.make_badge(claim=False)
    url = str(org.client.base_url).replace(BASE_PATH, "/v1/badges") + "/import/customerBadges"
    answer = await org.client.post(url, json=[row(badge_id)])
    assert answer.status_code == 200
    assert failure(await org.earn_bulk(badge_id, [2], triggeredBy=TRIGGER), 409) == [(810, None)]


async def test_imports_and_issuing_at_once_lose_nothing(org: Org) -> None:
    """They meet over customers and badges, in every order; each row and each customer is there exactly once."""
    badges = [await org.make_badge(overlapPolicy="ALLOW") for _ in range(3)]
    badges.append(
        await org.make_badge(
            badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 10_000}],
            overlapPolicy="ALLOW",
        )
    )
    chance = random.Random(20231103)
    batches = [
        [
            row(chance.choice(badges), chance.randrange(1, 30), days_ago=1 + number / 1000)
            for number in range(150)
        ]
        for _ in range(8)
    ]
    calls = [send(org, batch) for batch in batches] + [
        org.earn_bulk(badge, list(range(1, 30))) for badge in badges * 3
    ]
    chance.shuffle(calls)
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    refused = [
        envelope
        for answer in answers
        if isinstance(answer.json(), list)
        for envelope in answer.json()
        if envelope["errors"]
    ]
    assert {envelope["errors"][0]["code"] for envelope in refused} <= {1040}
    total = sum([await earned_count(org, badge) for badge in badges])
    assert total == 8 * 150 - len(refused) + 4 * 3 * 29
