"""A connection breaks around its COMMIT: the caller learns the outcome, and nothing is issued twice."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec
import pytest

from cockade import clock
from cockade.auth import store
from cockade.clock import Clock
from cockade.earning.service import EarningService
from cockade.errors import NotClaimed, OutcomeUnknown, RequestIdUsed, RequestNotFound
from cockade.ids import BadgeId, CustomerId
from cockade.request.model import IssueCommand, OwnerType, RequestOutcome
from cockade.storage.database import Database, Tx
from tests.storage.conftest import OpenDatabase
from tests.storage.proxy import Cut, Proxy
from tests.support import REFERENCE, Org, client_for, earn_bulk_body

CUSTOMERS = [CustomerId(customer) for customer in (3, 1, 2)]


def command(badge_id: str, customers: list[CustomerId] | None = None, **changes: object) -> IssueCommand:
    made = IssueCommand(
        request_id=secrets.token_hex(8),
        badge_id=BadgeId(badge_id),
        customers=customers or CUSTOMERS,
        event_at=None,
        owner_type=OwnerType.LOYALTY,
        reference_id=REFERENCE,
    )
    return msgspec.structs.replace(made, **changes)


def ticking(start: datetime) -> Clock:
    """A clock that advances an hour per call. Every attempt calls it once."""
    hours = count()
    return lambda: start + timedelta(hours=next(hours))


async def earned_count(org: Org, badge_id: str) -> int:
    answer = await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"})
    return answer.json()["data"]["earnedCount"]


async def stored_outcome(org: Org, wanted: IssueCommand) -> RequestOutcome:
    outcome = await org.services.requests.get(org.caller, wanted.request_id)
    assert isinstance(outcome, RequestOutcome)
    return outcome


@pytest.mark.parametrize(
    ("cut", "expected"), [(Cut.BEFORE_COMMIT, 0), (Cut.BEFORE_ANSWER, 1), (Cut.WHILE_COMMITTING, 1)]
)
async def test_transaction_with_lost_commit_is_unknown_and_not_retried(
    open_database: OpenDatabase, database: Database, proxy: Proxy, cut: Cut, expected: int
) -> None:
    name, lock_number, runs = secrets.token_hex(8), secrets.randbits(62), []
    proxied = await open_database(url=proxy.url, pool_size=1)

    async def insert(tx: Tx) -> None:
        runs.append(1)
        await tx.execute("select pg_advisory_xact_lock($1)", lock_number)
        await store.insert_org(tx, name, "UTC", clock.now())

    async def count_after_the_end(tx: Tx) -> int:
        await tx.execute("select pg_advisory_xact_lock($1)", lock_number)
        return await tx.value("select count(*) from org where name = $1", name)

    proxy.cut = cut
    with pytest.raises(OutcomeUnknown):
        await proxied.transaction("test.commit", insert)
    assert runs == [1]
    assert await database.transaction("test.count", count_after_the_end) == expected
    await proxied.transaction("test.again", insert)
    assert await database.transaction("test.count", count_after_the_end) == expected + 1


@pytest.mark.parametrize(
    ("cut", "attempt"), [(Cut.BEFORE_COMMIT, 1), (Cut.BEFORE_ANSWER, 0), (Cut.WHILE_COMMITTING, 0)]
)
async def test_earn_bulk_with_lost_commit_is_issued_once_and_returns_the_committed_outcome(
    open_database: OpenDatabase, org: Org, proxy: Proxy, cut: Cut, attempt: int
) -> None:
    badge_id, start = await org.make_badge(), datetime.now(UTC)
    earning = EarningService(await open_database(url=proxy.url), ticking(start))
    wanted = command(badge_id)
    proxy.cut = cut
    outcome = await earning.earn_bulk(org.caller, wanted)
    assert proxy.commits_cut == 1
    assert outcome.completed_at == start + timedelta(hours=attempt)
    assert (outcome.customer_ids, outcome.failures) == (CUSTOMERS, [])
    assert await stored_outcome(org, wanted) == outcome
    assert await earned_count(org, badge_id) == len(CUSTOMERS)
    with pytest.raises(RequestIdUsed):
        await earning.earn_bulk(org.caller, wanted)


async def test_failures_of_a_lost_commit_are_returned_as_decided(
    open_database: OpenDatabase, org: Org, proxy: Proxy
) -> None:
    badge_id = await org.make_badge()
    earning = EarningService(await open_database(url=proxy.url), clock.now)
    first = await earning.earn_bulk(org.caller, command(badge_id, [CUSTOMERS[0]]))
    proxy.cut = Cut.BEFORE_ANSWER
    outcome = await earning.earn_bulk(org.caller, command(badge_id))
    assert [refusal.line for refusal in outcome.failures] == [0]
    assert outcome.failures[0].conflicting_id == f"{first.request_key:016x}00000000"
    assert await earned_count(org, badge_id) == len(CUSTOMERS)


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.BEFORE_ANSWER])
async def test_earn_bulk_without_a_known_outcome_reports_it_as_unknown(
    open_database: OpenDatabase, org: Org, proxy: Proxy, cut: Cut
) -> None:
    badge_id = await org.make_badge()
    earning = EarningService(await open_database(url=proxy.url), clock.now)
    wanted = command(badge_id)
    proxy.cut, proxy.gone_after_cut = cut, True
    with pytest.raises(OutcomeUnknown):
        await earning.earn_bulk(org.caller, wanted)
    if cut is Cut.BEFORE_ANSWER:
        assert (await stored_outcome(org, wanted)).customer_ids == CUSTOMERS
        assert await earned_count(org, badge_id) == len(CUSTOMERS)
    else:
        with pytest.raises(RequestNotFound):
            await stored_outcome(org, wanted)
        assert await earned_count(org, badge_id) == 0


async def test_unknown_outcome_gets_503_with_the_way_to_look_it_up(
    open_database: OpenDatabase, org: Org, proxy: Proxy
) -> None:
    badge_id = await org.make_badge()
    earning = EarningService(await open_database(url=proxy.url), clock.now)
    proxy.cut, proxy.gone_after_cut = Cut.BEFORE_ANSWER, True
    async with client_for(msgspec.structs.replace(org.services, earning=earning), org.credential) as client:
        body = earn_bulk_body(badge_id, [1], requestId="lost")
        answer = await client.post("/customer/earnBulk", json=body)
    assert answer.status_code == 503
    assert answer.headers["X-CAP-REQUEST-ID"] == "lost"
    assert int(answer.headers["Retry-After"]) > 0
    [error] = answer.json()["errors"]
    assert error["code"] == 503
    assert "outcome is unknown" in error["message"]
    assert "requests?requestId=" in error["message"]
    found = await org.client.get("/requests", params={"requestId": "lost"})
    assert found.json()["data"]["earnedCount"] == 1


async def test_request_id_of_another_caller_is_not_mistaken_for_our_lost_commit(
    open_database: OpenDatabase, org: Org, proxy: Proxy
) -> None:
    """Another request may have used the id between the lost commit and the lookup."""
    badge_id = await org.make_badge()
    earning = EarningService(await open_database(url=proxy.url), clock.now)
    wanted = command(badge_id)
    other = msgspec.structs.replace(wanted, customers=[CustomerId(99)])
    proxy.cut = Cut.BEFORE_COMMIT
    proxy.meanwhile = lambda: org.services.earning.earn_bulk(org.caller, other)
    with pytest.raises(RequestIdUsed):
        await earning.earn_bulk(org.caller, wanted)
    assert (await stored_outcome(org, wanted)).customer_ids == [99]
    assert await earned_count(org, badge_id) == 1


async def test_rejected_request_has_no_commit_to_lose(
    open_database: OpenDatabase, org: Org, proxy: Proxy
) -> None:
    badge_id = await org.make_badge(claim=False)
    earning = EarningService(await open_database(url=proxy.url), clock.now)
    proxy.cut = Cut.BEFORE_COMMIT
    with pytest.raises(NotClaimed):
        await earning.earn_bulk(org.caller, command(badge_id))
    assert proxy.commits_cut == 0
