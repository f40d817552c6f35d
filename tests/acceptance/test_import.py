"""importCustomerBadges: fifty thousand rows of history in one call."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Service, make_badge, query

SEED = 20231103
ROWS = 50_000
BEGUN = datetime(2024, 1, 1, tzinfo=UTC)
BREAK: list[tuple[dict[str, Any], int]] = [
    ({"badgeMetaId": None}, 715),
    ({"badgeMetaId": "f" * 24}, 1054),
    ({"customerId": None}, 812),
    ({"customerId": -5}, 400),
    ({"customerId": "four"}, 400),
    ({"earnEventDate": "2024-01-01"}, 400),
    ({"earnEventDate": None}, 400),
    ({"earnExpiresOn": BEGUN.timestamp() - 1}, 400),
    ({"earnEventDate": 4102444800, "earnExpiresOn": 4102444801}, 750),
]
LEDGER = (
    "select e.customer_id, b.badge_id, e.valid_from, e.valid_until, e.line from earned_badge e"
    " join badge b using (badge_key) join request r using (request_key)"
    " where r.request_id = $1 order by e.line"
)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_import_customer_badges_with_ten_bad_rows_of_fifty_thousand(
    service: Service, client: httpx.Client, record_property: Callable[[str, object], None], method: str
) -> None:
    chance = random.Random(SEED)
    badges = [make_badge(client, claim=False) for _ in range(20)]
    rows = [_row(chance.choice(badges), chance.randrange(1, 20_000), number) for number in range(ROWS)]
    places = sorted(chance.sample(range(1, ROWS), len(BREAK) + 1))
    expected: dict[int, int] = {}
    for place, (fields, code) in zip(places, BREAK, strict=False):
        rows[place] = {**rows[place], **fields}
        expected[place] = code
    rows[places[-1]] = rows[0]
    expected[places[-1]] = 1040

    started = time.perf_counter()
    answer = client.request(
        method, "/import/customerBadges", json=rows, headers={"X-CAP-REQUEST-ID": f"history {method}"}
    )
    record_property("50,000 rows imported in one call", f"{time.perf_counter() - started:.1f} s")

    assert answer.status_code == 200, answer.text[:1000]
    envelopes = answer.json()
    assert len(envelopes) == ROWS
    refused = {
        place: envelope["errors"][0]["code"] for place, envelope in enumerate(envelopes) if envelope["errors"]
    }
    assert refused == expected
    assert all(envelopes[place]["data"] is None for place in refused)
    taken = [(place, envelope["data"]) for place, envelope in enumerate(envelopes) if place not in refused]
    assert len(taken) == ROWS - 10
    for place, data in taken:
        assert list(data) == [
            "badgeMetaId",
            "customerId",
            "earnedBadgeId",
            "expiresOn",
            "expiresOnISO",
            "issuedId",
            "requestId",
        ]
        assert (data["badgeMetaId"], data["customerId"]) == (
            rows[place]["badgeMetaId"],
            rows[place]["customerId"],
        )
        assert data["requestId"] == f"history {method}_{place + 1}"
        assert data["issuedId"] is None
    assert len({data["earnedBadgeId"] for _, data in taken}) == len(taken)
    assert query(service.database_url, LEDGER, f"history {method}") == [
        (data["customerId"], data["badgeMetaId"], _event(place), _event(place) + timedelta(days=90), place)
        for place, data in taken
    ]


def _event(number: int) -> datetime:
    return BEGUN + timedelta(minutes=number)


def _row(badge_id: str, customer: int, number: int) -> dict[str, Any]:
    return {
        "badgeMetaId": badge_id,
        "customerId": customer,
        "earnEventDate": _event(number).isoformat(),
        "earnExpiresOn": (_event(number) + timedelta(days=90)).timestamp(),
    }
