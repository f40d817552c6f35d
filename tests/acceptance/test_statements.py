"""The number of statements of an earnBulk does not depend on the number of customers: counted from the server's log."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.acceptance.service import Service, earn_bulk, make_badge, query

STATEMENT = re.compile(r"^\S+ \S+ \S+ \[(\d+)\] LOG:  (?:statement|execute [^:]*): (.*)$", re.MULTILINE)
FEW, MANY = 102, 10_000
"""Fewer may share a transaction with other calls; see `cockade.earning.batching`."""


def statements(service: Service, call: Callable[[], httpx.Response]) -> list[str]:
    """Return the statements of other connections during the request."""
    marks = [uuid.uuid4().hex, uuid.uuid4().hex]
    query(service.database_url, f"select '{marks[0]}'")
    answer = call()
    assert answer.status_code == 200, answer.text
    query(service.database_url, f"select '{marks[1]}'")
    asked = STATEMENT.findall((service.data_dir / "postgres.log").read_text())
    first, last = (next(place for place, (_, sql) in enumerate(asked) if mark in sql) for mark in marks)
    own = {asked[first][0], asked[last][0]}
    return [sql for pid, sql in asked[first:last] if pid not in own]


LIMITS: dict[str, Any] = {
    "customerConstraints": [
        {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 1},
        {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1},
    ],
    "badgeConstraints": [
        {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1_000_000},
        {
            "constraintType": "BADGE_ROLLING_WINDOW",
            "rollType": "DAYS",
            "rollValue": 1,
            "maxEarnLimit": 1_000_000,
        },
        {"constraintType": "BADGE_FIXED_WINDOW", "durationType": "MONTHS", "maxEarnLimit": 1_000_000},
    ],
}


@pytest.mark.parametrize("limits", [{}, LIMITS], ids=["without limits", "with limits"])
def test_a_hundred_customers_and_ten_thousand_take_the_same_number_of_statements(
    logging_service: Service, record_property: Callable[[str, object], None], limits: dict[str, Any]
) -> None:
    shown = logging_service.first_credential()
    with logging_service.client(shown["username"], shown["secret"]) as client:
        badge_id = make_badge(client, **limits)
        # The worker has seen the credential and has its connection before anything is counted.
        assert earn_bulk(client, badge_id, [1]).status_code == 200
        first, counts = 2, dict[str, list[int]]()
        for situation, held, size in (
            ("none held", 0, FEW),
            ("none held", 0, MANY),
            ("all held", FEW, FEW),
            ("all held", MANY, MANY),
            ("half held", FEW // 2, FEW),
            ("half held", MANY // 2, MANY),
        ):
            if held:
                assert earn_bulk(client, badge_id, range(first, first + held)).status_code == 200
            asked = statements(
                logging_service,
                lambda audience=range(first, first + size): earn_bulk(client, badge_id, audience),
            )
            assert (asked[0], asked[-1]) == ("BEGIN", "COMMIT"), asked
            counts.setdefault(situation, []).append(len(asked))
            first += size
    assert [len(set(counted)) for counted in counts.values()] == [1, 1, 1], counts
    record_property("statements of an earnBulk, BEGIN and COMMIT included", counts)
