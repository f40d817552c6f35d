"""Readers of the feed never miss an event, whatever the order of commits, and two workers never deliver
concurrently.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

from cockade import clock
from cockade.earning.issuing import issue
from cockade.event.model import START, Cursor
from cockade.event.service import EventService
from cockade.ids import BadgeId, CustomerId
from cockade.outbox import store as outbox_store
from cockade.request import store as request_store
from cockade.request.model import IssueCommand, OwnerType, RequestKind, RequestOutcome
from cockade.request.service import Attempt
from cockade.storage.database import Tx
from cockade.webhook import store as webhook_store
from tests.support import REFERENCE, Org


def command(badge_id: str, customers: list[int]) -> IssueCommand:
    return IssueCommand(
        request_id=secrets.token_hex(8),
        badge_id=BadgeId(badge_id),
        customers=[CustomerId(customer) for customer in customers],
        event_at=None,
        owner_type=OwnerType.LOYALTY,
        reference_id=REFERENCE,
    )


async def read_on(events: EventService, org: Org, after: Cursor) -> tuple[list[int | None], Cursor]:
    """Return the customers of all events after the cursor, and the new cursor."""
    customers: list[int | None] = []
    while True:
        page = await events.read(org.caller.org_id, after, 1000)
        customers += [getattr(entry.event.data, "customer_id", None) for entry in page.entries]
        after = page.end
        if not page.has_more:
            return customers, after


async def test_late_commit_gets_a_position_after_everything_already_read(org: Org) -> None:
    """The older transaction writes its outbox row before the newer one begins."""
    badge_id = await org.make_badge()
    events, database = org.services.events, org.services.database
    written, gate = asyncio.Event(), asyncio.Event()

    async def commit_late(tx: Tx) -> None:
        late = command(badge_id, [1])
        now = clock.now()
        key = await request_store.begin(tx, org.caller.org_id, late.request_id, RequestKind.EARN_BULK, now)
        assert key is not None
        turn = Attempt(request_key=key, now=now, exclusive=False)
        outcome = await issue(tx, org.caller, late, RequestKind.EARN_BULK, turn)
        await request_store.complete(tx, org.caller.org_id, outcome)
        written.set()
        await gate.wait()

    older = asyncio.create_task(database.transaction("test.late", commit_late))
    await written.wait()
    await org.services.earning.earn_bulk(org.caller, command(badge_id, [2]))
    await events.assign_positions()
    read, after = await read_on(events, org, START)
    assert read == [2, None]
    gate.set()
    await older
    await events.assign_positions()
    assert (await read_on(events, org, after))[0] == [1, None]
    assert (await read_on(events, org, START))[0] == [2, None, 1, None]


async def test_revocation_and_reissue_appear_in_that_order(org: Org) -> None:
    """Although the request that issues again began before the first one, and got its id earlier."""
    badge_id = await org.make_badge()
    begun, gate = asyncio.Event(), asyncio.Event()

    async def issue_late(tx: Tx, turn: Attempt) -> RequestOutcome:
        begun.set()
        await gate.wait()
        return await issue(tx, org.caller, slow, RequestKind.EARN_BULK, turn)

    slow = command(badge_id, [1])
    again = asyncio.create_task(
        org.services.requests.execute(
            "test.slow", org.caller, slow.request_id, RequestKind.EARN_BULK, issue_late
        )
    )
    await begun.wait()
    first = await org.services.earning.earn_bulk(org.caller, command(badge_id, [1]))
    earned_id = f"{first.request_key:016x}{0:08x}"
    await org.services.earning.revoke(org.caller, first.badge_id, first.customer_ids[0], earned_id)
    gate.set()
    assert (await again).failures == []
    await org.services.events.assign_positions()
    page = await org.services.events.read(org.caller.org_id, START, 1000)
    told = [(entry.event.kind, entry.event.id[:16]) for entry in page.entries if entry.cursor.line == 0]
    assert [kind for kind, _ in told] == ["badgeEarned", "badgeRevoked", "badgeEarned"]
    assert [told[0][1], told[2][1]] == [
        f"{key:016x}" for key in (first.request_key, (await again).request_key)
    ]


async def test_only_one_transaction_assigns_positions_and_others_do_not_wait(org: Org) -> None:
    """The others skip it, however long it takes."""
    badge_id = await org.make_badge()
    events, database = org.services.events, org.services.database
    given, gate = asyncio.Event(), asyncio.Event()

    async def place_slowly(tx: Tx) -> None:
        assert await outbox_store.try_lock(tx)
        await outbox_store.assign_positions(tx, 10_000)
        given.set()
        await gate.wait()

    await org.services.earning.earn_bulk(org.caller, command(badge_id, [1]))
    slow = asyncio.create_task(database.transaction("test.place", place_slowly))
    try:
        await given.wait()
        await org.services.earning.earn_bulk(org.caller, command(badge_id, [2]))
        async with asyncio.timeout(10):
            assert await events.assign_positions() == 0
        assert (await read_on(events, org, START))[0] == []
    finally:
        gate.set()
        await slow
    await events.assign_positions()
    assert (await read_on(events, org, START))[0] == [1, None, 2, None]


async def test_readers_see_every_event_once_while_many_write_and_several_assign_positions(org: Org) -> None:
    badge_id = await org.make_badge()
    events, is_done = org.services.events, asyncio.Event()

    async def write(first: int) -> None:
        for customer in range(first, first + 25):
            await org.services.earning.earn_bulk(org.caller, command(badge_id, [customer]))

    async def place() -> None:
        while not is_done.is_set():
            await events.assign_positions()

    async def read() -> list[int | None]:
        seen: list[int | None] = []
        after = START
        while True:
            is_last = is_done.is_set()
            more, after = await read_on(events, org, after)
            seen += more
            if is_last:
                return seen

    others = [asyncio.create_task(place()) for _ in range(2)]
    readers = [asyncio.create_task(read()) for _ in range(2)]
    await asyncio.gather(*(write(1 + 100 * number) for number in range(8)))
    await asyncio.sleep(0.05)
    await events.assign_positions()
    is_done.set()
    await asyncio.gather(*others)
    expected = sorted(1 + 100 * number + customer for number in range(8) for customer in range(25))
    for seen in await asyncio.gather(*readers):
        assert sorted(customer for customer in seen if customer is not None) == expected
        assert seen.count(None) == len(expected)


async def test_webhook_belongs_to_one_worker_until_its_lease_expires(org: Org) -> None:
    made = await org.client.post("/webhooks", json={"url": "https://hooks.example.org"})
    webhook_id = made.json()["data"]["id"]
    await org.earn_bulk(await org.make_badge(), [1])
    await org.services.events.assign_positions()
    now = clock.now() + timedelta(days=1)  # includes what other tests have left behind

    async def claim(lease: str, after_s: float) -> bool:
        at = now + timedelta(seconds=after_s)
        claimed = await org.services.database.transaction(
            "test.claim", lambda tx: webhook_store.claim(tx, lease, at, at + timedelta(seconds=10), 10_000)
        )
        return webhook_id in [each.webhook_id for each in claimed]

    assert sorted(await asyncio.gather(*(claim(f"worker {number}", 0) for number in range(4)))) == [
        False,
        False,
        False,
        True,
    ]
    assert not await claim("another", 9.9)
    assert await claim("another", 10)
