"""A request id is used once under concurrency. A waiting request continues if the first one fails."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager

import httpx

from cockade import app
from cockade.app import Services
from cockade.badge import store as badge_store
from cockade.config import Config
from cockade.ids import BadgeId, CustomerId
from cockade.request.model import IssueCommand, OwnerType
from tests.concurrency import ledger
from tests.concurrency.workers import Answer, Crew, EarnOnce
from tests.support import REFERENCE, Org, client_for, earn_bulk_body

TAKE_ID = (
    "insert into request (org_id, request_id, request_key, kind)"
    " values ($1, $2, nextval('request_number'), 'EARN_BULK')"
)


async def test_twenty_concurrent_requests_with_one_id_issue_once(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge()
    customers = list(range(1, 1_001))
    answers = await asyncio.gather(
        *(org.earn_bulk(badge_id, customers, requestId="at once") for _ in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    assert [_code(answer) for answer in answers if answer.status_code != 200] == [809] * 19
    won = next(answer.json()["data"] for answer in answers if answer.status_code == 200)
    assert won["earnedCount"] == len(customers)
    held = await ledger.earned_badges(database_url, org, badge_id)
    assert [earned.earned_badge_id for earned in held] == [entry["issuedId"] for entry in won["issuedBadges"]]


async def test_eight_processes_with_one_id_have_one_winner(crew: Crew, org: Org, database_url: str) -> None:
    for number in range(5):
        badge_id = await org.make_badge()
        command = IssueCommand(
            request_id=f"one id {number}",
            badge_id=BadgeId(badge_id),
            customers=[CustomerId(customer) for customer in range(1, 501)],
            event_at=None,
            owner_type=OwnerType.LOYALTY,
            reference_id=REFERENCE,
        )
        jobs = [EarnOnce(caller=org.caller, command=command)] * len(crew)
        answers: list[Answer] = await asyncio.to_thread(crew.run, jobs)
        refusals = sorted(str(answer.refusal) for answer in answers)
        assert refusals == ["None"] + ["RequestIdUsed"] * (len(crew) - 1)
        assert await ledger.count_earned(database_url, org, badge_id) == 500


async def test_same_id_in_two_orgs_is_two_requests(org: Org, other_org: Org) -> None:
    orgs = (org, other_org)
    badge_ids = [await each.make_badge() for each in orgs]
    answers = await asyncio.gather(
        *(
            each.earn_bulk(badge_id, [1, 2], requestId="shared")
            for each, badge_id in zip(orgs, badge_ids, strict=True)
        )
    )
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_id_of_a_rejected_request_passes_to_the_waiting_one(org: Org, database_url: str) -> None:
    inactive, active = await org.make_badge(), await org.make_badge()
    switched = await org.client.put(f"/badgeMeta/{inactive}/deactivate")
    assert switched.status_code == 200, switched.text
    async with ledger.connection(database_url) as holder:
        await holder.execute("begin")
        await holder.execute(badge_store.SQL["lock_badge"], org.caller.org_id, inactive, True)
        first = asyncio.create_task(org.earn_bulk(inactive, [1], requestId="contested"))
        first_backend = await ledger.await_blocked(holder, by=holder.get_server_pid())
        second = asyncio.create_task(org.earn_bulk(active, [1], requestId="contested"))
        await ledger.await_blocked(holder, by=first_backend)
        await holder.execute("rollback")
        refused, issued = await asyncio.gather(first, second)
    assert (refused.status_code, _code(refused)) == (409, 815)
    assert issued.status_code == 200, issued.text
    assert await ledger.count_earned(database_url, org, active) == 1


async def test_waiting_request_is_rejected_when_the_first_commits(org: Org, database_url: str) -> None:
    slow, other = await org.make_badge(), await org.make_badge()
    async with ledger.connection(database_url) as holder:
        await holder.execute("begin")
        await holder.execute(badge_store.SQL["lock_badge"], org.caller.org_id, slow, True)
        first = asyncio.create_task(org.earn_bulk(slow, [1], requestId="contested"))
        first_backend = await ledger.await_blocked(holder, by=holder.get_server_pid())
        second = asyncio.create_task(org.earn_bulk(other, [1], requestId="contested"))
        await ledger.await_blocked(holder, by=first_backend)
        await holder.execute("rollback")
        issued, refused = await asyncio.gather(first, second)
    assert issued.status_code == 200, issued.text
    assert (refused.status_code, _code(refused)) == (400, 809)
    assert await ledger.count_earned(database_url, org, other) == 0


async def test_id_locked_beyond_the_lock_timeout_gets_503(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge()
    body = earn_bulk_body(badge_id, [1, 2], requestId="held")
    async with (
        ledger.connection(database_url) as holder,
        _impatient(database_url) as services,
        client_for(services, org.credential) as client,
    ):
        await holder.execute("begin")
        await holder.execute(TAKE_ID, org.caller.org_id, "held")
        started = time.monotonic()
        answer = await client.post("/customer/earnBulk", json=body)
        waited_s = time.monotonic() - started
        await holder.execute("rollback")
        again = await client.post("/customer/earnBulk", json=body)
    assert (answer.status_code, _code(answer)) == (503, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["data"] is None
    assert 0.9 < waited_s < 5
    assert again.status_code == 200, "nothing was changed, and the same request may be sent again"
    assert await ledger.count_earned(database_url, org, badge_id) == 2


async def test_badge_locked_beyond_the_lock_timeout_gets_503(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge()
    body = earn_bulk_body(badge_id, [1, 2], requestId="badge held")
    async with (
        ledger.connection(database_url) as holder,
        _impatient(database_url) as services,
        client_for(services, org.credential) as client,
    ):
        await holder.execute("begin")
        await holder.execute(badge_store.SQL["lock_badge"], org.caller.org_id, badge_id, True)
        answer = await client.post("/customer/earnBulk", json=body)
        await holder.execute("rollback")
        again = await client.post("/customer/earnBulk", json=body)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert again.status_code == 200, again.text


async def test_lookup_returns_the_response_of_each_of_many_concurrent_requests(org: Org) -> None:
    badge_id = await org.make_badge()
    # Ten requests; neighbours share half of their customers.
    answers = await asyncio.gather(
        *(
            org.earn_bulk(badge_id, list(range(first, first + 100)), requestId=f"told-{first}")
            for first in range(1, 501, 50)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["data"]["earnedCount"] for answer in answers) == 550
    for answer in answers:
        data = answer.json()["data"]
        told = await org.client.get("/requests", params={"requestId": data["requestId"]})
        assert (told.status_code, told.json()["data"]) == (200, data)


async def test_rejected_request_cannot_be_looked_up(org: Org) -> None:
    badge_id = await org.make_badge(claim=False)
    answers = await asyncio.gather(*(org.earn_bulk(badge_id, [1], requestId="unclaimed") for _ in range(5)))
    assert {(answer.status_code, _code(answer)) for answer in answers} == {(409, 810)}
    told = await org.client.get("/requests", params={"requestId": "unclaimed"})
    assert told.status_code == 404


def _impatient(url: str) -> AbstractAsyncContextManager[Services]:
    return app.running_services(url, Config(pool_size=3, lock_timeout_s=1))


def _code(answer: httpx.Response) -> int:
    return answer.json()["errors"][0]["code"]
