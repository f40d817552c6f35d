"""The badges of a run, each for a promise that could break, and how clients use them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

ZONE = "Europe/Berlin"
REFERENCE = "storm"
TRIGGER = {"ownerType": "Loyalty", "referenceId": REFERENCE}
HISTORY_DAYS = 400
NEVER = {"expiryType": "NEVER"}
FOR_A_WEEK = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 7}


class Scenario(Struct, frozen=True, kw_only=True):
    """A badge and its load."""

    name: str
    share: int
    """Relative frequency of requests."""
    turnover: float
    """Average number of requests per customer."""
    days_back: int = 0
    """Maximum age of events in days. 0: no date is sent."""
    revoked: bool = False
    """Whether clients revoke what they issued."""
    kept: str = ""
    """How an admin client changes the badge: `switched off`, `unclaimed` or `changing limit`."""
    expiry: dict[str, Any] = msgspec.field(default_factory=lambda: NEVER)
    customer: list[dict[str, Any]] = []
    """Constraints per customer."""
    whole: list[dict[str, Any]] = []
    """Constraints of the badge as a whole."""
    policy: str | None = None

    def fields(self, now: datetime, suffix: str) -> dict[str, Any]:
        """Return the body that creates the badge."""
        body: dict[str, Any] = {
            "name": f"{self.name} {suffix}",
            "startOn": (now - timedelta(days=HISTORY_DAYS)).isoformat(),
            "expiresOn": (now + timedelta(days=HISTORY_DAYS)).isoformat(),
            "earnType": "EARN",
            "earnedBadgeExpiry": self.expiry,
            "ownership": {"restrictedToOwners": ["Loyalty"]},
            "customerConstraints": self.customer,
            "badgeConstraints": self.whole,
        }
        return body | ({"overlapPolicy": self.policy} if self.policy else {})


def _customer_rolling(unit: str, most: int, length: int) -> dict[str, Any]:
    return {
        "constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW",
        f"maxEarnFor{unit}": most,
        f"rollFor{unit}": length,
    }


def _customer_cycles(most: int, unit: str, **more: Any) -> dict[str, Any]:
    return {
        "constraintType": "CUSTOMER_BADGE_FIXED_WINDOW",
        "maxEarnLimit": most,
        "durationType": unit,
        **more,
    }


def _customer_ever(most: int) -> dict[str, Any]:
    return {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": most}


def _whole_ever(most: int) -> dict[str, Any]:
    return {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": most}


def _whole_rolling(most: int, unit: str, length: int) -> dict[str, Any]:
    return {
        "constraintType": "BADGE_ROLLING_WINDOW",
        "rollType": unit,
        "rollValue": length,
        "maxEarnLimit": most,
    }


def _whole_cycles(most: int, unit: str) -> dict[str, Any]:
    return {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": most, "durationType": unit}


SCENARIOS = [
    Scenario(name="plain", share=6, turnover=3, revoked=True),
    Scenario(name="for a week", share=4, turnover=8, days_back=60, expiry=FOR_A_WEEK),
    Scenario(name="three ever", share=3, turnover=5, customer=[_customer_ever(3)], revoked=True),
    Scenario(
        name="rolling",
        share=3,
        turnover=10,
        days_back=70,
        revoked=True,
        customer=[_customer_rolling("Days", 2, 7), _customer_rolling("Months", 4, 1)],
    ),
    Scenario(
        name="cycles",
        share=3,
        turnover=10,
        days_back=70,
        customer=[_customer_cycles(1, "WEEKS", startDayOfTheWeek="WEDNESDAY"), _customer_cycles(3, "MONTHS")],
    ),
    Scenario(
        name="cycles of days",
        share=2,
        turnover=8,
        days_back=20,
        expiry=FOR_A_WEEK,
        policy="REJECT",
        customer=[_customer_cycles(1, "DAYS", refreshRate=3)],
    ),
    Scenario(name="so many as a whole", share=3, turnover=2, whole=[_whole_ever(4000)], revoked=True),
    Scenario(
        name="rolling as a whole", share=3, turnover=2, days_back=90, whole=[_whole_rolling(60, "DAYS", 1)]
    ),
    Scenario(
        name="cycles as a whole",
        share=2,
        turnover=2,
        days_back=90,
        whole=[_whole_cycles(40, "DAYS"), _whole_rolling(900, "MONTHS", 1)],
        customer=[_customer_ever(2)],
    ),
    Scenario(name="switched", share=3, turnover=2, kept="switched off"),
    Scenario(name="claimed", share=3, turnover=2, kept="unclaimed"),
    Scenario(name="changing", share=3, turnover=1, kept="changing limit", whole=[_whole_ever(100)]),
]
