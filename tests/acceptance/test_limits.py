"""Sixteen callers at once against limits of every kind: an independent checker reads the final ledger.

The checker is tests/limit_model.py, which is written from the contract and knows nothing of our rules.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests import limit_model
from tests.acceptance.service import Service, make_badge, query
from tests.support import earn_bulk_body

SEED = 20230925
CALLERS = 16
CALLS = 20
PER_CALL = 30
CUSTOMERS = 3_000
DAYS = 30
ZONE = ZoneInfo("UTC")
PER_CUSTOMER = [
    {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 3},
    {
        "constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW",
        "maxEarnForDays": 1, "rollForDays": 1, "maxEarnForWeeks": 2, "rollForWeeks": 1,
    },
    {"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 2, "durationType": "WEEKS"},
]  # fmt: skip
WHOLE = [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1000}]
LEDGER = (
    "select e.customer_id, e.valid_from from earned_badge e join badge b using (badge_key)"
    " where b.badge_id = $1 and e.revoked_at is null order by e.customer_id, e.ordinal"
)
Call = tuple[list[int], datetime]
Told = tuple[int, datetime, dict[str, Any] | None]
"""A customer, the event date, and the error of the entry."""


def calls_of(chance: random.Random, starts_at: datetime, few: int) -> list[Call]:
    """Calls with audiences of any size; some customers are asked for again and again, at events in no order."""
    made: list[Call] = []
    for _ in range(CALLERS * CALLS):
        size = chance.choice([1, 2, PER_CALL, PER_CALL])
        crowd = range(1, few + 1) if chance.random() < 0.6 else range(1, CUSTOMERS + 1)
        event = starts_at + timedelta(seconds=chance.randrange(DAYS * 86_400))
        if chance.random() < 0.3:  # days that begin together, so that windows end where others begin
            event = starts_at + timedelta(days=chance.randrange(DAYS))
        made.append((chance.sample(crowd, min(size, len(crowd))), event))
    return made


async def send_all(service: Service, badge_id: str, calls: list[Call]) -> list[Told]:
    shown = service.first_credential()
    told: list[Told] = []
    todo = iter(enumerate(calls))

    async def caller(client: httpx.AsyncClient) -> None:
        for number, (customers, event) in todo:
            one = len(customers) == 1 and number % 2 == 0
            body = earn_bulk_body(badge_id, customers, earnEventDate=event.isoformat())
            if one:
                body["customerId"] = body.pop("customerIds")[0]
            answer = await client.post("/customer/earn" if one else "/customer/earnBulk", json=body)
            if one:
                assert answer.status_code in (200, 409), answer.text
                told.append((customers[0], event, (answer.json()["errors"] or [None])[0]))
                continue
            assert answer.status_code == 200, answer.text
            entries = answer.json()["data"]["issuedBadges"]
            told.extend((entry["customerId"], event, entry.get("error")) for entry in entries)

    base, auth = service.client("", "").base_url, (shown["username"], shown["secret"])
    async with httpx.AsyncClient(base_url=base, auth=auth, timeout=120) as client:
        await asyncio.gather(*(caller(client) for _ in range(CALLERS)))
    return told


@pytest.mark.parametrize("whole", [WHOLE, []], ids=["with a limit of the badge", "side by side"])
def test_sixteen_callers_never_exceed_any_limit(
    service: Service, client: httpx.Client, record_property: Callable[[str, object], None], whole: list[Any]
) -> None:
    starts_at = datetime.now(UTC).replace(hour=5, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    badge_id = make_badge(
        client, startOn=starts_at.isoformat(), customerConstraints=PER_CUSTOMER, badgeConstraints=whole
    )
    calls = calls_of(random.Random(SEED), starts_at, few=200)
    told = asyncio.run(send_all(service, badge_id, calls))
    held: dict[int, list[datetime]] = {}
    for customer, event in query(service.database_url, LEDGER, badge_id):
        held.setdefault(customer, []).append(event)

    mine = limit_model.limits("customerConstraints", PER_CUSTOMER)
    for customer, events in held.items():
        assert limit_model.overrun(mine, events, starts_at, ZONE) == [], customer
    total = sum(map(len, held.values()))
    assert total <= 1000 or not whole

    assert Counter((customer, event) for customer, event, error in told if error is None) == Counter(
        (customer, event) for customer, events in held.items() for event in events
    ), "what was answered is what is there"
    for customer, event, error in told:
        if error is not None:
            check_refusal(error, held.get(customer, []), event, starts_at, total)
    codes = Counter(error and error["reference"] for _, _, error in told)
    assert {
        "customerConstraints[0]",
        "customerConstraints[1].rollForDays",
        "customerConstraints[1].rollForWeeks",
    } < set(codes)
    assert ("badgeConstraints[0]" in codes) == bool(whole)
    name = "with a limit of the badge" if whole else "side by side"
    record_property(f"limits, {name}, seed {SEED}, {len(told)} attempts", dict(codes))


def check_refusal(
    error: dict[str, Any], events: list[datetime], at: datetime, starts_at: datetime, total: int
) -> None:
    """Assert that the reported limit was the first one exceeded at some moment, given the first rows that the
    customer has now.

    A customer's rows are only added, in the order of ordinals, and a full badge limit stays full.
    """
    mine = limit_model.limits("customerConstraints", PER_CUSTOMER)
    found = (error["reference"], error["details"]["limit"], error["details"]["used"])
    if error["code"] == 818:
        assert found == ("badgeConstraints[0]", 1000, 1000)
        assert total == 1000
        assert limit_model.first_full(mine, events, at, starts_at, ZONE) is None
        return
    assert error["code"] == 817
    moments = [events[:count] for count in range(len(events) + 1)]
    assert found in [limit_model.first_full(mine, moment, at, starts_at, ZONE) for moment in moments]
