"""Every kind of badge that the contract knows is accepted and read back equal."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.acceptance.test_operations import told
from tests.support import badge_body

EXPIRIES: list[dict[str, Any]] = [
    {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 30},
    {"expiryType": "RELATIVE", "relativeExpirytype": "WEEKS", "value": 2},
    {"expiryType": "RELATIVE", "relativeExpirytype": "MONTHS", "value": 12},
    {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": 1917935013.121711},
    {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": "2035-01-01T00:00:00+02:00"},
    {"expiryType": "ABSOLUTE", "type": "WITH_BADGE_META", "expireWithBadgeMeta": True},
    {"expiryType": "NEVER"},
]
CUSTOMER: list[list[dict[str, Any]]] = [
    [],
    [{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}],
    [{"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 3}],
    [{"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}],
    [
        {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1,
         "maxEarnForWeeks": 2, "rollForWeeks": 1, "maxEarnForMonths": 5, "rollForMonths": 2},
        {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 9},
    ],
    *(
        [{"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 2, "durationType": duration, **more}]
        for duration, more in (
            ("DAYS", {"refreshRate": 3}), ("DAILY", {}), ("WEEKS", {"startDayOfTheWeek": "SUNDAY"}),
            ("WEEKLY", {"startDayOfTheWeek": 3, "refreshRate": 7}), ("MONTHS", {}), ("MONTHLY", {"startDayOfTheWeek": "5"}),
        )
    ),
]  # fmt: skip
BADGE: list[list[dict[str, Any]]] = [
    [],
    [{"constraintType": "BADGE_NO_LIMIT"}],
    [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1000}],
    *(
        [{"constraintType": "BADGE_ROLLING_WINDOW", "rollType": unit, "rollValue": 2, "maxEarnLimit": 7}]
        for unit in ("DAYS", "WEEKS", "MONTHS")
    ),
    [
        {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": 4, "durationType": "WEEKS", "startDayOfTheWeek": "MONDAY"},
        {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": 9, "durationType": "MONTHLY"},
    ],
]  # fmt: skip


def bodies() -> list[dict[str, Any]]:
    """Direct and enrolled ones with every expiry, and every list of constraints at least once."""
    made: list[dict[str, Any]] = [{"earnType": "EARN", "earnedBadgeExpiry": expiry} for expiry in EXPIRIES]
    made += [
        {"earnType": "ISSUE_EARN", "earnedBadgeExpiry": earned, "issuedBadgeExpiry": issued}
        for earned, issued in itertools.product(EXPIRIES[::2], EXPIRIES)
    ]
    made += [{"customerConstraints": given} for given in CUSTOMER]
    made += [{"badgeConstraints": given} for given in BADGE]
    made.append(
        {
            "customerConstraints": list(itertools.chain(*CUSTOMER)),
            "badgeConstraints": list(itertools.chain(*BADGE)),
            "overlapPolicy": "REJECT",
        }
    )
    return made


@pytest.mark.parametrize("header", [{}, {"X-CAP-BADGES-MIGRATION": "migration"}], ids=["new", "migrated"])
def test_every_kind_of_badge_is_accepted_and_read_back_equal(
    client: httpx.Client, header: dict[str, str]
) -> None:
    for number, fields in enumerate(bodies()):
        name = f"Kind {number} {time.time()}"
        body = badge_body(name=name, startOn=time.time() + 60, **fields)
        made = told(client.post("/badgeMeta", json=body, headers=header), 201)
        read = told(client.get(f"/badgeMeta/{made['id']}"))
        assert read == made
        for field, sent in body.items():
            assert_equal(field, sent, read[field])


def assert_equal(field: str, sent: Any, read: Any) -> None:
    """Assert that the fields sent were read back. Times are compared as instants; responses may add fields to
    objects.
    """
    if field in ("startOn", "expiresOn"):
        assert abs(instant(sent) - instant(read)) < 1e-5, field
    elif isinstance(sent, dict):
        for name, value in sent.items():
            assert_equal(name, value, read[name])
    elif isinstance(sent, list) and sent and isinstance(sent[0], dict):
        assert len(sent) == len(read)
        for part, answered in zip(sent, read, strict=True):
            assert_equal(field, part, answered)
    else:
        assert sent == read, field


def instant(given: Any) -> float:
    """Epoch seconds of a number or an ISO text."""
    return datetime.fromisoformat(given).astimezone(UTC).timestamp() if isinstance(given, str) else given
