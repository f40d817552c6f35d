"""After a run: send every request of unknown outcome again until its outcome is known."""

from __future__ import annotations

import asyncio
import random
import time

from chaos.clients import Order, Sender
from chaos.history import History, Outcome, Revocation
from chaos.setup import Participants

RESOLVE_S_MAX = 120.0
LOOKED_UP_AGAIN = 300
"""Number of acknowledged requests that are looked up again."""


async def resolve_unknown(people: Participants, history: History) -> None:
    """Retry requests of unknown outcome, and look up requests that were issued."""
    deadline = time.monotonic() + RESOLVE_S_MAX
    for caller in people.callers:
        await caller.revoke(deadline)
    for order in [order for caller in people.callers for order in caller.unresolved.values()]:
        await _resolve_order(people.direct_sender, order, deadline)
    resolved = [order for caller in people.callers for order in caller.resolved]
    for order in random.Random(len(resolved)).sample(resolved, min(LOOKED_UP_AGAIN, len(resolved))):
        await people.direct_sender.look_up(order, deadline)
    await _resolve_revocations(people.direct_sender, history, deadline)


async def _resolve_order(sender: Sender, order: Order, deadline: float) -> None:
    while (call := await sender.send(order, deadline)) is not None and time.monotonic() < deadline:
        if call.answer.outcome in (Outcome.UNKNOWN, Outcome.UNAVAILABLE):
            await asyncio.sleep(1)
            continue
        if call.answer.code == 809:
            await sender.look_up(order, deadline)
        return


async def _resolve_revocations(sender: Sender, history: History, deadline: float) -> None:
    outcomes: dict[tuple[str, int, str], set[Outcome]] = {}
    for revocation in history.of(Revocation):
        key = (revocation.badge_id, revocation.customer, revocation.earned_id)
        outcomes.setdefault(key, set()).add(revocation.answer.outcome)
    for key, known in outcomes.items():
        if not known & {Outcome.ACKNOWLEDGED, Outcome.REFUSED} and Outcome.UNKNOWN in known:
            await sender.revoke(*key, deadline)
