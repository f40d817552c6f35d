"""After the response to a deactivation or unclaim, nothing more is issued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from cockade.errors import NotClaimed, NotLive, RequestRejected
from cockade.ids import BadgeId, CustomerId
from cockade.request.model import IssueCommand, OwnerType
from tests.concurrency import ledger
from tests.concurrency.workers import Crew, EarnUntilRefused
from tests.support import REFERENCE, TRIGGER, Org

Switch = Callable[[Org, str], Coroutine[Any, Any, httpx.Response]]
BATCH = 20
APART = 10_000_000
ISSUE_TO_CUSTOMER_ONE = (
    "insert into earned_badge (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)"
    " select 1, 0, created_at, expires_at, badge_key, 1, 0 from badge where org_id = $1 and badge_id = $2"
)


def _deactivate(org: Org, badge_id: str) -> Coroutine[Any, Any, httpx.Response]:
    return org.client.put(f"/badgeMeta/{badge_id}/deactivate")


def _unclaim(org: Org, badge_id: str) -> Coroutine[Any, Any, httpx.Response]:
    return org.client.post(f"/badgeMeta/{badge_id}/unclaim", json=TRIGGER)


def _job(org: Org, badge_id: str, place: int) -> EarnUntilRefused:
    """Each job has its own customers, so that the processes run concurrently."""
    command = IssueCommand(
        request_id=f"{badge_id}-{place}",
        badge_id=BadgeId(badge_id),
        customers=[CustomerId(place * APART + customer) for customer in range(1, BATCH + 1)],
        event_at=None,
        owner_type=OwnerType.LOYALTY,
        reference_id=REFERENCE,
    )
    return EarnUntilRefused(caller=org.caller, command=command)


BOTH = pytest.mark.parametrize(
    ("switch", "refusal"), [(_deactivate, NotLive), (_unclaim, NotClaimed)], ids=["deactivate", "unclaim"]
)


@BOTH
async def test_nothing_is_issued_after_the_response(
    crew: Crew, org: Org, database_url: str, switch: Switch, refusal: type[RequestRejected]
) -> None:
    for _ in range(10):
        badge_id = await org.make_badge()
        jobs = [_job(org, badge_id, place) for place in range(len(crew))]
        racing = asyncio.create_task(asyncio.to_thread(crew.run, jobs))
        await ledger.await_earned(database_url, org, badge_id)
        answer = await switch(org, badge_id)
        at_the_answer = await ledger.count_earned(database_url, org, badge_id)
        answers: list[tuple[int, str]] = await racing
        assert answer.status_code == 200, answer.text
        assert {name for _, name in answers} == {refusal.__name__}
        assert await ledger.count_earned(database_url, org, badge_id) == at_the_answer
        assert sum(earned for earned, _ in answers) == at_the_answer, "what was answered is what is there"


@BOTH
async def test_deactivation_waits_for_running_requests(
    org: Org, database_url: str, switch: Switch, refusal: type[RequestRejected]
) -> None:
    badge_id = await org.make_badge()
    async with ledger.connection(database_url) as holder:
        await holder.execute("begin")
        await holder.execute(ISSUE_TO_CUSTOMER_ONE, org.caller.org_id, badge_id)
        earning = asyncio.create_task(org.earn_bulk(badge_id, [1, 2, 3]))
        earner = await ledger.await_blocked(holder, by=holder.get_server_pid())
        switching = asyncio.create_task(switch(org, badge_id))
        await ledger.await_blocked(holder, by=earner)
        await holder.execute("rollback")
        issued, switched = await asyncio.gather(earning, switching)
    assert (issued.status_code, switched.status_code) == (200, 200)
    assert await ledger.count_earned(database_url, org, badge_id) == 3
    refused = await org.earn_bulk(badge_id, [4])
    assert refused.json()["errors"][0]["code"] == refusal.code


async def test_activating_and_deactivating_under_load_loses_nothing(org: Org, database_url: str) -> None:
    """Requests rejected while the badge was inactive have issued nothing; acknowledged ones have issued
    everything.
    """
    badge_id = await org.make_badge()

    async def earn(number: int) -> int:
        first = number * BATCH + 1
        answer = await org.earn_bulk(badge_id, list(range(first, first + BATCH)), requestId=f"flip-{number}")
        if answer.status_code == 200:
            return answer.json()["data"]["earnedCount"]
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, 815)
        return 0

    async def flip() -> None:
        for word in ("deactivate", "activate") * 5:
            answer = await org.client.put(f"/badgeMeta/{badge_id}/{word}")
            assert answer.status_code == 200, answer.text

    flipping = asyncio.create_task(flip())
    earned = 0
    for start in range(0, 100, 10):
        earned += sum(await asyncio.gather(*(earn(number) for number in range(start, start + 10))))
    await flipping
    assert await ledger.count_earned(database_url, org, badge_id) == earned
