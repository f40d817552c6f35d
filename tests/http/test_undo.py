"""Undo: everything that a request issued is revoked once, and can be issued again."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cockade.ids import RequestKey
from cockade.job.model import Job
from cockade.undo.service import LINES_MAX, STALLED_S, UndoService
from cockade.worker import TaskInterrupted
from tests.concurrency import ledger
from tests.concurrency.test_rewriting import MISCOUNTED
from tests.http.answers import earned_count, failure, success
from tests.http.test_events import feed
from tests.http.test_import import row, send
from tests.http.test_jobs import NEVER, finish, rows, start
from tests.http.test_tenancy import rows_of
from tests.support import TRIGGER, Org

NOW = datetime.now(UTC)
ONE_DAY = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1}
LONG_AGO: dict[str, Any] = {"startOn": (NOW - timedelta(days=30)).isoformat()}
ISSUE_EARN: dict[str, Any] = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": {"expiryType": "NEVER"}}
LIMITED: dict[str, Any] = {
    "overlapPolicy": "ALLOW",
    "customerConstraints": [
        {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}
    ],
    "badgeConstraints": [
        {"constraintType": "BADGE_ROLLING_WINDOW", "rollType": "DAYS", "rollValue": 1, "maxEarnLimit": 3}
    ],
}
CAPPED: dict[str, Any] = {
    "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1_000}]
}


async def undo(org: Org, request_id: Any, **params: str) -> httpx.Response:
    return await org.client.post("/requests/revoke", json={"requestId": request_id}, params=params)


async def undone(org: Org, request_id: str, **params: str) -> tuple[int, int]:
    """Return the number revoked now, and the number revoked before."""
    data = success(await undo(org, request_id, **params))
    assert data.pop("requestId") == request_id
    assert list(data) == ["revoked", "alreadyRevoked"]
    return data["revoked"], data["alreadyRevoked"]


async def earn(org: Org, badge_id: str, customers: list[int], request_id: str, **fields: Any) -> list[Any]:
    """Return the error code of each customer, or None if the badge was earned."""
    data = success(await org.earn_bulk(badge_id, customers, requestId=request_id, **fields))
    return [entry.get("error", {}).get("code") for entry in data["issuedBadges"]]


async def test_undo_revokes_once_and_badges_can_be_issued_again(org: Org) -> None:
    badge_id = await org.make_badge()
    assert await earn(org, badge_id, [3], "before") == [None]
    assert await earn(org, badge_id, [1, 2, 3, 4], "wrong") == [None, None, 1040, None]
    assert await undone(org, "wrong") == (3, 0)
    assert await earned_count(org, badge_id) == 1, "what others issued stays"
    assert await undone(org, "wrong") == (0, 3)
    assert await earn(org, badge_id, [1, 2, 3, 4], "right") == [None, None, 1040, None]
    assert await undone(org, "wrong") == (0, 3), "what was issued since stays"
    assert await earned_count(org, badge_id) == 4


async def test_already_revoked_badges_are_counted_separately(org: Org) -> None:
    badge_id = await org.make_badge()
    data = success(await org.earn_bulk(badge_id, [1, 2], requestId="two"))
    earned = {"badgeMetaId": badge_id, "customerId": 2, "earnedBadgeId": data["issuedBadges"][1]["issuedId"]}
    success(await org.client.post("/customer/revokeEarn", json=earned))
    assert await undone(org, "two") == (1, 1)
    assert failure(await org.client.post("/customer/revokeEarn", json=earned), 409) == [
        (814, "earnedBadgeId")
    ]


async def test_undo_also_revokes_expired_badges(org: Org) -> None:
    badge_id = await org.make_badge(**LONG_AGO, earnedBadgeExpiry=ONE_DAY)
    event = (NOW - timedelta(days=9)).isoformat()
    assert await earn(org, badge_id, [1], "expired", earnEventDate=event) == [None]
    assert await undone(org, "expired") == (1, 0)
    assert await earn(org, badge_id, [1], "again", earnEventDate=event) == [None]


async def test_limits_have_room_again(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge(**LIMITED)
    assert await earn(org, badge_id, [1, 2, 3], "full") == [None] * 3
    assert await earn(org, badge_id, [1, 4], "no room") == [817, 818]
    assert await undone(org, "full") == (3, 0)
    assert await undone(org, "no room") == (0, 0)
    assert await earn(org, badge_id, [1, 4, 5, 6], "room again") == [None, None, None, 818]
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []


async def test_a_single_earn_is_undone(org: Org) -> None:
    badge_id = await org.make_badge()
    body = {"badgeMetaId": badge_id, "customerId": 1, "requestId": 7, "triggeredBy": TRIGGER}
    success(await org.client.post("/customer/earn", json=body))
    assert success(await undo(org, 7)) == {"requestId": "7", "revoked": 1, "alreadyRevoked": 0}


async def test_undo_of_enrolments_keeps_badges_earned_through_them(org: Org) -> None:
    badge_id = await org.make_badge(**ISSUE_EARN)
    enrol = {"badgeMetaId": badge_id, "customers": [1, 2], "requestId": "enrol", "triggeredBy": TRIGGER}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=enrol))
    assert await earn(org, badge_id, [1], "earned") == [None]
    assert await undone(org, "enrol") == (2, 0)
    assert await earn(org, badge_id, [2], "late") == [811]
    data = success(await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"}))
    assert (data["issuedCount"], data["earnedCount"]) == (0, 1)
    assert await undone(org, "enrol") == (0, 2)
    again = await org.client.post("/badgeMeta/customer/issueBulk", json={**enrol, "requestId": "enrol again"})
    assert success(again)["earnedCount"] == 2


async def test_an_import_of_several_badges_is_undone(org: Org, database_url: str) -> None:
    badges = [await org.make_badge(), await org.make_badge(**LIMITED), await org.make_badge()]
    rows = [row(badge_id, customer) for badge_id in badges for customer in (1, 2)]
    rows += [row("0" * 24), row(badges[0], 1), row(badges[0], 1, days_ago=20)]
    assert (await send(org, rows, "history")).status_code == 200
    assert await undone(org, "history") == (7, 0)
    assert [await earned_count(org, badge_id) for badge_id in badges] == [0, 0, 0]
    assert await undone(org, "history") == (0, 7)
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []


async def test_a_large_one_is_undone_lot_by_lot(org: Org) -> None:
    """More than one lot; of each there is an entry in the audit trail."""
    badge_id, size = await org.make_badge(), LINES_MAX + 5
    success(await org.earn_bulk(badge_id, list(range(size, 0, -1)), requestId="large"))
    # One of the first lot is one of the last lot now: each lot takes back what was given at its own lines.
    success(await org.client.post("/customers/merge", json={"from": size, "into": 1}))
    assert await undone(org, "large") == (size, 0)
    assert await undone(org, "large") == (0, size)
    assert await earned_count(org, badge_id) == 0
    page = success(await org.client.get("/audit", params={"action": "request.revoke"}))
    assert [
        (entry["subject"], entry["badgeMetaId"], entry["username"], entry["details"])
        for entry in page["entries"]
    ] == [
        ("large", badge_id, org.caller.username, {"kind": "EARN_BULK", "revokedCount": count})
        for count in (5, LINES_MAX)
    ]


async def test_erased_and_merged_customers_are_met_where_they_are_now(org: Org) -> None:
    badge_id = await org.make_badge()
    assert await earn(org, badge_id, [1, 2, 3, 4], "four") == [None] * 4
    success(await org.client.delete("/customers/1"))
    success(await org.client.post("/customers/merge", json={"from": 2, "into": 3}))
    assert await undone(org, "four") == (3, 0)
    assert await earned_count(org, badge_id) == 0


async def test_a_dry_run_tells_the_same_and_changes_nothing(org: Org) -> None:
    badge_id = await org.make_badge()
    assert await earn(org, badge_id, [1, 2], "two") == [None, None]
    before = await rows_of(org)
    answer = await undo(org, "two", dryRun="true")
    assert success(answer) == {"requestId": "two", "revoked": 2, "alreadyRevoked": 0}
    assert [warning["reference"] for warning in answer.json()["warnings"]] == ["dryRun"]
    assert await rows_of(org) == before
    assert await undone(org, "two") == (2, 0)
    assert await undone(org, "two", dryRun="true") == (0, 2)
    assert failure(await undo(org, "two", dryRun="maybe"), 400) == [(400, "dryRun")]


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({"requestId": "never"}, 404, [(404, "requestId")]),
        ({}, 400, [(400, "requestId")]),
        ({"requestId": ""}, 400, [(400, "requestId")]),
        ({"requestId": "a\0b"}, 400, [(400, "requestId")]),
        ({"requestId": "x" * 256}, 400, [(400, "requestId")]),
        ({"requestId": ["x"]}, 400, [(400, "requestId")]),
    ],
)
async def test_an_id_that_did_nothing_or_cannot_be(
    shared_org: Org, sent: dict[str, Any], status: int, told: Any
) -> None:
    assert failure(await shared_org.client.post("/requests/revoke", json=sent), status) == told


async def test_another_orgs_request_is_unknown(org: Org, other_org: Org) -> None:
    badge_id, request_id = await org.make_badge(), secrets.token_hex(8)
    assert await earn(org, badge_id, [1], request_id) == [None]
    assert failure(await undo(other_org, request_id), 404) == [(404, "requestId")]
    assert await earned_count(org, badge_id) == 1


async def test_undo_of_a_job_revokes_chunk_by_chunk(org: Org) -> None:
    badge_id = await org.make_badge(
        badgeConstraints=[{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 100}]
    )
    await earn(org, badge_id, [5], "before")
    job = await start(org, badge_id, [1, 2, 2, 3, 4, 5, 6, 7, 8], request_id="the job")
    assert "The job is queued" in (await undo(org, "the job")).text
    await finish(org, job)
    assert await earned_count(org, badge_id) == 8
    assert await undone(org, "the job", dryRun="true") == (7, 0)
    assert await undone(org, "the job") == (7, 0)
    assert await earned_count(org, badge_id) == 1, "what others issued stays"
    assert await undone(org, "the job") == (0, 7)
    assert await earn(org, badge_id, [*range(1, 9)], "again") == [None] * 4 + [1040] + [None] * 3


# In the background


@pytest.fixture
def small_calls(org: Org, monkeypatch: pytest.MonkeyPatch) -> UndoService:
    """Undoing, of which a call does three lines at most."""
    monkeypatch.setattr(org.services.undo, "_lines_max", 3)
    return org.services.undo


async def large_job(org: Org, badge_id: str, size: int) -> Job:
    """One with three lines in each chunk."""
    return await finish(org, await start(org, badge_id, range(1, size + 1), request_id="large"))


async def progress(org: Org, headers: dict[str, str] | None = None) -> tuple[Any, ...]:
    """Return the response to the undo request."""
    answer = await org.client.post("/requests/revoke", json={"requestId": "large"}, headers=headers or {})
    assert answer.json()["errors"] == []
    return answer.status_code, answer.headers.get("Idempotent-Replayed"), answer.json()["data"]


def far(state: str, lots: int, revoked: int, before: int, **more: Any) -> tuple[Any, ...]:
    """The answer for a job of four lots."""
    told = {"requestId": "large", "state": state, "failure": None, "totalCount": 4, "doneCount": lots}
    told |= {"percentage": lots * 25.0, "revoked": revoked, "alreadyRevoked": before}
    return 202, None, told | more


async def tasks(org: Org, key: RequestKey) -> int:
    """Return how many times the task is in the queue."""
    counting = "select count(*) from pgqueuer where entrypoint = 'undo' and payload = $1"
    return await org.services.database.transaction(
        "test.tasks", lambda tx: tx.value(counting, str(key).encode())
    )


@pytest.mark.parametrize("limits", [{}, LIMITED | {"badgeConstraints": []}, CAPPED])
async def test_undo_of_a_large_job_runs_in_the_background_with_progress(
    org: Org, small_calls: UndoService, limits: dict[str, Any], database_url: str
) -> None:
    badge_id = await org.make_badge(**limits)
    job = await large_job(org, badge_id, 11)
    for customer in ("9", "2"):
        issued = {r["customerId"]: r["issuedId"] for r in await rows(org, job, "results")}[customer]
        earned = {"badgeMetaId": badge_id, "customerId": int(customer), "earnedBadgeId": issued}
        success(await org.client.post("/customer/revokeEarn", json=earned))
    assert await undone(org, "large", dryRun="true") == (9, 2)
    for _ in range(2):
        assert await progress(org) == far("queued", 0, 0, 0)
    assert await tasks(org, job.job_key) == 1
    assert await small_calls._advance(job.job_key)
    assert await progress(org) == far("running", 1, 2, 1)
    assert await earned_count(org, badge_id) == 7
    assert await undone(org, "large", dryRun="true") == (7, 4)
    await small_calls._work_through(job.job_key, NEVER)
    for _ in range(2):
        assert await undone(org, "large") == (9, 2)
    assert await earned_count(org, badge_id) == 0
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []
    events, _ = await feed(org)
    told = [event["data"]["customerId"] for event in events if event["type"] == "badgeRevoked"]
    assert told == [9, 2, 1, 3, 4, 5, 6, 7, 8, 10, 11]
    page = success(await org.client.get("/audit", params={"action": "request.revoke"}))
    assert [(each["username"], each["subject"], each["details"]) for each in page["entries"]] == [
        (org.caller.username, "large", {"kind": "JOB", "revokedCount": count}) for count in (2, 2, 3, 2)
    ]
    assert await earn(org, badge_id, [1, 2], "again") == [None, None]


async def test_concurrent_interrupted_undos_revoke_each_badge_once(
    org: Org, small_calls: UndoService, database_url: str
) -> None:
    badge_id = await org.make_badge(**CAPPED)
    job = await large_job(org, badge_id, 60)
    await progress(org)
    for number in range(1, 12):
        crew = [asyncio.create_task(small_calls._work_through(job.job_key, NEVER)) for _ in range(3)]
        await asyncio.sleep(0.005 * (number % 7))
        for working in crew:
            working.cancel()
        await asyncio.wait(crew)
    await asyncio.gather(*(small_calls._work_through(job.job_key, NEVER) for _ in range(3)))
    assert await undone(org, "large") == (60, 0)
    assert await earned_count(org, badge_id) == 0
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []


async def test_undo_with_an_idempotency_key_starts_once_and_reports_progress(
    org: Org, small_calls: UndoService
) -> None:
    job = await large_job(org, await org.make_badge(), 11)
    key = {"Idempotency-Key": secrets.token_hex(8)}
    assert await progress(org, key) == far("queued", 0, 0, 0)
    await small_calls._advance(job.job_key)
    assert await progress(org, key) == (202, "true", far("running", 1, 3, 0)[2])
    assert await tasks(org, job.job_key) == 1
    await small_calls._work_through(job.job_key, NEVER)
    assert await progress(org, key) == (200, None, {"requestId": "large", "revoked": 11, "alreadyRevoked": 0})


async def test_a_lot_that_fails_again_and_again_stops_it_until_it_is_asked_for_again(
    org: Org, small_calls: UndoService
) -> None:
    job, database = await large_job(org, await org.make_badge(), 11), org.services.database
    spoil = "update job_chunk set failures = $2 where job_key = $1 and number = 1"
    await database.transaction("test.spoil", lambda tx: tx.execute(spoil, job.job_key, b"{}"))
    await progress(org)
    await small_calls._work_through(job.job_key, NEVER)
    status, _, told = await progress(org)
    assert (status, told["state"], told["doneCount"], "log" in told["failure"]) == (202, "queued", 1, True)
    assert await tasks(org, job.job_key) == 2
    assert await progress(org) == far("queued", 1, 3, 0)
    await database.transaction("test.mend", lambda tx: tx.execute(spoil, job.job_key, b"[]"))
    await small_calls._work_through(job.job_key, NEVER)
    assert await undone(org, "large") == (11, 0)


async def test_one_that_the_queue_forgot_comes_back_and_a_worker_that_ends_gives_it_back(
    org: Org, small_calls: UndoService
) -> None:
    job, database = await large_job(org, await org.make_badge(), 11), org.services.database
    await progress(org)

    async def forget(tx: Any) -> None:
        ago = datetime.now(UTC) - timedelta(seconds=STALLED_S + 1)
        await tx.execute("update undo set updated_at = $2 where request_key = $1", job.job_key, ago)
        await tx.execute("delete from pgqueuer where payload = $1", str(job.job_key).encode())

    await database.transaction("test.forget", forget)
    for _ in range(2):
        await small_calls.cleanup()
        assert await tasks(org, job.job_key) == 1
    ending = asyncio.Event()
    ending.set()
    with pytest.raises(TaskInterrupted):
        await small_calls._work_through(job.job_key, ending)
    assert await progress(org) == far("queued", 0, 0, 0)


async def test_undo_has_events(org: Org) -> None:
    badge_id = await org.make_badge()
    await earn(org, badge_id, [3, 4], "wrong")
    await undone(org, "wrong")
    await undone(org, "wrong")
    events, _ = await feed(org)
    earned = {
        e["data"]["earnedBadgeId"]: e["data"]["customerId"] for e in events if e["type"] == "badgeEarned"
    }
    revoked = [e["data"] for e in events if e["type"] == "badgeRevoked"]
    assert {data["earnedBadgeId"]: data["customerId"] for data in revoked} == earned
    assert len(revoked) == len(earned) == 2


async def test_undone_enrolments_have_events(org: Org) -> None:
    badge_id = await org.make_badge(**ISSUE_EARN)
    body = {"badgeMetaId": badge_id, "customers": [3, 4], "triggeredBy": TRIGGER, "requestId": "enrol"}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=body))
    assert await undone(org, "enrol") == (2, 0)
    events, _ = await feed(org)
    assert [e["data"]["customerId"] for e in events if e["type"] == "badgeRevoked"] == [3, 4]
