"""earnBulk through the whole app: its rules in order, its answers, its faults."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.answers import earned_count, failure, message, success
from tests.support import REFERENCE, TRIGGER, Org, earn_bulk_body

DAYS = timedelta(days=1)
NOW = datetime.now(UTC)
ONE_DAY = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1}
PAST: dict[str, Any] = {"startOn": (NOW - 100 * DAYS).isoformat(), "expiresOn": (NOW - 50 * DAYS).isoformat()}
INSIDE = (NOW - 60 * DAYS).isoformat()
FAR = (NOW + 2 * DAYS).isoformat()
ENDED = {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": (NOW - 90 * DAYS).isoformat()}
OTHER_OWNER = {"ownerType": "Journeys", "referenceId": REFERENCE}
OTHER_REFERENCE = {"ownerType": "Loyalty", "referenceId": "other"}


def fresh() -> str:
    return secrets.token_hex(8)


def entries(data: dict[str, Any]) -> list[tuple[int, str | None, int | None]]:
    """Customer, status and error code of each entry."""
    return [
        (entry["customerId"], entry["status"], entry["error"]["code"] if "error" in entry else None)
        for entry in data["issuedBadges"]
    ]


async def test_each_customer_gets_the_badge_once_in_the_order_sent(org: Org) -> None:
    badge_id = await org.make_badge()
    data = success(await org.earn_bulk(badge_id, [30, 10, 20], requestId="1234"))
    assert entries(data) == [(30, "LIVE", None), (10, "LIVE", None), (20, "LIVE", None)]
    assert len({entry["issuedId"] for entry in data["issuedBadges"]}) == 3
    assert await earned_count(org, badge_id) == 3


async def test_an_answer_has_the_shape_of_the_contract(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(earnedBadgeExpiry=ONE_DAY)
    request_id = fresh()
    await shared_org.earn_bulk(badge_id, [2])
    answer = await shared_org.earn_bulk(
        badge_id.upper(), [1, 2], requestId=request_id, earnEventDate="2023-11-03T21:51:00.192Z"
    )
    assert failure(answer, 409) == [(816, "earnEventDate")]
    event = (datetime.now(UTC) - timedelta(minutes=1)).replace(microsecond=192_000)
    data = success(
        await shared_org.earn_bulk(
            badge_id.upper(), [1, 2], requestId=request_id, earnEventDate=event.isoformat()
        )
    )
    issued, refused = data.pop("issuedBadges")
    assert data == {
        "badgeMetaId": badge_id,
        "triggeredBy": TRIGGER,
        "expiresOn": (event + DAYS).timestamp(),
        "expiresOnISO": (event + DAYS).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "totalCount": 2,
        "earnedCount": 1,
        "failedCount": 1,
        "requestId": request_id,
    }
    assert issued == {"customerId": 1, "issuedId": issued["issuedId"], "status": "LIVE"}
    assert len(issued["issuedId"]) == 24
    assert refused == {
        "customerId": 2,
        "issuedId": refused["issuedId"],
        "status": "LIVE",
        "error": {
            "code": 1040,
            "message": "An active issue for the badge already exists.",
            "reference": None,
        },
    }
    assert refused["issuedId"] != issued["issuedId"]


# The rules in order: each row breaks its own rule and all later ones, so that a wrong order gives another
# code. Rule 1 comes first; a rejected request does not use up its request id.
INACTIVE, UNCLAIMED = {"active": False}, {"claim": False}
PRECEDENCE: list[tuple[dict[str, Any], dict[str, Any], tuple[int, int, str | None, str]]] = [
    (
        {**INACTIVE, **UNCLAIMED, **PAST, "earnedBadgeExpiry": ENDED},
        {"badgeMetaId": "0" * 24, "triggeredBy": OTHER_OWNER, "earnEventDate": FAR},
        (404, 404, "badgeMetaId", "Passed badge is not found"),
    ),
    (
        {**INACTIVE, **UNCLAIMED, **PAST, "earnedBadgeExpiry": ENDED},
        {"badgeMetaId": "no-id", "triggeredBy": OTHER_OWNER, "earnEventDate": FAR},
        (404, 404, "badgeMetaId", "Passed badge is not found"),
    ),
    (
        {**INACTIVE, **UNCLAIMED, **PAST, "earnedBadgeExpiry": ENDED},
        {"triggeredBy": OTHER_OWNER, "earnEventDate": FAR},
        (409, 815, None, "Badge is not live."),
    ),
    (
        {**UNCLAIMED, **PAST, "earnedBadgeExpiry": ENDED},
        {"triggeredBy": OTHER_OWNER, "earnEventDate": FAR},
        (400, 714, "triggeredBy.ownerType", "Owner type is not allowed."),
    ),
    (
        {**UNCLAIMED, **PAST, "earnedBadgeExpiry": ENDED},
        {"earnEventDate": FAR},
        (409, 810, None, "The badge needs to be claimed first using the claim badge API."),
    ),
    (
        {**PAST, "earnedBadgeExpiry": ENDED},
        {"triggeredBy": OTHER_REFERENCE, "earnEventDate": FAR},
        (409, 810, None, "The badge needs to be claimed first using the claim badge API."),
    ),
    (
        {**PAST, "earnedBadgeExpiry": ENDED},
        {"earnEventDate": FAR},
        (400, 750, "earnEventDate", "Earn event date should not be in future."),
    ),
    ({**PAST, "earnedBadgeExpiry": ENDED}, {}, (409, 815, None, "Badge is not live.")),
    (
        {**PAST, "earnedBadgeExpiry": ENDED},
        {"earnEventDate": NOW.isoformat()},
        (409, 816, "earnEventDate", "Event date is not in duration of badge meta."),
    ),
]


@pytest.mark.parametrize(("badge", "changes", "expected"), PRECEDENCE)
async def test_first_failing_rule_is_reported_and_the_request_id_stays_free(
    shared_org: Org,
    badge: dict[str, Any],
    changes: dict[str, Any],
    expected: tuple[int, int, str | None, str],
) -> None:
    status, code, reference, words = expected
    badge_id, request_id = await shared_org.make_badge(**badge), fresh()
    for _ in range(2):
        answer = await shared_org.earn_bulk(badge_id, [1], **{"requestId": request_id, **changes})
        assert failure(answer, status) == [(code, reference)]
        assert message(answer) == words
        assert answer.headers["X-CAP-REQUEST-ID"] == request_id
    assert failure(await shared_org.client.get("/requests", params={"requestId": request_id}), 404)
    sound = await shared_org.make_badge()
    assert success(await shared_org.earn_bulk(sound, [1], requestId=request_id))["earnedCount"] == 1


async def test_an_expiry_that_is_not_after_the_event_is_816(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(**PAST, earnedBadgeExpiry=ENDED)
    answer = await shared_org.earn_bulk(badge_id, [1], earnEventDate=INSIDE)
    assert failure(answer, 409) == [(816, "earnEventDate")]


async def test_used_request_id_is_reported_before_badge_errors(shared_org: Org) -> None:
    request_id = fresh()
    success(await shared_org.earn_bulk(await shared_org.make_badge(), [1], requestId=request_id))
    inactive = await shared_org.make_badge(active=False)
    for badge_id in ("0" * 24, "no-id", inactive):
        answer = await shared_org.earn_bulk(
            badge_id, [1], requestId=request_id, triggeredBy=OTHER_OWNER, earnEventDate=FAR
        )
        assert failure(answer, 400) == [(809, "requestId")]
        assert message(answer) == "Request with the same requestId is not allowed."


async def test_malformed_body_is_reported_before_a_used_request_id(shared_org: Org) -> None:
    request_id = fresh()
    badge_id = await shared_org.make_badge()
    success(await shared_org.earn_bulk(badge_id, [1], requestId=request_id))
    answer = await shared_org.earn_bulk("", ["x"], requestId=request_id, triggeredBy={"ownerType": "Loyalty"})
    assert failure(answer, 400) == [
        (715, "badgeMetaId"),
        (717, "triggeredBy.referenceId"),
        (400, "customerIds[0]"),
    ]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-timedelta(microseconds=1), 816),
        (timedelta(0), None),
        (49 * DAYS + 0.999999 * DAYS, None),
        (50 * DAYS - timedelta(microseconds=1), None),
        (50 * DAYS, 816),
    ],
)
async def test_an_expired_badge_takes_events_from_inside_its_window(
    shared_org: Org, offset: timedelta, expected: int | None
) -> None:
    badge_id = await shared_org.make_badge(**PAST, earnedBadgeExpiry=ONE_DAY)
    event = (NOW - 100 * DAYS + offset).isoformat()
    answer = await shared_org.earn_bulk(badge_id, [1], earnEventDate=event)
    if expected is None:
        assert entries(success(answer)) == [(1, "EXPIRED", None)]
    else:
        assert failure(answer, 409) == [(expected, "earnEventDate")]


async def test_an_event_ahead_is_upcoming_up_to_24_hours(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    soon = (datetime.now(UTC) + timedelta(hours=23, minutes=50)).isoformat()
    assert entries(success(await shared_org.earn_bulk(badge_id, [1], earnEventDate=soon))) == [
        (1, "UPCOMING", None)
    ]
    late = (datetime.now(UTC) + timedelta(hours=24, minutes=10)).isoformat()
    assert failure(await shared_org.earn_bulk(badge_id, [2], earnEventDate=late), 400) == [
        (750, "earnEventDate")
    ]


@pytest.mark.parametrize("spelling", ["earnEventDate", "earnEvenrDate", "issueEventDate"])
@pytest.mark.parametrize("twin", ["", "ISO"])
async def test_every_spelling_of_the_event_date_is_taken(shared_org: Org, spelling: str, twin: str) -> None:
    badge_id = await shared_org.make_badge(earnedBadgeExpiry=ONE_DAY)
    event = (datetime.now(UTC) - timedelta(hours=3)).replace(microsecond=1)
    data = success(await shared_org.earn_bulk(badge_id, [1], **{spelling + twin: event.isoformat()}))
    assert data["expiresOn"] == (event + DAYS).timestamp()


async def test_two_event_dates_that_differ_are_refused_and_two_that_agree_are_taken(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    event = datetime.now(UTC).replace(microsecond=0)
    other = (event + timedelta(seconds=1)).isoformat()
    answer = await shared_org.earn_bulk(badge_id, [1], earnEventDate=event.isoformat(), issueEventDate=other)
    assert failure(answer, 400) == [(400, "issueEventDate")]
    assert message(answer) == "earnEventDate and issueEventDate differ; send one of them."
    success(
        await shared_org.earn_bulk(
            badge_id, [1], earnEventDate=event.isoformat(), issueEventDate=event.timestamp()
        )
    )


async def test_repeated_ids_count_once_and_one_warning_names_them(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    answer = await shared_org.earn_bulk(badge_id, [5, "5", 7, 9, 7, "007", 8])
    data = success(answer)
    assert [entry["customerId"] for entry in data["issuedBadges"]] == [5, 7, 9, 8]
    assert data["totalCount"] == 4
    [warning] = answer.json()["warnings"]
    assert warning["reference"] == "customerIds"
    assert warning["message"].endswith(": 5, 7.")
    assert await earned_count(shared_org, badge_id) == 4


async def test_no_repeats_mean_no_warning(shared_org: Org) -> None:
    answer = await shared_org.earn_bulk(await shared_org.make_badge(), [1, "2"])
    assert answer.json()["warnings"] == []


async def test_many_repeats_are_not_all_named(shared_org: Org) -> None:
    customers = list(range(1, 31))
    answer = await shared_org.earn_bulk(await shared_org.make_badge(), customers + customers)
    [warning] = answer.json()["warnings"]
    assert "1, 2, 3" in warning["message"]
    assert len(warning["message"]) < 300


async def test_the_largest_customer_id_is_taken(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    data = success(await shared_org.earn_bulk(badge_id, [2**63 - 1, 1, str(2**63 - 2)]))
    assert [entry["customerId"] for entry in data["issuedBadges"]] == [2**63 - 1, 1, 2**63 - 2]
    assert failure(await shared_org.earn_bulk(badge_id, [2**63]), 400) == [(400, "customerIds[0]")]


async def test_one_customer_more_than_the_limit_is_refused_by_its_number(shared_org: Org) -> None:
    answer = await shared_org.earn_bulk(await shared_org.make_badge(), list(range(1, 100_002)))
    assert failure(answer, 400) == [(400, "customerIds")]
    assert "100000" in message(answer)
    assert "COCKADE_MAX_CUSTOMERS_PER_REQUEST" in message(answer)


async def test_holders_are_rejected_with_the_badge_they_hold(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    first = success(await shared_org.earn_bulk(badge_id, [2, 1]))
    second = success(await shared_org.earn_bulk(badge_id, [1, 3, 2]))
    assert entries(second) == [(1, "LIVE", 1040), (3, "LIVE", None), (2, "LIVE", 1040)]
    held = {entry["customerId"]: entry["issuedId"] for entry in first["issuedBadges"]}
    assert [entry["issuedId"] for entry in second["issuedBadges"]][::2] == [held[1], held[2]]
    assert (second["totalCount"], second["earnedCount"], second["failedCount"]) == (3, 1, 2)
    assert await earned_count(shared_org, badge_id) == 3


@pytest.mark.parametrize(
    ("held_at", "status"), [(-4 * DAYS, "EXPIRED"), (-DAYS, "LIVE"), (timedelta(hours=12), "UPCOMING")]
)
async def test_conflicting_badge_is_reported_with_its_status(
    shared_org: Org, held_at: timedelta, status: str
) -> None:
    expiry = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 3}
    badge_id = await shared_org.make_badge(startOn=(NOW - 9 * DAYS).isoformat(), earnedBadgeExpiry=expiry)
    now = datetime.now(UTC)
    held = success(await shared_org.earn_bulk(badge_id, [1], earnEventDate=(now + held_at).isoformat()))
    overlapping = (now + held_at - DAYS).isoformat()
    data = success(await shared_org.earn_bulk(badge_id, [1], earnEventDate=overlapping))
    assert entries(data) == [(1, status, 1040)]
    assert data["issuedBadges"][0]["issuedId"] == held["issuedBadges"][0]["issuedId"]
    assert data["expiresOn"] == (now + held_at + 2 * DAYS).timestamp()


@pytest.mark.parametrize("days", [(20, 21), (21, 20)])
async def test_of_several_held_badges_the_last_to_expire_is_reported(
    shared_org: Org, days: tuple[int, int]
) -> None:
    start = NOW - 40 * DAYS
    badge_id = await shared_org.make_badge(startOn=start.isoformat(), earnedBadgeExpiry=ONE_DAY)

    async def earn_after(count: float) -> dict[str, Any]:
        event = (start + count * DAYS).isoformat()
        return success(await shared_org.earn_bulk(badge_id, [1], earnEventDate=event))["issuedBadges"][0]

    held = {count: await earn_after(count) for count in days}
    refused = await earn_after(20.5)
    assert (refused["issuedId"], refused["error"]["code"]) == (held[21]["issuedId"], 1040)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-DAYS, None),
        (-DAYS + timedelta(microseconds=1), 1040),
        (timedelta(0), 1040),
        (DAYS - timedelta(microseconds=1), 1040),
        (DAYS, None),
    ],
)
async def test_validities_are_half_open(shared_org: Org, offset: timedelta, expected: int | None) -> None:
    badge_id = await shared_org.make_badge(**PAST, earnedBadgeExpiry=ONE_DAY)
    event = NOW - 70 * DAYS
    success(await shared_org.earn_bulk(badge_id, [1], earnEventDate=event.isoformat()))
    data = success(await shared_org.earn_bulk(badge_id, [1], earnEventDate=(event + offset).isoformat()))
    assert entries(data) == [(1, "EXPIRED", expected)]


@pytest.mark.parametrize(
    ("badge", "expected"),
    [
        ({}, 1040),
        ({"overlapPolicy": "REJECT"}, 1040),
        ({"overlapPolicy": "ALLOW"}, None),
        ({"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}]}, None),
        ({"badgeConstraints": [{"constraintType": "BADGE_NO_LIMIT"}]}, 1040),
        (
            {
                "overlapPolicy": "REJECT",
                "customerConstraints": [{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}],
            },
            1040,
        ),
    ],
)
async def test_the_badge_says_whether_a_customer_may_hold_several(
    shared_org: Org, badge: dict[str, Any], expected: int | None
) -> None:
    badge_id = await shared_org.make_badge(**badge)
    issued = [success(await shared_org.earn_bulk(badge_id, [1]))["issuedBadges"][0] for _ in range(3)]
    codes = [entry.get("error", {}).get("code") for entry in issued]
    assert codes == [None, expected, expected]
    assert len({entry["issuedId"] for entry in issued}) == (3 if expected is None else 1)


async def test_customers_of_issue_earn_badges_have_to_be_enrolled(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(
        **PAST, earnType="ISSUE_EARN", issuedBadgeExpiry={"expiryType": "NEVER"}, earnedBadgeExpiry=ONE_DAY
    )
    event = datetime.now(UTC).replace(microsecond=0)
    request_id = fresh()
    data = success(
        await shared_org.earn_bulk(badge_id, [2, 1], requestId=request_id, earnEventDate=event.isoformat())
    )
    assert data["issuedBadges"] == [
        {
            "customerId": customer,
            "issuedId": None,
            "status": None,
            "error": {"code": 811, "message": "Badge issue is mandatory before earn.", "reference": None},
        }
        for customer in (2, 1)
    ]
    assert (data["earnedCount"], data["failedCount"]) == (0, 2)
    assert data["expiresOn"] == (event + DAYS).timestamp()
    # A request in which every customer failed is decided all the same.
    assert failure(await shared_org.earn_bulk(badge_id, [2], requestId=request_id), 400) == [
        (809, "requestId")
    ]
    assert await earned_count(shared_org, badge_id) == 0


async def test_the_other_shape_tells_the_earned_and_the_failed_apart(shared_org: Org) -> None:
    badge_id, request_id = await shared_org.make_badge(), fresh()
    await shared_org.earn_bulk(badge_id, [7])
    answer = await shared_org.client.post(
        "/customer/earnBulk",
        params={"answer": "earned"},
        json=earn_bulk_body(badge_id, [9, 7, 8], requestId=request_id),
    )
    data = success(answer)
    assert "issuedBadges" not in data
    assert [entry["customerId"] for entry in data["earnedBadgesList"]] == [9, 8]
    assert data["failedEarnBadgeErrorList"] == [
        {"customerId": 7, "errorCode": 1040, "errorMessage": "An active issue for the badge already exists."}
    ]
    assert (data["totalCount"], data["earnedCount"], data["failedCount"]) == (3, 2, 1)
    found = await shared_org.client.get("/requests", params={"requestId": request_id})
    ids = {entry["customerId"]: entry["issuedId"] for entry in success(found)["issuedBadges"]}
    assert {entry["customerId"]: entry["earnedBadgeId"] for entry in data["earnedBadgesList"]} == {
        customer: ids[customer] for customer in (9, 8)
    }


async def test_unknown_response_shape_is_rejected_with_the_known_ones(shared_org: Org) -> None:
    body = earn_bulk_body(await shared_org.make_badge(), [1])
    answer = await shared_org.client.post("/customer/earnBulk", params={"answer": "all"}, json=body)
    assert failure(answer, 400) == [(400, "answer")]
    assert "issued" in message(answer)
    assert "earned" in message(answer)


async def test_a_validity_is_fixed_when_issued(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge(earnedBadgeExpiry={"expiryType": "NEVER"})
    data = success(await shared_org.earn_bulk(badge_id, [1]))
    assert datetime.fromtimestamp(data["expiresOn"], UTC).year - datetime.now(UTC).year == 100
