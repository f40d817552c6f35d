"""Customers are erased and merged while eight processes issue to them: nothing is left half done."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from cockade.ids import BadgeId, CustomerId
from cockade.request.model import IssueCommand, OwnerType
from cockade.storage.connection import Connection
from tests.concurrency import ledger
from tests.concurrency.workers import Crew, EarnAll
from tests.support import REFERENCE, Org

SEED = 20231103
CALLS = 24
"""Per process."""
ERASED, SOURCE, INTO, BYSTANDERS = 1, 2, 3, range(4, 8)
CAPPED: dict[str, Any] = {
    "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1_000_000}]
}

# Each ledger row has its customer at its line in the request, and each customer who earned has a ledger row.
STRAY_ROWS = """
    select e.customer_id, r.request_id, e.line, r.customer_ids[e.line + 1]
    from earned_badge e join badge b using (badge_key)
    left join request r on r.org_id = b.org_id and r.request_key = e.request_key
    where b.org_id = $1 and r.customer_ids[e.line + 1] is distinct from e.customer_id"""
STRAY_PLACES = """
    select r.request_id, place.line, place.customer_id
    from request r cross join lateral unnest(r.customer_ids) with ordinality as place (customer_id, line)
    where r.org_id = $1 and place.customer_id <> 0
      and not exists (select from json_array_elements(r.failures) as refused
                      where (refused ->> 0)::integer = place.line - 1)
      and not exists (select from earned_badge e
                      where e.badge_key = r.badge_key and e.customer_id = place.customer_id
                        and e.request_key = r.request_key and e.line = place.line - 1)"""
MISCOUNTED = """
    select b.badge_id, counted.earned, tallied.earned, every.earned
    from badge b
    cross join lateral (select count(*) as earned from earned_badge e
                        where e.badge_key = b.badge_key and e.revoked_at is null) every
    cross join lateral (select coalesce(sum(c.earned), 0) as earned from badge_count c
                        where c.badge_key = b.badge_key) counted
    cross join lateral (select coalesce(sum(t.earned), 0) as earned from badge_limit_counter t
                        where t.badge_key = b.badge_key and t.bucket_s = 0) tallied
    where b.org_id = $1 and (counted.earned <> every.earned or b.has_badge_limit and tallied.earned <> every.earned)"""
NAMED = """
    select (select count(*) from earned_badge e join badge b using (badge_key)
            where b.org_id = $1 and e.customer_id = $2),
           (select count(*) from request where org_id = $1 and $2 = any(customer_ids))"""


async def test_erasing_and_merging_while_issuing_leaves_nothing_half_done(
    crew: Crew, org: Org, database_url: str
) -> None:
    badges = [BadgeId(await org.make_badge(overlapPolicy="ALLOW")) for _ in range(3)]
    badges += [BadgeId(await org.make_badge()) for _ in range(8)]
    badges.append(BadgeId(await org.make_badge(overlapPolicy="ALLOW", **CAPPED)))
    issuing = asyncio.create_task(asyncio.to_thread(crew.run, _jobs(crew, org, badges)))
    rewritten = rounds = 0
    while not issuing.done():
        erased = await org.services.customer_data.erase(org.caller, CustomerId(ERASED))
        merged = await org.services.customer_data.merge(org.caller, CustomerId(SOURCE), CustomerId(INTO))
        rewritten += erased.earned_badges + merged.earned_badges
        rounds += 1
    assert sum(await issuing) > 0
    assert rounds > 3
    assert rewritten > 0, "nothing was issued meanwhile, so that nothing was tested"
    await org.services.customer_data.erase(org.caller, CustomerId(ERASED))
    await org.services.customer_data.merge(org.caller, CustomerId(SOURCE), CustomerId(INTO))

    async with ledger.connection(database_url) as opened:
        for violations in (STRAY_ROWS, STRAY_PLACES, MISCOUNTED):
            assert await opened.fetch(violations, org.caller.org_id) == []
        for nobody in (ERASED, SOURCE):
            assert await _named(opened, org, nobody) == (0, 0)
        for somebody in (INTO, *BYSTANDERS):
            assert (await _named(opened, org, somebody))[0] > 0


async def test_badges_issued_during_an_erasure_are_erased_too(org: Org, database_url: str) -> None:
    held, gained = await org.make_badge(), await org.make_badge()
    assert (await org.earn_bulk(held, [ERASED])).status_code == 200
    async with ledger.connection(database_url) as opened, opened.transaction():
        # Lock the badge like a request that issues it: the erasure, which has found only this badge, waits
        # for us.
        badge_key = await opened.fetchval(
            "select badge_key from badge where org_id = $1 and badge_id = $2", org.caller.org_id, held
        )
        await opened.execute("select pg_advisory_xact_lock_shared(1, $1)", badge_key)
        erasing = asyncio.create_task(org.services.customer_data.erase(org.caller, CustomerId(ERASED)))
        await ledger.await_blocked(opened, opened.get_server_pid())
        assert (await org.earn_bulk(gained, [ERASED])).status_code == 200
    assert (await erasing).earned_badges == 2
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(STRAY_ROWS, org.caller.org_id) == []
        assert await _named(opened, org, ERASED) == (0, 0)


async def _named(opened: Connection, org: Org, customer: int) -> tuple[int, int]:
    """Return how often the ledger and the requests contain the customer."""
    [row] = await opened.fetch(NAMED, org.caller.org_id, customer)
    return row[0], row[1]


def _jobs(crew: Crew, org: Org, badges: list[BadgeId]) -> list[EarnAll]:
    """Requests in random order for some of the customers; the badges are introduced one after the other."""
    chance = random.Random(SEED)

    def command(process: int, number: int) -> IssueCommand:
        customers = [CustomerId(customer) for customer in (ERASED, SOURCE, INTO, *BYSTANDERS)]
        known = badges[: 4 + number * len(badges) // CALLS]
        return IssueCommand(
            request_id=f"{process}-{number}",
            badge_id=chance.choice([*known, badges[-1]]),
            customers=chance.sample(customers, chance.randint(2, len(customers))),
            event_at=None,
            owner_type=OwnerType.LOYALTY,
            reference_id=REFERENCE,
        )

    return [
        EarnAll(caller=org.caller, commands=[command(process, number) for number in range(CALLS)])
        for process in range(len(crew))
    ]
