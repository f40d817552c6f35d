"""Micro-batching: no request waits longer than its timeout, and a cancelled request issues nothing."""

from __future__ import annotations

import asyncio

import pytest

from cockade import clock
from cockade.earning.service import EarningService
from cockade.errors import OutcomeUnknown, RequestNotFound, Unavailable
from cockade.ids import CustomerId
from cockade.request.model import IssueCommand
from cockade.storage.database import Database
from tests.storage.conftest import OpenDatabase
from tests.storage.proxy import Proxy
from tests.storage.test_commit import command, stored_outcome
from tests.support import Org

CALL_S_MAX = 4


async def fate(
    earning: EarningService, database: Database, org: Org, wanted: IssueCommand
) -> tuple[bool, float]:
    """Return whether it is certain that nothing was changed, and the duration in seconds."""
    started_s = asyncio.get_running_loop().time()
    with database.request_time_budget(), pytest.raises(Unavailable) as caught:
        await earning.earn_bulk(org.caller, wanted)
    return type(caught.value) is not OutcomeUnknown, asyncio.get_running_loop().time() - started_s


async def test_no_request_waits_longer_than_its_timeout_while_the_database_is_silent(
    open_database: OpenDatabase, org: Org, proxy: Proxy
) -> None:
    badge_id = await org.make_badge()
    database = await open_database(url=proxy.url, request_timeout_s=CALL_S_MAX)
    earning = EarningService(database, clock.now)
    await earning.earn_bulk(org.caller, command(badge_id, [CustomerId(1)]))
    proxy.fall_silent()
    async with asyncio.TaskGroup() as group:
        calls = list[asyncio.Task[tuple[bool, float]]]()
        for customer in (2, 3):
            wanted = command(badge_id, [CustomerId(customer)])
            calls.append(group.create_task(fate(earning, database, org, wanted)))
            await asyncio.sleep(0.5)
    assert [call.result()[0] for call in calls] == [True] * len(calls)
    assert max(call.result()[1] for call in calls) < CALL_S_MAX + 0.5


async def test_request_cancelled_before_its_batch_is_written_issues_nothing(
    open_database: OpenDatabase, org: Org
) -> None:
    badge_id = await org.make_badge()
    database, hurried = await open_database(pool_size=1), await open_database(request_timeout_s=1)
    earning = EarningService(database, clock.now)
    # Both are in the batch that waits for the only connection; one of them is cancelled before it is free.
    occupied = asyncio.create_task(
        database.transaction("test.occupy", lambda tx: tx.execute("select pg_sleep(1.5)"))
    )
    await asyncio.sleep(0.1)
    stays, goes = command(badge_id, [CustomerId(1)]), command(badge_id, [CustomerId(2)])
    staying = asyncio.create_task(earning.earn_bulk(org.caller, stays))
    is_certain, took_s = await fate(earning, hurried, org, goes)
    assert is_certain
    assert took_s < 1.4
    await occupied
    assert (await staying).customer_ids == [1]
    assert (await stored_outcome(org, stays)).customer_ids == [1]
    with pytest.raises(RequestNotFound):
        await stored_outcome(org, goes)
    assert (await earning.earn_bulk(org.caller, goes)).failures == []
