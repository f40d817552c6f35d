"""Many customers in one call."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable

import httpx

from tests.acceptance.service import Service, earn_bulk, make_badge, query

HEX24 = re.compile(r"[0-9a-f]{24}")
COUNT = (
    "select count(*), count(distinct customer_id) from earned_badge e join badge b using (badge_key)"
    " where b.badge_id = $1"
)


def test_ten_thousand_customers_in_one_call(
    service: Service, client: httpx.Client, record_property: Callable[[str, object], None]
) -> None:
    badge_id = make_badge(client)
    customers = random.Random(10_000).sample(range(1, 2**63), 10_000)
    started = time.perf_counter()
    answer = earn_bulk(client, badge_id, customers, requestId="ten thousand")
    record_property("10,000 customers in one call", f"{(time.perf_counter() - started) * 1000:.0f} ms")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    entries = data["issuedBadges"]
    assert [entry["customerId"] for entry in entries] == customers
    assert len({entry["issuedId"] for entry in entries}) == 10_000
    assert all(HEX24.fullmatch(entry["issuedId"]) for entry in entries)
    assert (data["totalCount"], data["earnedCount"], data["failedCount"]) == (10_000, 10_000, 0)
    assert query(service.database_url, COUNT, badge_id) == [(10_000, 10_000)]


def test_a_hundred_thousand_customers_in_one_call(service: Service, client: httpx.Client) -> None:
    badge_id = make_badge(client)
    answer = earn_bulk(client, badge_id, range(1, 100_001), requestId="a hundred thousand")
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["earnedCount"] == 100_000
    assert query(service.database_url, COUNT, badge_id) == [(100_000, 100_000)]


def test_one_more_is_refused_and_the_answer_names_the_limit(service: Service, client: httpx.Client) -> None:
    badge_id = make_badge(client)
    answer = earn_bulk(client, badge_id, range(1, 100_002), requestId="one more")
    assert answer.status_code == 400
    body = answer.json()
    assert body["data"] is None
    assert [(error["code"], error["reference"]) for error in body["errors"]] == [(400, "customerIds")]
    assert "100000" in body["errors"][0]["message"]
    assert query(service.database_url, COUNT, badge_id) == [(0, 0)]
    fewer = earn_bulk(client, badge_id, [1], requestId="one more")
    assert fewer.status_code == 200, "the id was not used up"
