"""A request is undone while others revoke and issue: each row is revoked once and counted once."""

from __future__ import annotations

import asyncio
from typing import Any

from cockade.ids import BadgeId, CustomerId
from cockade.request.model import IssueCommand, OwnerType
from tests.concurrency import ledger
from tests.concurrency.test_rewriting import MISCOUNTED
from tests.concurrency.workers import Crew, EarnOnce, UndoOnce
from tests.support import REFERENCE, Org

CAPPED: dict[str, Any] = {
    "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 1_000_000}]
}
CUSTOMERS = 2_000


async def _issue(org: Org, badge_id: str, request_id: str) -> list[Any]:
    answer = await org.earn_bulk(badge_id, list(range(1, CUSTOMERS + 1)), requestId=request_id)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["issuedBadges"]


async def _require_counts(org: Org, database_url: str) -> None:
    async with ledger.connection(database_url) as opened:
        assert await opened.fetch(MISCOUNTED, org.caller.org_id) == []


async def test_concurrent_undo_revokes_each_row_once(crew: Crew, org: Org, database_url: str) -> None:
    for number, limits in enumerate(({}, CAPPED)):
        badge_id = await org.make_badge(**limits)
        await _issue(org, badge_id, f"undone {number}")
        jobs = [UndoOnce(caller=org.caller, request_id=f"undone {number}")] * len(crew)
        answers: list[tuple[int, int]] = await asyncio.to_thread(crew.run, jobs)
        assert sum(revoked for revoked, _ in answers) == CUSTOMERS
        assert all(sum(answer) == CUSTOMERS for answer in answers), answers
        await _require_counts(org, database_url)


async def test_undo_and_single_revocations_count_each_row_once(org: Org, database_url: str) -> None:
    badge_id = await org.make_badge(**CAPPED)
    issued = await _issue(org, badge_id, "contested")

    async def revoke(entry: Any) -> bool:
        body = {
            "badgeMetaId": badge_id,
            "customerId": entry["customerId"],
            "earnedBadgeId": entry["issuedId"],
        }
        answer = await org.client.post("/customer/revokeEarn", json=body)
        assert answer.status_code in (200, 409), answer.text
        return answer.status_code == 200

    undoing = asyncio.create_task(org.services.undo.undo(org.caller, "contested"))
    revoked = await asyncio.gather(*(revoke(entry) for entry in issued[:60]))
    undone = await undoing
    assert undone.revoked + sum(revoked) == CUSTOMERS, "none twice, and none left"
    await _require_counts(org, database_url)


async def test_undo_while_issuing_leaves_each_customer_at_most_one_badge(
    crew: Crew, org: Org, database_url: str
) -> None:
    """A concurrent request finds the customer with the badge or without it, never both."""
    for number in range(3):
        badge_id = await org.make_badge()
        await _issue(org, badge_id, f"first {number}")
        jobs: list[Any] = [
            EarnOnce(caller=org.caller, command=_command(badge_id, f"{number}-{place}"))
            for place in range(len(crew) - 1)
        ]
        await asyncio.to_thread(crew.run, [*jobs, UndoOnce(caller=org.caller, request_id=f"first {number}")])
        held = [
            earned.customer_id
            for earned in await ledger.earned_badges(database_url, org, badge_id)
            if earned.revoked_at is None
        ]
        assert len(held) == len(set(held))
        await _require_counts(org, database_url)


def _command(badge_id: str, request_id: str) -> IssueCommand:
    return IssueCommand(
        request_id=request_id,
        badge_id=BadgeId(badge_id),
        customers=[CustomerId(customer) for customer in range(1, CUSTOMERS + 1)],
        event_at=None,
        owner_type=OwnerType.LOYALTY,
        reference_id=REFERENCE,
    )
