"""After the storm: whatever is of unknown outcome is sent again, with its id, until it is known."""

from __future__ import annotations

import asyncio
import random
import time

from storm.callers import Order, Sender
from storm.cast import Cast
from storm.diary import Diary, Fate, Revocation

SETTLE_S_MAX = 120.0
TOLD_AGAIN = 300
"""So many requests that were acknowledged are asked for once more."""


async def settle(people: Cast, diary: Diary) -> None:
    """Send again what is unknown, and ask for it where it had been issued; ask for others too."""
    deadline = time.monotonic() + SETTLE_S_MAX
    for caller in people.callers:
        await caller.revoke(deadline)
    for order in [order for caller in people.callers for order in caller.unsettled.values()]:
        await _settle_order(people.calm, order, deadline)
    settled = [order for caller in people.callers for order in caller.settled]
    for order in random.Random(len(settled)).sample(settled, min(TOLD_AGAIN, len(settled))):
        await people.calm.ask(order, deadline)
    await _settle_revocations(people.calm, diary, deadline)


async def _settle_order(sender: Sender, order: Order, deadline: float) -> None:
    while (call := await sender.send(order, deadline)) is not None and time.monotonic() < deadline:
        if call.answer.fate in (Fate.UNKNOWN, Fate.UNAVAILABLE):
            await asyncio.sleep(1)
            continue
        if call.answer.code == 809:
            await sender.ask(order, deadline)
        return


async def _settle_revocations(sender: Sender, diary: Diary, deadline: float) -> None:
    fates: dict[tuple[str, int, str], set[Fate]] = {}
    for revocation in diary.of(Revocation):
        key = (revocation.badge_id, revocation.customer, revocation.earned_id)
        fates.setdefault(key, set()).add(revocation.answer.fate)
    for key, known in fates.items():
        if not known & {Fate.ACKNOWLEDGED, Fate.REFUSED} and Fate.UNKNOWN in known:
            await sender.revoke(*key, deadline)
