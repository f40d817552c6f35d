"""The feed: every kind of event, once, in order, in pieces of any size, alike however often it is read."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cockade import clock
from cockade.app import Services
from cockade.event.model import EventKind
from cockade.event.service import EventService
from tests.http.answers import failure, success
from tests.http.test_jobs import finish, service, start
from tests.support import TRIGGER, Org

EXPIRED = {"startOn": "2023-01-01T00:00:00Z"}


async def feed(org: Org, after: str | None = None, limit: int = 1000) -> tuple[list[dict[str, Any]], str]:
    """All that is behind `after`, read in pieces, and where it ends."""
    await org.services.events.assign_positions()
    events: list[dict[str, Any]] = []
    while True:
        params: dict[str, Any] = {"limit": limit} | ({"after": after} if after else {})
        page = success(await org.client.get("/events", params=params))
        assert len(page["events"]) <= limit
        events += page["events"]
        after = page["next"]
        if not page["hasMore"]:
            return events, page["next"]


def told(events: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    """Kind and customer of each."""
    return [(event["type"], event["data"].get("customerId")) for event in events]


async def enrol(org: Org, badge_id: str, customers: list[int]) -> list[dict[str, Any]]:
    body = {"badgeMetaId": badge_id, "customers": customers, "triggeredBy": TRIGGER}
    return success(await org.client.post("/badgeMeta/customer/issueBulk", json=body))["issuedBadges"]


async def test_earn_bulk_has_events_per_customer_and_one_for_the_request(org: Org) -> None:
    badge_id = await org.make_badge()
    await org.earn_bulk(badge_id, [2])
    answer = success(await org.earn_bulk(badge_id, [3, 2, 1], requestId="campaign"))
    events, _ = await feed(org)
    assert told(events) == [
        ("badgeEarned", 2),
        ("badgeBatchCompleted", None),
        ("badgeEarned", 3),
        ("badgeEarned", 1),
        ("badgeBatchCompleted", None),
    ]
    three = events[2]
    assert three["id"] == three["data"]["earnedBadgeId"] == answer["issuedBadges"][0]["issuedId"]
    assert three["data"] | {"earnEventDate": 0, "earnEventDateISO": ""} == {
        "customerId": 3,
        "badgeMetaId": badge_id,
        "earnedBadgeId": three["id"],
        "earnEventDate": 0,
        "earnEventDateISO": "",
        "expiresOn": answer["expiresOn"],
        "expiresOnISO": answer["expiresOnISO"],
        "ownerType": "Loyalty",
        "referenceId": TRIGGER["referenceId"],
        "requestId": "campaign",
    }
    assert events[4]["data"] == {
        "requestId": "campaign",
        "requestKind": "EARN_BULK",
        "badgeMetaId": badge_id,
        "ownerType": "Loyalty",
        "referenceId": TRIGGER["referenceId"],
        "state": "COMPLETED",
        "totalCount": 3,
        "earnedCount": 2,
        "failedCount": 1,
        "failures": [{"errorCode": 1040, "count": 1}],
    }


async def test_enrolments_single_earns_and_revocations_have_events(org: Org) -> None:
    badge_id = await org.make_badge(earnType="ISSUE_EARN", issuedBadgeExpiry={"expiryType": "NEVER"})
    [enrolment, _] = await enrol(org, badge_id, [7, 8])
    earn = {"badgeMetaId": badge_id, "customerId": 7, "triggeredBy": TRIGGER}
    earned_id = success(await org.client.post("/customer/earn", json=earn))["earnedBadgeId"]
    place = {"badgeMetaId": badge_id, "customerId": 7, "earnedBadgeId": earned_id}
    success(await org.client.post("/customer/revokeEarn", json=place))
    revoke = {
        "badgeMetaId": badge_id,
        "customers": [8, 9],
        "revokeIssuals": [{"customerId": 7, "issueId": enrolment["issuedId"]}],
    }
    success(await org.client.post("/badgeMeta/customer/revokeIssue", json=revoke))
    events, _ = await feed(org)
    assert told(events) == [
        ("badgeEnrolled", 7),
        ("badgeEnrolled", 8),
        ("badgeBatchCompleted", None),
        ("badgeEarned", 7),
        ("badgeRevoked", 7),
        ("badgeRevoked", 7),
        ("badgeRevoked", 8),
    ]
    assert events[0]["data"]["issuedId"] == enrolment["issuedId"]
    revoked = [(event["data"]["earnedBadgeId"], event["data"]["issuedId"]) for event in events[4:6]]
    assert revoked == [(earned_id, None), (None, enrolment["issuedId"])]
    assert len({event["id"] for event in events}) == len(events)


async def test_import_events_have_the_dates_of_their_rows(org: Org) -> None:
    badges = [await org.make_badge(claim=False), await org.make_badge(claim=False)]
    rows = [
        {
            "badgeMetaId": badge_id,
            "customerId": customer,
            "earnEventDate": f"2024-0{customer}-01T00:00:00Z",
            "earnExpiresOn": "2030-01-01T00:00:00Z",
        }
        for badge_id, customer in [(badges[0], 1), ("0" * 24, 2), (badges[1], 3)]
    ]
    assert (await org.client.post("/import/customerBadges", json=rows)).status_code == 200
    events, _ = await feed(org)
    assert told(events) == [("badgeEarned", 1), ("badgeEarned", 3), ("badgeBatchCompleted", None)]
    assert [event["data"]["badgeMetaId"] for event in events] == [*badges, None]
    dates = [event["data"]["earnEventDateISO"] for event in events[:2]]
    assert dates == ["2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z"]
    assert events[2]["data"]["failures"] == [{"errorCode": 1054, "count": 1}]


async def test_cancelled_job_has_an_event_at_its_end(org: Org) -> None:
    badge_id, jobs = await org.make_badge(), service(org)
    dry = await start(org, badge_id, [1], request_id="dry", is_dry_run=True)
    job = await start(org, badge_id, [1, 2, "x", 3, 4, 5])
    assert await jobs._advance(job.job_key)  # sorts
    assert await jobs._advance(job.job_key)
    for key in (dry.job_key, job.job_key, job.job_key):
        await jobs.cancel(org.caller, key)
    events, _ = await feed(org)
    assert told(events) == [("badgeEarned", 1), ("badgeEarned", 2), ("badgeBatchCompleted", None)]
    data = events[2]["data"]
    assert (data["requestKind"], data["state"], data["failures"]) == (
        "JOB",
        "CANCELLED",
        [{"errorCode": 400, "count": 1}],
    )
    assert (data["totalCount"], data["earnedCount"], data["failedCount"]) == (6, 2, 1)


async def test_job_has_events_per_chunk_and_at_completion(org: Org) -> None:
    """Chunks have three lines here: one customer already holds the badge, one occurs twice, one is invalid."""
    badge_id = await org.make_badge()
    success(await org.earn_bulk(badge_id, [2]))
    _, after = await feed(org)
    job = await finish(org, await start(org, badge_id, [1, 2, 3, "x", 1, 2, 4, 5]))
    ledger = {earned["customerId"]: earned["earnedBadgeId"] for earned in await holders_of(org, badge_id)}
    events, _ = await feed(org, after)
    assert told(events) == [
        *[("badgeEarned", customer) for customer in (1, 3, 4, 5)],
        ("badgeBatchCompleted", None),
    ]
    assert [event["id"] for event in events[:4]] == [ledger[customer] for customer in (1, 3, 4, 5)]
    assert {event["data"]["requestId"] for event in events} == {job.request_id}
    batch = events[4]["data"]
    assert (batch["requestKind"], batch["totalCount"], batch["earnedCount"], batch["failedCount"]) == (
        "JOB",
        8,
        4,
        4,
    )
    assert batch["failures"] == [
        {"errorCode": 400, "count": 1},
        {"errorCode": 409, "count": 2},
        {"errorCode": 1040, "count": 1},
    ]
    assert await feed(org, after, limit=1) == (events, (await feed(org, after))[1])


async def holders_of(org: Org, badge_id: str) -> list[dict[str, Any]]:
    return success(await org.client.get(f"/badgeMeta/{badge_id}/customers", params={"size": 100}))[
        "customers"
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_it_is_the_same_in_pieces_of_any_size(org: Org, limit: int) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    for customers in ([1, 2, 3, 4, 5], [1], [6, 7], []):
        if customers:
            success(await org.earn_bulk(badge_id, customers))
    whole, end = await feed(org)
    assert len(whole) == 11
    assert await feed(org, limit=limit) == (whole, end)
    success(await org.earn_bulk(badge_id, [9]))
    assert told((await feed(org, end, limit))[0]) == [("badgeEarned", 9), ("badgeBatchCompleted", None)]


async def test_the_end_is_where_the_future_begins(org: Org) -> None:
    badge_id = await org.make_badge()
    success(await org.earn_bulk(badge_id, [1]))
    await org.services.events.assign_positions()
    page = success(await org.client.get("/events", params={"after": "latest"}))
    assert (page["events"], page["hasMore"]) == ([], False)
    success(await org.earn_bulk(badge_id, [2]))
    assert told((await feed(org, page["next"]))[0])[0] == ("badgeEarned", 2)


async def test_rejected_and_rolled_back_requests_have_no_events(org: Org) -> None:
    badge_id = await org.make_badge()
    success(await org.earn_bulk(badge_id, [1], requestId="x"))
    failure(await org.earn_bulk(badge_id, [2], requestId="x"), 400)
    earn = {"badgeMetaId": badge_id, "customerId": 1, "triggeredBy": TRIGGER}
    failure(await org.client.post("/customer/earn", json=earn), 409)
    revoke = {"badgeMetaId": badge_id, "customerId": 1, "earnedBadgeId": secrets.token_hex(12)}
    failure(await org.client.post("/customer/revokeEarn", json=revoke), 409)
    assert told((await feed(org))[0]) == [("badgeEarned", 1), ("badgeBatchCompleted", None)]


async def test_events_omit_erased_customers_and_name_merge_targets(
    org: Org,
) -> None:
    badge_id = await org.make_badge()
    answer = success(await org.earn_bulk(badge_id, [1, 2, 3]))
    for entry in answer["issuedBadges"][:2]:
        body = {
            "badgeMetaId": badge_id,
            "customerId": entry["customerId"],
            "earnedBadgeId": entry["issuedId"],
        }
        success(await org.client.post("/customer/revokeEarn", json=body))
    success(await org.client.delete("/customers/1"))
    success(await org.client.post("/customers/merge", json={"from": 2, "into": 20}))
    assert told((await feed(org))[0]) == [
        ("badgeEarned", 20),
        ("badgeEarned", 3),
        ("badgeBatchCompleted", None),
        ("badgeRevoked", 20),
    ]


A_DAY: dict[str, Any] = {
    "startOn": "2023-01-01T00:00:00Z",
    "earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1},
}
AN_HOUR = timedelta(hours=1)


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat()


HALF_AN_HOUR_LEFT = {"hours": 23.5}
CALL_S_MAX = 60
"""The delay after which an expiry is reported."""


async def wait(org: Org, time: timedelta) -> None:
    """Run the worker's step as if this much time had passed."""
    await EventService(org.services.database, lambda: clock.now() + time, 30, CALL_S_MAX).assign_positions()


async def revoke(org: Org, badge_id: str, issued: dict[str, Any]) -> None:
    place = {
        "badgeMetaId": badge_id,
        "customerId": issued["customerId"],
        "earnedBadgeId": issued["issuedId"],
    }
    success(await org.client.post("/customer/revokeEarn", json=place))


async def count_endings(org: Org) -> int:
    return await org.services.database.transaction(
        "test.endings",
        lambda tx: tx.value("select count(*) from pending_expiry where org_id = $1", org.caller.org_id),
    )


async def test_expiry_event_occurs_once_and_not_early(org: Org) -> None:
    badge_id = await org.make_badge(**A_DAY)
    success(await org.earn_bulk(badge_id, [4]))
    when = ago(**HALF_AN_HOUR_LEFT)
    issued = success(await org.earn_bulk(badge_id, [1, 2, 3, 4, 5], earnEventDate=when))["issuedBadges"]
    success(await org.earn_bulk(badge_id, [6]))
    await revoke(org, badge_id, issued[1])
    success(await org.client.delete("/customers/3"))
    success(await org.client.post("/customers/merge", json={"from": 5, "into": 50}))
    earned, after = await feed(org)
    assert "badgeExpired" not in {event["type"] for event in earned}
    for early in (29.5, 30.5):
        await wait(org, timedelta(minutes=early))
        assert await feed(org, after) == ([], after)
    await wait(org, timedelta(minutes=32))
    expired, _ = await feed(org, after)
    assert told(expired) == [("badgeExpired", 1), ("badgeExpired", 50)]
    data = {
        event["data"]["earnedBadgeId"]: event["data"] for event in earned if event["type"] == "badgeEarned"
    }
    for event in expired:
        assert event["data"] == data[event["data"]["earnedBadgeId"]]
        assert event["timestamp"] == event["data"]["expiresOnISO"]
    assert len({event["id"] for event in earned + expired}) == len(earned + expired)
    await wait(org, AN_HOUR)
    assert (await feed(org, after))[0] == expired == (await feed(org, after, limit=1))[0]
    assert await count_endings(org) == 2  # of the other two


async def test_no_expiry_events_for_enrolments_and_badges_without_expiry(org: Org) -> None:
    badge_id = await org.make_badge()
    success(await org.earn_bulk(badge_id, [1]))
    success(await org.earn_bulk(badge_id, [1]))  # refused
    row = {"customerId": 1, "earnEventDate": ago(days=1), "earnExpiresOn": "2126-01-01T00:00:00Z"}
    rows = [row | {"badgeMetaId": each} for each in (badge_id, "0" * 24)]
    assert (await org.client.post("/import/customerBadges", json=rows)).status_code == 200
    enrolling: dict[str, Any] = A_DAY | {
        "earnType": "ISSUE_EARN",
        "issuedBadgeExpiry": A_DAY["earnedBadgeExpiry"],
    }
    await enrol(org, await org.make_badge(**enrolling), [1])
    await org.services.events.assign_positions()
    assert await count_endings(org) == 0
    await wait(org, timedelta(days=2))
    assert "badgeExpired" not in [kind for kind, _ in told((await feed(org))[0])]


async def test_expiry_event_follows_the_earned_event(org: Org) -> None:
    """A revocation after the expiry does not change that it expired."""
    badge_id = await org.make_badge(**A_DAY)
    success(await org.earn_bulk(badge_id, [1, 2], earnEventDate=ago(days=3), requestId="late"))
    earn = {"badgeMetaId": badge_id, "customerId": 3, "triggeredBy": TRIGGER, "earnEventDate": ago(days=2)}
    success(await org.client.post("/customer/earn", json=earn))
    expected = [
        ("badgeEarned", 1),
        ("badgeEarned", 2),
        ("badgeBatchCompleted", None),
        ("badgeEarned", 3),
        ("badgeExpired", 1),
        ("badgeExpired", 2),
        ("badgeExpired", 3),
    ]
    events, after = await feed(org)
    assert told(events) == expected
    success(await org.client.post("/requests/revoke", json={"requestId": "late"}))
    assert told((await feed(org, after))[0]) == [("badgeRevoked", 1), ("badgeRevoked", 2)]
    assert (await feed(org))[0][:7] == events


async def test_the_rows_of_an_import_end_each_in_its_time(org: Org) -> None:
    badges = [await org.make_badge(claim=False), await org.make_badge(claim=False)]
    ends = [
        ("hours", 48),
        ("minutes", -10),
        ("hours", 48),
        ("minutes", -20),
        ("days", -400),
        ("days", -30000),
    ]
    rows = [
        {
            "badgeMetaId": "0" * 24 if customer == 2 else badges[customer % 2],
            "customerId": customer,
            "earnEventDate": "2024-01-01T00:00:00Z",
            "earnExpiresOn": ago(**{unit: count}),
        }
        for customer, (unit, count) in enumerate(ends)
        if customer
    ]
    rows.append(rows[0] | {"customerId": 9, "earnExpiresOn": ago(hours=48)})
    assert (await org.client.post("/import/customerBadges", json=rows)).status_code == 200
    events, after = await feed(org)
    assert told(events)[-2:] == [("badgeBatchCompleted", None), ("badgeExpired", 9)]
    await wait(org, timedelta(minutes=15))
    first, then = await feed(org, after)
    assert told(first) == [("badgeExpired", 1)]
    assert first[0]["data"]["ownerType"] == "Historical_Import"
    assert first[0]["data"]["badgeMetaId"] == badges[1]
    await wait(org, timedelta(minutes=25))
    assert told((await feed(org, then))[0]) == [("badgeExpired", 3)]
    assert await count_endings(org) == 1
    assert told((await feed(org, after, limit=1))[0]) == [("badgeExpired", 1), ("badgeExpired", 3)]


async def test_badges_of_a_job_expire_by_chunk(org: Org) -> None:
    badge_id = await org.make_badge(**A_DAY)
    when = datetime.now(UTC) - timedelta(**HALF_AN_HOUR_LEFT)
    await finish(org, await start(org, badge_id, [1, 2, 3, "x", 1, 4, 5], event_at=when))
    ledger = {earned["customerId"]: earned["earnedBadgeId"] for earned in await holders_of(org, badge_id)}
    _, after = await feed(org)
    assert await count_endings(org) == 3
    await wait(org, AN_HOUR)
    events, _ = await feed(org, after)
    assert sorted(told(events)) == [("badgeExpired", customer) for customer in (1, 2, 3, 4, 5)]
    for event in events:
        assert event["data"]["earnedBadgeId"] == ledger[event["data"]["customerId"]] != event["id"]
    assert len({event["id"] for event in events}) == 5


@pytest.mark.parametrize(
    ("params", "reference"),
    [
        ({"after": "x"}, "after"),
        ({"after": "0" * 23}, "after"),
        ({"after": "f" * 24}, "after"),
        ({"after": "0000000000000001FFFFFFFF"}, "after"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
    ],
)
async def test_a_place_that_is_none_is_refused(
    shared_org: Org, params: dict[str, Any], reference: str
) -> None:
    assert failure(await shared_org.client.get("/events", params=params), 400) == [(400, reference)]


async def test_old_events_are_deleted_after_the_retention_time(org: Org, services: Services) -> None:
    badge_id = await org.make_badge()
    success(await org.earn_bulk(badge_id, [1]))
    await services.events.assign_positions()
    old = org.services.database
    await old.transaction(
        "test.age",
        lambda tx: tx.execute(
            "update outbox set at = at - interval '31 days' where org_id = $1", org.caller.org_id
        ),
    )
    success(await org.earn_bulk(badge_id, [2]))
    await services.events.assign_positions()
    assert await services.events.delete_expired() >= 1
    assert told((await feed(org))[0]) == [("badgeEarned", 2), ("badgeBatchCompleted", None)]


async def test_a_stranger_sees_none_of_it(org: Org, other_org: Org) -> None:
    success(await org.earn_bulk(await org.make_badge(), [1]))
    assert (await feed(other_org))[0] == []


def test_every_kind_is_shown_here() -> None:
    assert {kind.value for kind in EventKind} == {
        "badgeEarned",
        "badgeEnrolled",
        "badgeRevoked",
        "badgeExpired",
        "badgeBatchCompleted",
    }
