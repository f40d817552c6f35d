"""The badges of a run, each with a guarantee that faults or races could violate, and the load on each."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

TIME_ZONE = "Europe/Berlin"
TRIGGER = {"ownerType": "Loyalty", "referenceId": "chaos"}
WINDOW_DAYS = 400
"""Days before and after now in which the badges are live."""
NEVER = {"expiryType": "NEVER"}
ONE_WEEK = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 7}


class AdminAction(StrEnum):
    """A change that an admin client makes repeatedly during the run."""

    DEACTIVATE = "deactivate"
    """Deactivate the badge, then activate it."""
    UNCLAIM = "unclaim"
    """Unclaim the badge, then claim it."""
    CHANGE_LIMIT = "change limit"
    """Raise or lower the limit of the badge as a whole."""


class Scenario(Struct, frozen=True, kw_only=True):
    """A badge and the load on it."""

    name: str
    weight: int
    """Relative frequency of requests for this badge."""
    requests_per_customer: float
    """Average number of requests that contain the same customer."""
    event_days: int = 0
    """Maximum age of event dates in days. 0: no event date is sent."""
    has_revocations: bool = False
    """Whether clients revoke some of the earned badges."""
    admin_action: AdminAction | None = None
    expiry: dict[str, Any] = msgspec.field(default_factory=lambda: NEVER)
    customer_constraints: list[dict[str, Any]] = []
    badge_constraints: list[dict[str, Any]] = []
    overlap_policy: str | None = None

    def body(self, now: datetime, suffix: str) -> dict[str, Any]:
        """Return the request body that creates the badge."""
        body: dict[str, Any] = {
            "name": f"{self.name} {suffix}",
            "startOn": (now - timedelta(days=WINDOW_DAYS)).isoformat(),
            "expiresOn": (now + timedelta(days=WINDOW_DAYS)).isoformat(),
            "earnType": "EARN",
            "earnedBadgeExpiry": self.expiry,
            "ownership": {"restrictedToOwners": ["Loyalty"]},
            "customerConstraints": self.customer_constraints,
            "badgeConstraints": self.badge_constraints,
        }
        return body | ({"overlapPolicy": self.overlap_policy} if self.overlap_policy else {})


def _customer_fixed_value(maximum: int) -> dict[str, Any]:
    return {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": maximum}


def _customer_rolling_window(maximum: int, unit: str, length: int) -> dict[str, Any]:
    return {
        "constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW",
        f"maxEarnFor{unit}": maximum,
        f"rollFor{unit}": length,
    }


def _customer_cycle(maximum: int, unit: str, **options: Any) -> dict[str, Any]:
    return {
        "constraintType": "CUSTOMER_BADGE_FIXED_WINDOW",
        "maxEarnLimit": maximum,
        "durationType": unit,
        **options,
    }


def _badge_fixed_value(maximum: int) -> dict[str, Any]:
    return {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": maximum}


def _badge_rolling_window(maximum: int, unit: str, length: int) -> dict[str, Any]:
    return {
        "constraintType": "BADGE_ROLLING_WINDOW",
        "rollType": unit,
        "rollValue": length,
        "maxEarnLimit": maximum,
    }


def _badge_cycle(maximum: int, unit: str) -> dict[str, Any]:
    return {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": maximum, "durationType": unit}


SCENARIOS = [
    Scenario(name="plain", weight=6, requests_per_customer=3, has_revocations=True),
    Scenario(name="one week", weight=4, requests_per_customer=8, event_days=60, expiry=ONE_WEEK),
    Scenario(
        name="customer fixed value",
        weight=3,
        requests_per_customer=5,
        customer_constraints=[_customer_fixed_value(3)],
        has_revocations=True,
    ),
    Scenario(
        name="customer rolling window",
        weight=3,
        requests_per_customer=10,
        event_days=70,
        has_revocations=True,
        customer_constraints=[
            _customer_rolling_window(2, "Days", 7),
            _customer_rolling_window(4, "Months", 1),
        ],
    ),
    Scenario(
        name="customer cycle",
        weight=3,
        requests_per_customer=10,
        event_days=70,
        customer_constraints=[
            _customer_cycle(1, "WEEKS", startDayOfTheWeek="WEDNESDAY"),
            _customer_cycle(3, "MONTHS"),
        ],
    ),
    Scenario(
        name="customer cycle of days",
        weight=2,
        requests_per_customer=8,
        event_days=20,
        expiry=ONE_WEEK,
        overlap_policy="REJECT",
        customer_constraints=[_customer_cycle(1, "DAYS", refreshRate=3)],
    ),
    Scenario(
        name="badge fixed value",
        weight=3,
        requests_per_customer=2,
        badge_constraints=[_badge_fixed_value(4000)],
        has_revocations=True,
    ),
    Scenario(
        name="badge rolling window",
        weight=3,
        requests_per_customer=2,
        event_days=90,
        badge_constraints=[_badge_rolling_window(60, "DAYS", 1)],
    ),
    Scenario(
        name="badge cycle",
        weight=2,
        requests_per_customer=2,
        event_days=90,
        badge_constraints=[_badge_cycle(40, "DAYS"), _badge_rolling_window(900, "MONTHS", 1)],
        customer_constraints=[_customer_fixed_value(2)],
    ),
    Scenario(name="deactivated", weight=3, requests_per_customer=2, admin_action=AdminAction.DEACTIVATE),
    Scenario(name="unclaimed", weight=3, requests_per_customer=2, admin_action=AdminAction.UNCLAIM),
    Scenario(
        name="changing limit",
        weight=3,
        requests_per_customer=1,
        admin_action=AdminAction.CHANGE_LIMIT,
        badge_constraints=[_badge_fixed_value(100)],
    ),
]
