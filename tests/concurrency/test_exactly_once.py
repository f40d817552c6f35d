"""Many processes issue one badge to the same customers at the same time: each customer gets it exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cockade import ids
from cockade.ids import BadgeId, CustomerId
from cockade.request.model import FailureReason, IssueCommand, OwnerType, RequestOutcome
from tests.concurrency import ledger
from tests.concurrency.workers import Answer, Crew, EarnOnce
from tests.support import REFERENCE, Org

SEED = 20231103
ONE_DAY = {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": 1}


async def test_eight_processes_issue_to_the_same_customers_exactly_once(
    crew: Crew, org: Org, database_url: str, record_property: Callable[[str, object], None]
) -> None:
    customers, rounds, issue_conflicts = 5_000, 20, 0.0
    for number in range(rounds):
        badge_id = await org.make_badge()
        answers = await _race(crew, _jobs(crew, org, badge_id, str(number), customers))
        issue_conflicts += sum(answer.issue_conflicts for answer in answers)
        now = datetime.now(UTC)
        held = await ledger.earned_badges(database_url, org, badge_id)
        assert [earned.customer_id for earned in held] == list(range(1, customers + 1))
        assert all(
            earned.revoked_at is None and earned.valid_from <= now < earned.valid_until for earned in held
        )
        holding = {earned.customer_id: earned.earned_badge_id for earned in held}
        won = [pair for outcome in _outcomes(answers) for pair in _winners(outcome).items()]
        assert len(won) == customers
        assert dict(won) == holding
        for outcome in _outcomes(answers):
            assert {**holding, **_refused(outcome)} == holding, (
                "a rejected customer gets the id of the earned badge"
            )
    assert issue_conflicts > 0, "the processes never met, so that nothing was tested"
    record_property("collisions", f"{issue_conflicts:.0f} in {rounds} rounds of {len(crew)} processes")


async def test_badges_that_allow_overlap_are_issued_by_every_process(
    crew: Crew, org: Org, database_url: str
) -> None:
    customers = 500
    for number in range(3):
        badge_id = await org.make_badge(overlapPolicy="ALLOW")
        answers = await _race(crew, _jobs(crew, org, badge_id, f"allow-{number}", customers))
        held = await ledger.earned_badges(database_url, org, badge_id)
        assert _places(held) == _everybody(customers, len(crew))
        assert {earned.earned_badge_id for earned in held} == {
            earned_id for outcome in _outcomes(answers) for earned_id in _winners(outcome).values()
        }
        by_request = Counter(earned.request_id for earned in held)
        assert by_request == {f"allow-{number}-{place}": customers for place in range(len(crew))}


async def test_disjoint_validities_are_each_issued_once_per_customer(
    crew: Crew, org: Org, database_url: str
) -> None:
    """A request that loses a conflict decides again, and may succeed then."""
    customers, now = 500, datetime.now(UTC)
    events = [now - timedelta(days=5), now - timedelta(days=2)]
    for number in range(5):
        badge_id = await org.make_badge(
            startOn=(now - timedelta(days=9)).isoformat(), earnedBadgeExpiry=ONE_DAY
        )
        jobs = [
            _job(org, badge_id, f"two-{number}-{place}", customers, event_at=events[place % 2])
            for place in range(len(crew))
        ]
        await _race(crew, jobs)
        held = await ledger.earned_badges(database_url, org, badge_id)
        assert _places(held) == _everybody(customers, 2)
        by_validity = Counter(earned.valid_from for earned in held)
        assert by_validity == dict.fromkeys(events, customers)


async def test_overlapping_audiences_in_opposite_orders_never_deadlock(
    crew: Crew, org: Org, database_url: str
) -> None:
    customers, rounds = 200, 40
    badge_ids = [await org.make_badge() for _ in range(rounds)]
    for number, badge_id in enumerate(badge_ids):
        # Process n takes all but the first n × 20 customers, odd ones in reverse order: all audiences
        # overlap, none are equal.
        jobs = [
            _job(
                org, badge_id, f"order-{number}-{place}", customers, first=1 + 20 * place, step=(-1) ** place
            )
            for place in range(len(crew))
        ]
        await _race(crew, jobs)
        held = await ledger.earned_badges(database_url, org, badge_id)
        assert _places(held) == _everybody(customers + 20 * (len(crew) - 1), 1)


async def _race(crew: Crew, jobs: list[EarnOnce]) -> list[Answer]:
    """Return the answers. Every process must get an outcome, without deadlocks or lost connections."""
    answers: list[Answer] = await asyncio.to_thread(crew.run, jobs)
    assert [answer.refusal for answer in answers] == [None] * len(jobs)
    assert [cause for answer in answers for cause in answer.retried] == []
    return answers


def _jobs(crew: Crew, org: Org, badge_id: str, name: str, customers: int) -> list[EarnOnce]:
    """Return jobs with the same customers for every process, each in its own order."""
    return [_job(org, badge_id, f"{name}-{place}", customers) for place in range(len(crew))]


def _job(
    org: Org,
    badge_id: str,
    request_id: str,
    customers: int,
    *,
    first: int = 1,
    step: int = 0,
    event_at: datetime | None = None,
) -> EarnOnce:
    """Return an earnBulk. With `step` 1 or -1 customers are ordered, otherwise shuffled by the request id."""
    audience = [CustomerId(customer) for customer in range(first, first + customers)][:: step or 1]
    if not step:
        random.Random(f"{SEED}-{request_id}").shuffle(audience)
    command = IssueCommand(
        request_id=request_id,
        badge_id=BadgeId(badge_id),
        customers=audience,
        event_at=event_at,
        owner_type=OwnerType.LOYALTY,
        reference_id=REFERENCE,
    )
    return EarnOnce(caller=org.caller, command=command)


def _outcomes(answers: list[Answer]) -> list[RequestOutcome]:
    return [answer.outcome for answer in answers if answer.outcome is not None]


def _winners(outcome: RequestOutcome) -> dict[int, str]:
    """Return the earned badge id of each customer who earned."""
    refused = {refusal.line for refusal in outcome.failures}
    return {
        customer: ids.earned_badge_id(outcome.request_key, line)
        for line, customer in enumerate(outcome.customer_ids)
        if line not in refused
    }


def _refused(outcome: RequestOutcome) -> dict[int, str | None]:
    """Return the conflicting earned badge id of each customer who got 1040."""
    assert {refusal.reason for refusal in outcome.failures} <= {FailureReason.ALREADY_HELD}
    return {outcome.customer_ids[refusal.line]: refusal.conflicting_id for refusal in outcome.failures}


def _places(held: list[ledger.Earned]) -> list[tuple[int, int]]:
    return [(earned.customer_id, earned.ordinal) for earned in held]


def _everybody(customers: int, times: int) -> list[tuple[int, int]]:
    return [(customer, ordinal) for customer in range(1, customers + 1) for ordinal in range(1, times + 1)]
