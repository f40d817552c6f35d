"""Those who change badges while others issue them, and note from when until when what held."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import asyncpg

from storm.callers import Line
from storm.diary import Answer, Badge, Cap, Diary, Fate, Pause
from storm.plan import TRIGGER

DOUBT_S = 20.0
"""A call of unknown outcome may still be under way for so long."""
WITNESS_S_MAX = 2.0
PAUSE_S = 0.3
ROWS = "select count(*) from earned_badge join badge using (badge_key) where badge_id = $1"


class Keeper:
    """Changes one badge, again and again."""

    def __init__(
        self, line: Line, diary: Diary, badge: Badge, kept: str, chance: random.Random, database_url: str
    ) -> None:
        self._line = line
        self._diary = diary
        self._badge = badge
        self._kept = kept
        self._chance = chance
        self._database_url = database_url
        self._doubtful_until = 0.0

    async def keep_until(self, deadline: float) -> None:
        """Change it until the deadline, and leave it so that it can be earned."""
        while time.monotonic() < deadline:
            match self._kept:
                case "switched off":
                    await self._switch()
                case "unclaimed":
                    await self._unclaim()
                case _:
                    await self._change_limit()
            await asyncio.sleep(self._chance.uniform(0.5, 3))

    async def _switch(self) -> None:
        path = f"/badgeMeta/{self._badge.badge_id}"
        await self._pause("switched off", ("PUT", f"{path}/deactivate", {}), ("PUT", f"{path}/activate", {}))

    async def _unclaim(self) -> None:
        path = f"/badgeMeta/{self._badge.badge_id}"
        await self._pause(
            "unclaimed", ("POST", f"{path}/unclaim", TRIGGER), ("POST", f"{path}/claim", TRIGGER)
        )

    async def _pause(self, why: str, begin: tuple[str, str, Any], end: tuple[str, str, Any]) -> None:
        begun = await self._insist(*begin)
        sound = begun.answered_at > self._doubtful_until
        first = await self._witness()
        await asyncio.sleep(self._chance.uniform(0.2, 1.5))
        last, ended_at = await self._witness(), time.time()
        await self._insist(*end, doubtful=True)
        self._diary.note(
            Pause(
                badge_id=self._badge.badge_id,
                why=why,
                begun_at=begun.answered_at,
                ended_at=ended_at,
                rows_at_first=first,
                rows_at_last=last,
                sound=sound,
            )
        )

    async def _change_limit(self) -> None:
        """Raise the limit, or lower it to less than was issued, and see it hold for a while."""
        issued = await self._witness()
        if issued is None:
            await asyncio.sleep(PAUSE_S)
            return
        limit = max(1, issued + self._chance.choice([-50, 0, 40, 80, 150]))
        body = {
            "id": self._badge.badge_id,
            "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": limit}],
        }
        sound = time.time() > self._doubtful_until
        await self._insist("PUT", "/badgeMeta", body, doubtful=True)
        first = await self._witness()
        await asyncio.sleep(self._chance.uniform(0.5, 2))
        last = await self._witness()
        self._diary.note(
            Cap(
                badge_id=self._badge.badge_id,
                limit=limit,
                rows_at_first=first,
                rows_at_last=last,
                sound=sound and self._doubtful_until < time.time(),
            )
        )

    async def _insist(self, method: str, path: str, body: Any, *, doubtful: bool = False) -> Answer:
        """Send it until it is answered with success; a doubtful one that was not answered may come through late."""
        while True:
            received = await self._line.send(method, path, json=body)
            if received is not None:
                answer, _ = received
                if answer.fate is Fate.ACKNOWLEDGED or answer.code == 737:
                    return answer
                if answer.fate is Fate.UNKNOWN and doubtful:
                    self._doubtful_until = time.time() + DOUBT_S
            await asyncio.sleep(PAUSE_S)

    async def _witness(self) -> int | None:
        """How many rows of the badge the ledger has; None where the database does not answer."""
        try:
            async with asyncio.timeout(WITNESS_S_MAX):
                connection = await asyncpg.connect(self._database_url)
                try:
                    return await connection.fetchval(ROWS, self._badge.badge_id)
                finally:
                    connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return None
