"""Resolve unknown outcomes after the faults have ended."""

from __future__ import annotations

import asyncio
import random
import time

from chaos.clients import IssueRequest, RecordingClient
from chaos.history import History, Outcome, Revocation
from chaos.setup import Clients

TIMEOUT_S = 120.0
RETRY_DELAY_S = 1
REQUEST_ID_USED = 809
LOOKED_UP_MAX = 300
"""Number of acknowledged requests that are looked up again."""


async def resolve_unknown(clients: Clients, history: History) -> None:
    """Retry everything of unknown outcome until the outcome is known.

    Also send one more revocation per client, and look up a sample of the acknowledged requests, so that the
    checker can compare both results.
    """
    deadline = time.monotonic() + TIMEOUT_S
    for client in clients.load:
        await client.revoke(deadline)
    for request in [request for client in clients.load for request in client.unresolved.values()]:
        await _resolve_request(clients.direct, request, deadline)
    acknowledged = [request for client in clients.load for request in client.acknowledged]
    sample = random.Random(len(acknowledged)).sample(acknowledged, min(LOOKED_UP_MAX, len(acknowledged)))
    for request in sample:
        await clients.direct.look_up(request, deadline)
    await _resolve_revocations(clients.direct, history, deadline)


async def _resolve_request(client: RecordingClient, request: IssueRequest, deadline: float) -> None:
    """Send the request until it is acknowledged or rejected. If its id is used already, look up its result."""
    while (attempt := await client.issue(request, deadline)) is not None and time.monotonic() < deadline:
        if attempt.response.outcome in (Outcome.UNKNOWN, Outcome.UNAVAILABLE):
            await asyncio.sleep(RETRY_DELAY_S)
            continue
        if attempt.response.error_code == REQUEST_ID_USED:
            await client.look_up(request, deadline)
        return


async def _resolve_revocations(client: RecordingClient, history: History, deadline: float) -> None:
    """Send each revocation of unknown outcome once more."""
    outcomes: dict[tuple[str, int, str], set[Outcome]] = {}
    for revocation in history.of_type(Revocation):
        key = (revocation.badge_id, revocation.customer_id, revocation.earned_badge_id)
        outcomes.setdefault(key, set()).add(revocation.response.outcome)
    for key, known in outcomes.items():
        if not known & {Outcome.ACKNOWLEDGED, Outcome.REJECTED} and Outcome.UNKNOWN in known:
            await client.revoke(*key, deadline)
