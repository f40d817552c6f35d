"""Badges over HTTP: what is created is read back, what is refused says why, and lists show what was asked for."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.http.answers import earned_count, failure, message, success
from tests.support import Org, badge_body

MIGRATION = {"X-CAP-BADGES-MIGRATION": "migration"}
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
STARTS, EXPIRES = NOW + DAYS, NOW + 30 * DAYS


def iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def body(**fields: Any) -> dict[str, Any]:
    """A badge from tomorrow on, which may be created without the migration header."""
    return badge_body(**{"startOn": STARTS.isoformat(), "expiresOn": EXPIRES.isoformat(), **fields})


async def create(org: Org, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """The created badge, once it has been read back equal."""
    created = success(await org.client.post("/badgeMeta", json=body(**fields), headers=headers), 201)
    assert success(await org.client.get(f"/badgeMeta/{created['id']}")) == created
    return created


async def test_a_badge_has_defaults_for_all_that_was_not_sent(org: Org) -> None:
    before = datetime.now(UTC)
    created = await create(org, name="Plain")
    after = datetime.now(UTC)
    times = [created.pop(name) for name in ("createdOn", "createdOnISO", "lastUpdatedOn", "lastUpdatedOnISO")]
    assert before <= datetime.fromtimestamp(times[0], UTC) <= after
    assert times[1] == iso(datetime.fromtimestamp(times[0], UTC))
    assert times[2:] == times[:2]
    assert len(created.pop("id")) == 24
    assert created == {
        "badgeNumericId": 1,
        "orgId": org.caller.org_id,
        "name": "Plain",
        "description": None,
        "startOn": STARTS.timestamp(),
        "startOnISO": iso(STARTS),
        "expiresOn": EXPIRES.timestamp(),
        "expiresOnISO": iso(EXPIRES),
        "status": "UPCOMING",
        "earnType": "EARN",
        "earnedBadgeExpiry": {"expiryType": "NEVER"},
        "issuedBadgeExpiry": None,
        "ownership": {"restrictedToOwners": ["Loyalty"], "claims": []},
        "customerConstraints": [],
        "badgeConstraints": [],
        "images": [],
        "benefits": [],
        "tags": [],
        "badgeGroupId": None,
        "badgeGroupName": None,
        "badgeRank": None,
        "customFields": {},
        "defaultTillId": None,
        "active": True,
        "isActive": True,
        "overlapPolicy": None,
        "createdBy": org.credential.username,
        "lastUpdatedBy": org.credential.username,
    }


async def test_badge_is_read_back_as_sent(shared_org: Org) -> None:
    sent: dict[str, Any] = {
        "name": f"Süß 🧦 {secrets.token_hex(4)}",
        "description": "Line one\nline two \0 'quoted' \u202e",
        "ownership": {
            "restrictedToOwners": ["Journeys", "Loyalty"],
            "claims": [{"ownerType": "Loyalty", "referenceId": "1", "isActive": True}],
        },
        "customerConstraints": [{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}],
        "badgeConstraints": [{"constraintType": "BADGE_NO_LIMIT"}],
        "images": [
            {"name": "a", "fileSvcHandle": "h", "url": "https://example.test/a.png", "tag": "IN_PROGRESS"}
        ],
        "benefits": [
            {"benefitType": "COUPON", "seriesId": 5},
            {
                "benefitType": "LOYALTY_POINTS",
                "points": 2.5,
                "programId": "p",
                "promotionId": 1,
                "allocationStrategyId": "a",
                "expirationStrategyId": "e",
            },
        ],
        "tags": [{"name": "colour", "value": ["red", None]}, {"name": "size", "value": None}],
        "badgeGroupId": "653de334b3cda7078c7c68eb",
        "badgeRank": 3,
        "customFields": {"": None, "größe": [1, {"deep": True}], "huge": 10**30, "small": 1e-9},
        "defaultTillId": 2**40,
        "active": False,
        "overlapPolicy": "ALLOW",
    }
    created = await create(shared_org, **sent)
    owners = sent.pop("ownership")
    assert created["ownership"] == {"restrictedToOwners": owners["restrictedToOwners"], "claims": []}
    assert created["isActive"] is False
    assert {name: created[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"expiryType": "NEVER"}, {"expiryType": "NEVER"}),
        *(
            (
                {"expiryType": "RELATIVE", "relativeExpirytype": unit, "value": 5},
                {"expiryType": "RELATIVE", "relativeExpirytype": unit, "value": 5},
            )
            for unit in ("DAYS", "WEEKS", "MONTHS")
        ),
        (
            {"expiryType": "RELATIVE", "relativeExpiryType": "DAYS", "value": 1},
            {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1},
        ),
        (
            {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": EXPIRES.timestamp()},
            {
                "expiryType": "ABSOLUTE",
                "type": "FIXED_DATE",
                "expiresOn": EXPIRES.timestamp(),
                "expiresOnISO": iso(EXPIRES),
            },
        ),
        (
            {
                "expiryType": "ABSOLUTE",
                "type": "FIXED_DATE",
                "expiresOn": "nonsense",
                "expiresOnISO": "2035-01-01T00:00:00.5Z",
            },
            {
                "expiryType": "ABSOLUTE",
                "type": "FIXED_DATE",
                "expiresOn": 2051222400.5,
                "expiresOnISO": "2035-01-01T00:00:00Z",
            },
        ),
        (
            {"expiryType": "ABSOLUTE", "type": "WITH_BADGE_META", "expireWithBadgeMeta": True},
            {"expiryType": "ABSOLUTE", "type": "WITH_BADGE_META", "expireWithBadgeMeta": True},
        ),
    ],
)
async def test_every_kind_of_expiry_is_read_back(
    shared_org: Org, sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    created = await create(shared_org, earnType="ISSUE_EARN", earnedBadgeExpiry=sent, issuedBadgeExpiry=sent)
    assert created["earnedBadgeExpiry"] == expected
    assert created["issuedBadgeExpiry"] == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"startOn": STARTS.timestamp()}, STARTS),
        ({"startOn": str(int(STARTS.timestamp() * 1000))}, STARTS),
        ({"startOn": "nonsense", "startOnISO": iso(STARTS)}, STARTS),
        ({"startOn": None, "startOnISO": STARTS.astimezone(BERLIN).isoformat()}, STARTS),
    ],
)
async def test_times_are_taken_in_every_form(
    shared_org: Org, sent: dict[str, Any], expected: datetime
) -> None:
    assert (await create(shared_org, **sent))["startOn"] == expected.timestamp()


async def test_badges_are_numbered_per_org_and_refused_ones_leave_no_gap(org: Org, other_org: Org) -> None:
    assert (await create(org, name="a"))["badgeNumericId"] == 1
    failure(await org.client.post("/badgeMeta", json=body(name="a")), 400)
    assert (await create(org, name="b"))["badgeNumericId"] == 2
    assert (await create(other_org, name="a"))["badgeNumericId"] == 1


@pytest.mark.parametrize(
    ("fields", "expected", "words"),
    [
        ({"startOn": iso(EXPIRES)}, [(720, "startOn")], "Start date should be before end date."),
        ({"startOn": iso(NOW - 2 * DAYS)}, [(722, "startOn")], "Start date cannot be past date."),
        (
            {"startOn": iso(NOW - 3 * DAYS), "expiresOn": iso(NOW - 2 * DAYS)},
            [(722, "startOn"), (724, "expiresOn")],
            None,
        ),
        (
            {"startOn": iso(NOW + DAYS), "expiresOn": iso(NOW - 2 * DAYS)},
            [(720, "startOn"), (724, "expiresOn")],
            None,
        ),
        ({"ownership": None}, [(727, "ownership")], "Owner info is mandatory."),
        (
            {"ownership": {"restrictedToOwners": []}},
            [(728, "ownership.restrictedToOwners")],
            "At least one owner is required.",
        ),
        (
            {"ownership": {"restrictedToOwners": ["loyalty"]}},
            [(400, "ownership.restrictedToOwners[0]")],
            None,
        ),
        ({"earnType": "ISSUE_EARN"}, [(400, "issuedBadgeExpiry")], None),
        ({"name": ""}, [(400, "name")], "name is mandatory."),
        (
            {"name": "", "startOn": "2026-01-01", "benefits": [{"benefitType": "COUPON"}]},
            [(400, "name"), (400, "startOn"), (400, "benefits[0].seriesId")],
            None,
        ),
        ({"customerConstraints": [{}]}, [(400, "customerConstraints[0].constraintType")], None),
    ],
)
async def test_invalid_badges_are_rejected_with_all_errors(
    shared_org: Org, fields: dict[str, Any], expected: list[tuple[int, str]], words: str | None
) -> None:
    answer = await shared_org.client.post("/badgeMeta", json=body(**fields))
    assert failure(answer, 400) == expected
    assert words is None or message(answer) == words


async def test_a_badge_may_begin_today_but_not_yesterday(shared_org: Org) -> None:
    midnight = datetime.now(BERLIN).replace(hour=0, minute=0, second=0, microsecond=0)
    before = midnight - timedelta(microseconds=1)
    answer = await shared_org.client.post("/badgeMeta", json=body(startOn=before.isoformat()))
    assert failure(answer, 400) == [(722, "startOn")]
    if datetime.now(BERLIN).date() == midnight.date():
        await create(shared_org, startOn=midnight.isoformat())


LIMITS = [
    ("customerConstraints", {"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 1}),
    (
        "customerConstraints",
        {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 7},
    ),
    (
        "customerConstraints",
        {
            "constraintType": "CUSTOMER_BADGE_FIXED_WINDOW",
            "maxEarnLimit": 1,
            "durationType": "WEEKS",
            "startDayOfTheWeek": "MONDAY",
        },
    ),
    ("badgeConstraints", {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 5}),
    (
        "badgeConstraints",
        {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 3, "maxEarnLimit": 5},
    ),
    (
        "badgeConstraints",
        {
            "constraintType": "BADGE_FIXED_WINDOW",
            "durationType": "DAYS",
            "refreshRate": 3,
            "maxEarnLimit": 5,
        },
    ),
]


@pytest.mark.parametrize(("field", "constraint"), LIMITS)
async def test_limits_are_taken_and_read_back(
    shared_org: Org, field: str, constraint: dict[str, Any]
) -> None:
    no_limit = {"constraintType": constraint["constraintType"].partition("BADGE")[0] + "BADGE_NO_LIMIT"}
    made = await create(shared_org, None, **{field: [no_limit, constraint]})
    read = success(await shared_org.client.get(f"/badgeMeta/{made['id']}"))
    for badge in (made, read):
        assert badge[field][0] == no_limit
        assert badge[field][1].items() >= constraint.items()


async def test_a_name_is_unique_in_its_org_and_case_sensitive(org: Org, other_org: Org) -> None:
    await create(org, name="Sock Collector")
    answer = await org.client.post("/badgeMeta", json=body(name="Sock Collector"))
    assert failure(answer, 400) == [(725, "name")]
    assert message(answer) == "Badge name cannot be duplicate."
    await create(org, name="sock collector")
    await create(org, name="Sock Collector ")
    await create(other_org, name="Sock Collector")


async def test_a_migrated_badge_keeps_its_id_and_may_lie_in_the_past(shared_org: Org, other_org: Org) -> None:
    badge_id = secrets.token_hex(12)
    past = {"startOn": iso(NOW - 9 * DAYS), "expiresOn": iso(NOW - 8 * DAYS)}
    created = await create(shared_org, MIGRATION, id=badge_id.upper(), **past)
    assert (created["id"], created["status"]) == (badge_id, "EXPIRED")
    answer = await shared_org.client.post("/badgeMeta", json=body(id=badge_id), headers=MIGRATION)
    assert failure(answer, 400) == [(400, "id")]
    assert message(answer) == "This id is already used by another badge."
    assert success(await shared_org.client.get(f"/badgeMeta/{badge_id.upper()}")) == created
    assert (await create(other_org, MIGRATION, id=badge_id))["orgId"] == other_org.caller.org_id


@pytest.mark.parametrize(
    "badge_id", ["", "x", "a" * 23, "a" * 25, "g" * 24, "a" * 24 + "\n", "\0" * 24, 5, True, []]
)
async def test_a_migrated_id_has_24_hex_digits(shared_org: Org, badge_id: object) -> None:
    answer = await shared_org.client.post("/badgeMeta", json=body(id=badge_id), headers=MIGRATION)
    assert failure(answer, 400) == [(400, "id")]


async def test_an_id_without_the_migration_header_is_not_taken(shared_org: Org) -> None:
    badge_id = secrets.token_hex(12)
    assert (await create(shared_org, id=badge_id))["id"] != badge_id
    assert (await create(shared_org, {"X-CAP-BADGES-MIGRATION": "no"}, id=badge_id))["id"] != badge_id
    assert len((await create(shared_org, MIGRATION))["id"]) == 24


async def test_the_id_of_a_group_is_folded(shared_org: Org) -> None:
    group = "653DE334B3CDA7078C7C68EB"
    assert (await create(shared_org, badgeGroupId=group))["badgeGroupId"] == group.lower()


@pytest.mark.parametrize("badge_id", ["0" * 24, "no-id", "0" * 23, "%00", "é", "0" * 24 + "%0A"])
@pytest.mark.parametrize(
    ("method", "suffix"),
    [("GET", ""), ("PUT", "/activate"), ("PUT", "/deactivate"), ("POST", "/claim"), ("POST", "/unclaim")],
)
async def test_a_badge_that_is_not_there_is_404(
    shared_org: Org, badge_id: str, method: str, suffix: str
) -> None:
    claim = {"ownerType": "Loyalty", "referenceId": "1"} if method == "POST" else None
    answer = await shared_org.client.request(method, f"/badgeMeta/{badge_id}{suffix}", json=claim)
    assert [code for code, _ in failure(answer, 404)] == [404]
    assert message(answer) == "Passed badge is not found"


async def test_statistics_are_included_on_request(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    await shared_org.earn_bulk(badge_id, [1, 2, 3])
    plain = success(await shared_org.client.get(f"/badgeMeta/{badge_id}"))
    assert "earnedCount" not in plain
    counted = success(await shared_org.client.get(f"/badgeMeta/{badge_id}?includeStatistics=true"))
    assert counted == {**plain, "issuedCount": 0, "earnedCount": 3}


async def test_a_switched_off_badge_issues_nothing_until_it_is_on_again(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    for switch, is_active in (
        ("deactivate", False),
        ("deactivate", False),
        ("activate", True),
        ("activate", True),
    ):
        answer = await shared_org.client.put(f"/badgeMeta/{badge_id.upper()}/{switch}")
        assert success(answer) == {"id": badge_id, "isActive": is_active}
        shown = success(await shared_org.client.get(f"/badgeMeta/{badge_id}"))
        assert (shown["active"], shown["isActive"], shown["status"]) == (is_active, is_active, "LIVE")
        earned = await shared_org.earn_bulk(badge_id, [secrets.randbits(60) + 1])
        if is_active:
            success(earned)
        else:
            assert failure(earned, 409) == [(815, None)]
    assert await earned_count(shared_org, badge_id) == 2


async def test_badge_has_the_time_and_user_of_its_last_activation(shared_org: Org) -> None:
    created = await create(shared_org)
    success(await shared_org.client.put(f"/badgeMeta/{created['id']}/deactivate"))
    shown = success(await shared_org.client.get(f"/badgeMeta/{created['id']}"))
    assert shown["createdOn"] == created["createdOn"]
    assert shown["lastUpdatedOn"] > created["lastUpdatedOn"]
    assert shown["lastUpdatedBy"] == shared_org.credential.username


async def test_claiming_twice_is_the_same_as_once(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(
        claim=False, ownership={"restrictedToOwners": ["Loyalty", "Journeys"]}
    )
    for owner, reference in (("Loyalty", "b"), ("Loyalty", "a"), ("Loyalty", "a"), ("Journeys", "ü")):
        claim = {"ownerType": owner, "referenceId": reference}
        answer = await shared_org.client.post(f"/badgeMeta/{badge_id}/claim", json=claim)
        assert success(answer) == {"badgeMetaId": badge_id, **claim, "isActive": True}
    claims = success(await shared_org.client.get(f"/badgeMeta/{badge_id}"))["ownership"]["claims"]
    assert [tuple(claim.values()) for claim in claims] == [
        ("Journeys", "ü", True),
        ("Loyalty", "a", True),
        ("Loyalty", "b", True),
    ]


async def test_owner_without_claim_cannot_issue_until_it_claims_again(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    claim = {"ownerType": "Loyalty", "referenceId": "123457"}
    answer = await shared_org.client.post(f"/badgeMeta/{badge_id}/unclaim", json=claim)
    assert success(answer) == {"badgeMetaId": badge_id, **claim, "isActive": False}
    assert failure(await shared_org.earn_bulk(badge_id, [1]), 409) == [(810, None)]
    shown = success(await shared_org.client.get(f"/badgeMeta/{badge_id}"))
    assert [held["isActive"] for held in shown["ownership"]["claims"]] == [False]
    answer = await shared_org.client.post(f"/badgeMeta/{badge_id}/unclaim", json=claim)
    assert failure(answer, 400) == [(737, None)]
    assert message(answer) == "Claim not found in existing claims."
    success(await shared_org.client.post(f"/badgeMeta/{badge_id}/claim", json=claim))
    success(await shared_org.earn_bulk(badge_id, [1]))


@pytest.mark.parametrize(
    ("path", "sent", "expected"),
    [
        ("claim", {"ownerType": "Journeys", "referenceId": "1"}, [(714, "ownerType")]),
        ("claim", {}, [(716, "ownerType"), (717, "referenceId")]),
        ("claim", {"ownerType": "loyalty", "referenceId": ""}, [(400, "ownerType"), (717, "referenceId")]),
        ("claim", {"ownerType": "Loyalty", "referenceId": "a\0"}, [(400, "referenceId")]),
        ("unclaim", {"ownerType": "Loyalty", "referenceId": "never"}, [(737, None)]),
        ("unclaim", {"ownerType": "Journeys", "referenceId": "123457"}, [(737, None)]),
        ("unclaim", {"referenceId": "1"}, [(716, "ownerType")]),
    ],
)
async def test_a_claim_that_cannot_be_is_refused(
    shared_org: Org, path: str, sent: dict[str, str], expected: list[tuple[int, str | None]]
) -> None:
    badge_id = await shared_org.make_badge()
    answer = await shared_org.client.post(f"/badgeMeta/{badge_id}/{path}", json=sent)
    assert failure(answer, 400) == expected


async def test_lists_show_the_newest_first_page_by_page(org: Org) -> None:
    made = [(await create(org, name=f"Badge {number}"))["id"] for number in range(5)]
    seen: list[str] = []
    for page, count in ((0, 2), (1, 2), (2, 1), (3, 0), (1_000_000_000, 0)):
        data = success(await org.client.get("/badgeMeta", params={"page": page, "size": 2}))
        assert len(data["metaBasicDetails"]) == count
        assert data["pagination"] == {"page": page, "size": 2, "total": 5, "totalPages": 3}
        seen += [badge["id"] for badge in data["metaBasicDetails"]]
    assert seen == made[::-1]


async def test_a_list_shows_badges_without_their_limits_and_with_their_counts(org: Org) -> None:
    badge_id = await org.make_badge()
    await org.earn_bulk(badge_id, [1, 2])
    data = success(await org.client.get("/badgeMeta"))
    [listed] = data["metaBasicDetails"]
    whole = success(await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"}))
    assert {**listed, "customerConstraints": [], "badgeConstraints": []} == whole
    assert "customerConstraints" not in listed
    assert (listed["issuedCount"], listed["earnedCount"]) == (0, 2)
    assert data["pagination"] == {"page": 0, "size": 10, "total": 1, "totalPages": 1}


async def test_an_empty_list_has_no_pages(org: Org) -> None:
    data = success(await org.client.get("/badgeMeta"))
    assert data == {
        "metaBasicDetails": [],
        "pagination": {"page": 0, "size": 10, "total": 0, "totalPages": 0},
    }


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"past", "live", "ahead"}),
    ({"status": "EXPIRED"}, {"past"}),
    ({"status": "LIVE"}, {"live"}),
    ({"status": "UPCOMING"}, {"ahead"}),
    ({"earnType": "EARN"}, {"past", "live"}),
    ({"earnType": "ISSUE_EARN"}, {"ahead"}),
    ({"badgeType": "ISSUE_EARN"}, {"ahead"}),
    ({"action": "ACTIVATED"}, {"live", "ahead"}),
    ({"action": "DE_ACTIVATED"}, {"past"}),
    ({"owner": "Loyalty"}, {"past", "live"}),
    ({"owner": "Journeys"}, {"live", "ahead"}),
    ({"owner": "Milestones"}, set()),
    ({"claimedBy": "Loyalty"}, {"live"}),
    ({"claimedBy": "Journeys"}, set()),
    ({"unclaimed": "true"}, {"past", "ahead"}),
    ({"unclaimed": "false"}, {"live"}),
    ({"name": "SOCK"}, {"past", "live"}),
    ({"name": "%"}, {"ahead"}),
    ({"name": "ÄRMEL"}, {"ahead"}),
    ({"name": "no such"}, set()),
    ({"startOn": iso(NOW - 5 * DAYS)}, {"live", "ahead"}),
    ({"startOn": (NOW - 5 * DAYS + timedelta(seconds=1)).timestamp()}, {"ahead"}),
    ({"expiresOn": iso(NOW - 8 * DAYS)}, {"past"}),
    ({"expiresOn": int((NOW - 8 * DAYS - timedelta(seconds=1)).timestamp() * 1000)}, set()),
    ({"owner": "Loyalty", "status": "LIVE", "action": "ACTIVATED", "name": "sock"}, {"live"}),
    ({"owner": "Loyalty", "status": "UPCOMING"}, set()),
]


async def test_list_shows_badges_that_match_all_filters(org: Org, other_org: Org) -> None:
    await org.make_badge(
        name="past sock",
        startOn=iso(NOW - 9 * DAYS),
        expiresOn=iso(NOW - 8 * DAYS),
        active=False,
        claim=False,
    )
    await org.make_badge(
        name="live Socks",
        startOn=iso(NOW - 5 * DAYS),
        ownership={"restrictedToOwners": ["Loyalty", "Journeys"]},
    )
    await org.make_badge(
        name="ahead 100% Ärmel",
        startOn=iso(NOW + DAYS),
        earnType="ISSUE_EARN",
        issuedBadgeExpiry={"expiryType": "NEVER"},
        ownership={"restrictedToOwners": ["Journeys"]},
        claim=False,
    )
    await other_org.make_badge(name="live sock of others")
    for wanted, expected in FILTERS:
        data = success(await org.client.get("/badgeMeta", params=wanted))
        shown = {badge["name"].split()[0] for badge in data["metaBasicDetails"]}
        assert (wanted, shown) == (wanted, expected)
        assert data["pagination"]["total"] == len(expected)


async def test_an_ended_claim_is_no_claim_to_a_filter(org: Org) -> None:
    badge_id = await org.make_badge()
    claim = {"ownerType": "Loyalty", "referenceId": "123457"}
    success(await org.client.post(f"/badgeMeta/{badge_id}/unclaim", json=claim))
    for wanted, total in (
        ({"unclaimed": "true"}, 1),
        ({"unclaimed": "false"}, 0),
        ({"claimedBy": "Loyalty"}, 0),
    ):
        assert success(await org.client.get("/badgeMeta", params=wanted))["pagination"]["total"] == total


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("page", "-1", ">= 0"),
        ("page", "x", "int"),
        ("page", str(10**30), "<="),
        ("size", "0", ">= 1"),
        ("size", "1001", "<= 1000"),
        ("size", "", "int"),
        ("status", "live", "UPCOMING, LIVE, EXPIRED"),
        ("earnType", "x", "EARN, ISSUE_EARN"),
        ("badgeType", "x", "EARN, ISSUE_EARN"),
        ("action", "ON", "ACTIVATED, DE_ACTIVATED"),
        ("owner", "loyalty", "Loyalty, Loyalty_Promotion, Referral_Campaigns"),
        ("claimedBy", "loyalty", "Loyalty, Loyalty_Promotion, Referral_Campaigns"),
        ("unclaimed", "maybe", "true or false"),
        ("name", "a\0b", ""),
        ("startOn", "2026-01-01", "no offset"),
        ("expiresOn", "soon", "Not a valid time"),
    ],
)
async def test_invalid_parameter_is_reported_by_name(
    shared_org: Org, name: str, value: str, words: str
) -> None:
    answer = await shared_org.client.get("/badgeMeta", params={name: value})
    assert failure(answer, 400) == [(400, name)]
    assert words in message(answer)


async def test_the_largest_page_is_taken(shared_org: Org) -> None:
    success(await shared_org.client.get("/badgeMeta", params={"size": 1000}))
