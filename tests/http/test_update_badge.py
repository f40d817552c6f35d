"""Changing a badge through the whole app: what is sent replaces, what is absent stays, null clears."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cockade.storage.database import connect
from tests.http.answers import failure, success
from tests.support import TRIGGER, Org

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CUSTOMER_WINDOW = {
    "constraintType": "CUSTOMER_BADGE_FIXED_WINDOW",
    "maxEarnLimit": 1,
    "durationType": "DAILY",
}
BADGE_WINDOW = {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": 9, "durationType": "MONTHS"}
ROLLING = {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 2}
WAITING = "select count(*)::int from pg_locks where locktype = 'advisory' and classid = 1 and objid = $1::integer::oid and not granted"
FIXED = {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 2}
FULL: dict[str, Any] = {
    "description": "All there is",
    "customerConstraints": [FIXED],
    "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 100}],
    "images": [{"name": "a", "fileSvcHandle": None, "url": "https://a.example/a.png", "tag": "EARNED"}],
    "benefits": [{"benefitType": "COUPON", "seriesId": 7}],
    "tags": [{"name": "colour", "value": "red"}],
    "badgeGroupId": "0123456789abcdef01234567",
    "badgeRank": 3,
    "customFields": {"free": 1},
    "defaultTillId": 5,
    "overlapPolicy": "REJECT",
}
CLEARED = {
    "description": None, "customerConstraints": [], "badgeConstraints": [], "images": [], "benefits": [],
    "tags": [], "badgeGroupId": None, "badgeRank": None, "customFields": {}, "defaultTillId": None,
    "overlapPolicy": None,
}  # fmt: skip


async def update(org: Org, badge_id: Any, **fields: Any) -> httpx.Response:
    return await org.client.put("/badgeMeta", json={"id": badge_id, **fields})


async def read(org: Org, badge_id: str) -> dict[str, Any]:
    return success(await org.client.get(f"/badgeMeta/{badge_id}"))


def but_touched(badge: dict[str, Any]) -> dict[str, Any]:
    """The badge without what every change changes."""
    return {name: value for name, value in badge.items() if not name.startswith("lastUpdated")}


async def test_nothing_but_the_id_changes_nothing_but_when_it_was_changed(shared_org: Org) -> None:
    expiry = {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": 2_000_000_000.123456}
    given: dict[str, Any] = {**FULL, "earnedBadgeExpiry": expiry}
    badge_id = await shared_org.make_badge(**given)
    before = await read(shared_org, badge_id)
    changed = success(await update(shared_org, badge_id))
    assert but_touched(changed) == but_touched(before)
    assert changed["lastUpdatedOn"] > before["lastUpdatedOn"]
    assert await read(shared_org, badge_id) == changed


async def test_missing_fields_stay_and_null_clears(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(**FULL)
    before = await read(shared_org, badge_id)
    for name, cleared in CLEARED.items():
        after = success(await update(shared_org, badge_id, **{name: None}))
        assert after[name] == cleared
        others = {other for other in but_touched(before) if other not in (name, "badgeGroupName")}
        assert {other: after[other] for other in others} == {other: before[other] for other in others}
        before = after


async def test_all_fields_can_be_replaced(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(
        startOn=(NOW + DAY).isoformat(), earnType="ISSUE_EARN", issuedBadgeExpiry={"expiryType": "NEVER"}
    )
    fields = {
        **FULL,
        "name": f"Renamed {badge_id}",
        "startOn": (NOW + 2 * DAY).timestamp(),
        "expiresOnISO": "2040-01-01T00:00:00Z",
        "earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 3},
        "issuedBadgeExpiry": {
            "expiryType": "ABSOLUTE",
            "type": "WITH_BADGE_META",
            "expireWithBadgeMeta": True,
        },
        "ownership": {"restrictedToOwners": ["Journeys", "Loyalty"]},
        "isActive": False,
    }
    after = success(await update(shared_org, badge_id, **fields))
    for name, value in fields.items():
        if name not in ("ownership", "startOn"):
            assert after[name] == value, name
    assert abs(after["startOn"] - fields["startOn"]) < 1e-6
    assert after["active"] is False
    assert after["ownership"]["restrictedToOwners"] == ["Journeys", "Loyalty"]
    assert after["ownership"]["claims"] == [{**TRIGGER, "isActive": True}]


LIVE: list[tuple[dict[str, Any], list[tuple[int, str | None]]]] = [
    ({"startOn": (NOW - 2 * DAY).isoformat()}, [(723, "startOn")]),
    ({"startOn": (NOW + DAY).isoformat()}, [(723, "startOn")]),
    ({"expiresOn": (NOW - 3 * DAY).isoformat()}, [(720, "startOn"), (724, "expiresOn")]),
    ({"earnType": "ISSUE_EARN"}, [(400, "issuedBadgeExpiry"), (1020, "earnType")]),
    ({"ownership": {"restrictedToOwners": ["Journeys"]}}, [(738, "ownership.restrictedToOwners")]),
    ({"ownership": None}, [(727, "ownership")]),
    ({"ownership": {"restrictedToOwners": []}}, [(728, "ownership.restrictedToOwners")]),
    ({"name": None, "earnedBadgeExpiry": None, "earnType": None}, [(400, "name"), (400, "earnType"), (400, "earnedBadgeExpiry")]),
    ({"name": " "}, [(400, "name")]),
    ({"name": 5, "badgeRank": "x", "ownership": None}, [(400, "name"), (727, "ownership"), (400, "badgeRank")]),
    ({"startOn": None}, [(400, "startOn")]),
    ({"expiresOn": "tomorrow"}, [(400, "expiresOn")]),
    ({"active": True, "isActive": False}, [(400, "isActive")]),
    ({"customerConstraints": [CUSTOMER_WINDOW]}, [(826, "customerConstraints")]),
    ({"badgeConstraints": [BADGE_WINDOW]}, [(826, "badgeConstraints")]),
    ({"lastUpdatedOn": 1}, [(409, "lastUpdatedOn")]),
    ({"lastUpdatedOn": "yesterday"}, [(400, "lastUpdatedOn")]),
    (
        {"startOn": (NOW + DAY).isoformat(), "earnType": "ISSUE_EARN", "customerConstraints": [CUSTOMER_WINDOW]},
        [(400, "issuedBadgeExpiry"), (723, "startOn"), (1020, "earnType"), (826, "customerConstraints")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "told"), LIVE)
async def test_fields_that_cannot_change(
    shared_org: Org, fields: dict[str, Any], told: list[tuple[int, str | None]]
) -> None:
    badge_id = await shared_org.make_badge(**FULL)
    before = await read(shared_org, badge_id)
    answer = await update(shared_org, badge_id, **fields)
    found = failure(answer, 409 if told[0][0] == 409 else 400)
    assert sorted(found, key=str) == sorted(told, key=str)
    assert await read(shared_org, badge_id) == before


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ([FIXED], [FIXED, CUSTOMER_WINDOW], False),
        ([FIXED, CUSTOMER_WINDOW], [CUSTOMER_WINDOW], False),
        ([FIXED, CUSTOMER_WINDOW], [CUSTOMER_WINDOW, FIXED], False),
        ([FIXED], [ROLLING], False),
        ([CUSTOMER_WINDOW], [ROLLING], True),
        ([CUSTOMER_WINDOW], [FIXED], True),
        ([ROLLING], [CUSTOMER_WINDOW], True),
        ([FIXED, ROLLING], [FIXED, CUSTOMER_WINDOW], True),
        ([CUSTOMER_WINDOW], [], False),
        ([{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}], [CUSTOMER_WINDOW], False),
    ],
)
async def test_a_window_does_not_take_the_place_of_another_kind(
    shared_org: Org, before: list[Any], after: list[Any], refused: bool
) -> None:
    badge_id = await shared_org.make_badge(customerConstraints=before)
    answer = await update(shared_org, badge_id, customerConstraints=after)
    assert (answer.status_code == 400) == refused
    if refused:
        assert failure(answer, 400) == [(826, "customerConstraints")]


async def test_an_upcoming_badge_may_be_moved_but_not_into_the_past(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(startOn=(NOW + DAY).isoformat())
    assert failure(await update(shared_org, badge_id, startOn=(NOW - 2 * DAY).isoformat()), 400) == [
        (722, "startOn")
    ]
    success(await update(shared_org, badge_id, startOn=(NOW + 3 * DAY).isoformat()))


async def test_a_name_stays_unique(shared_org: Org) -> None:
    first, second = await shared_org.make_badge(), await shared_org.make_badge()
    name = (await read(shared_org, first))["name"]
    assert failure(await update(shared_org, second, name=name), 400) == [(725, "name")]
    success(await update(shared_org, first, name=name))


async def test_change_based_on_an_outdated_badge_is_rejected(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    old = await read(shared_org, badge_id)
    new = success(await update(shared_org, badge_id, description="1", lastUpdatedOn=old["lastUpdatedOn"]))
    assert failure(
        await update(shared_org, badge_id, description="2", lastUpdatedOn=old["lastUpdatedOn"]), 409
    ) == [(409, "lastUpdatedOn")]
    success(await update(shared_org, badge_id, description="2", lastUpdatedOnISO=new["lastUpdatedOnISO"]))


async def test_whose_badge_it_is(shared_org: Org, other_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    assert failure(await update(other_org, badge_id), 404) == [(404, None)]
    assert failure(await update(other_org, "no id"), 404) == [(404, None)]
    assert failure(await update(other_org, None), 400) == [(715, "id")]


async def test_fixed_windows_keep_their_ids(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(
        customerConstraints=[FIXED, CUSTOMER_WINDOW], badgeConstraints=[BADGE_WINDOW]
    )
    before = await read(shared_org, badge_id)
    window, whole = before["customerConstraints"][1], before["badgeConstraints"][0]
    assert len({window["referenceId"], whole["referenceId"]}) == 2
    assert "referenceId" not in before["customerConstraints"][0]
    moved = [{**CUSTOMER_WINDOW, "referenceId": window["referenceId"], "maxEarnLimit": 5}, FIXED]
    after = success(await update(shared_org, badge_id, customerConstraints=moved))
    assert after["customerConstraints"][0]["referenceId"] == window["referenceId"]
    again = success(
        await update(shared_org, badge_id, badgeConstraints=[{**BADGE_WINDOW, "referenceId": "mine"}])
    )
    assert again["badgeConstraints"][0]["referenceId"] == whole["referenceId"]
    twice = [CUSTOMER_WINDOW, {**CUSTOMER_WINDOW, "referenceId": window["referenceId"]}]
    ids = [
        each["referenceId"]
        for each in success(await update(shared_org, badge_id, customerConstraints=twice))[
            "customerConstraints"
        ]
    ]
    assert ids[1] == window["referenceId"] != ids[0]


async def test_earned_badges_keep_their_validity_and_count_towards_new_limits(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    first = success(await org.earn_bulk(badge_id, [1, 2, 3], requestId="first"))
    success(
        await update(
            org,
            badge_id,
            earnedBadgeExpiry={"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1},
        )
    )
    told = success(await org.client.get("/requests", params={"requestId": "first"}))
    assert told["expiresOn"] == first["expiresOn"]
    success(await update(org, badge_id, customerConstraints=[ROLLING]))
    entries = success(await org.earn_bulk(badge_id, [1, 9]))["issuedBadges"]
    assert [entry.get("error", {}).get("code") for entry in entries] == [817, None]
    success(
        await update(
            org,
            badge_id,
            customerConstraints=None,
            badgeConstraints=[
                {
                    "constraintType": "BADGE_ROLLING_WINDOW",
                    "rollType": "DAYS",
                    "rollValue": 1,
                    "maxEarnLimit": 5,
                }
            ],
        )
    )
    entries = success(await org.earn_bulk(badge_id, [1, 2]))["issuedBadges"]
    assert [entry.get("error", {}).get("code") for entry in entries] == [None, 818]
    success(await update(org, badge_id, badgeConstraints=[]))
    assert success(await org.earn_bulk(badge_id, [2]))["earnedCount"] == 1


async def test_a_badge_that_gets_a_limit_while_it_is_earned_never_exceeds_it(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    limit = [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 60}]
    calls = [org.earn_bulk(badge_id, list(range(1, 6))) for _ in range(20)]
    answers = await asyncio.gather(*calls[:10], update(org, badge_id, badgeConstraints=limit), *calls[10:])
    earned = sum(success(answer)["earnedCount"] for answer in answers[:10] + answers[11:])
    assert earned == 60
    assert success(await org.earn_bulk(badge_id, [7]))["earnedCount"] == 0


BAD_CONSTRAINTS = [
    ({**CUSTOMER_WINDOW, "durationType": None}, "durationType"),
    ({**CUSTOMER_WINDOW, "durationType": "YEARS"}, "durationType"),
    ({**CUSTOMER_WINDOW, "startDayOfTheWeek": "monday"}, "startDayOfTheWeek"),
    ({**CUSTOMER_WINDOW, "startDayOfTheWeek": 0}, "startDayOfTheWeek"),
    ({**CUSTOMER_WINDOW, "startDayOfTheWeek": 8}, "startDayOfTheWeek"),
    ({**CUSTOMER_WINDOW, "refreshRate": 0}, "refreshRate"),
    ({**CUSTOMER_WINDOW, "maxEarnLimit": None}, "maxEarnLimit"),
    ({**FIXED, "maxEarnLimit": 0}, "maxEarnLimit"),
    ({**FIXED, "maxEarnLimit": 2**31}, "maxEarnLimit"),
    ({**ROLLING, "rollForDays": None}, "rollForDays"),
    ({**ROLLING, "rollForMonths": 1}, "maxEarnForMonths"),
    ({**ROLLING, "rollForMonths": 1201, "maxEarnForMonths": 1}, "rollForMonths"),
    ({"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1}, "constraintType"),
    ({"constraintType": "SOMETIMES"}, "constraintType"),
    ({}, "constraintType"),
]


@pytest.mark.parametrize(("constraint", "field"), BAD_CONSTRAINTS)
async def test_incomplete_constraint_is_rejected(shared_org: Org, constraint: Any, field: str) -> None:
    badge_id = await shared_org.make_badge()
    answer = await update(shared_org, badge_id, customerConstraints=[FIXED, constraint])
    assert failure(answer, 400) == [(400, f"customerConstraints[1].{field}")]


async def test_request_waiting_while_a_badge_gets_a_limit_takes_the_exclusive_lock(
    org: Org, database_url: str
) -> None:
    """A request that saw no limit when it asked for the lock finds one when it has it: it runs again, alone."""
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    limit = '[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 5}]'
    connection = await connect(database_url)
    try:
        key = await connection.fetchval("select badge_key from badge where badge_id = $1", badge_id)
        await connection.execute("begin")
        await connection.execute("select pg_advisory_xact_lock(1, $1)", key)
        calls = [
            asyncio.ensure_future(org.earn_bulk(badge_id, [4 * n + more for more in range(1, 5)]))
            for n in range(8)
        ]
        async with asyncio.timeout(20):
            while True:
                if await connection.fetchval(WAITING, key) == len(calls):
                    break
                await asyncio.sleep(0.01)
        await connection.execute(
            "update badge set has_badge_limit = true, badge_constraints = $2 where badge_key = $1", key, limit
        )
        await connection.execute("commit")
    finally:
        await connection.close()
    answers = await asyncio.gather(*calls)
    assert sum(success(answer)["earnedCount"] for answer in answers) == 5
