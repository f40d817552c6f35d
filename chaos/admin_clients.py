"""Clients that change badges while others issue them, and record from when until when each change was in
effect.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import asyncpg

from chaos.clients import ApiClient
from chaos.history import Answer, Badge, History, InactiveInterval, LimitInterval, Outcome
from chaos.scenario import TRIGGER

DOUBT_S = 20.0
"""Seconds for which a request of unknown outcome may still be running."""
WITNESS_S_MAX = 2.0
PAUSE_S = 0.3
ROWS = "select count(*) from earned_badge join badge using (badge_key) where badge_id = $1"


class AdminClient:
    """Changes one badge repeatedly."""

    def __init__(
        self,
        line: ApiClient,
        history: History,
        badge: Badge,
        kept: str,
        chance: random.Random,
        database_url: str,
    ) -> None:
        self._line = line
        self._diary = history
        self._badge = badge
        self._kept = kept
        self._chance = chance
        self._database_url = database_url
        self._doubtful_until = 0.0

    async def change_until(self, deadline: float) -> None:
        """Change the badge until the deadline, then make it available again."""
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
        begun = await self._send_until_success(*begin)
        sound = begun.answered_at > self._doubtful_until
        first = await self._count_rows()
        await asyncio.sleep(self._chance.uniform(0.2, 1.5))
        last, ended_at = await self._count_rows(), time.time()
        await self._send_until_success(*end, doubtful=True)
        self._diary.note(
            InactiveInterval(
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
        """Set the limit above or below the number of issued badges, and check that it holds for a while."""
        issued = await self._count_rows()
        if issued is None:
            await asyncio.sleep(PAUSE_S)
            return
        limit = max(1, issued + self._chance.choice([-50, 0, 40, 80, 150]))
        body = {
            "id": self._badge.badge_id,
            "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": limit}],
        }
        sound = time.time() > self._doubtful_until
        await self._send_until_success("PUT", "/badgeMeta", body, doubtful=True)
        first = await self._count_rows()
        await asyncio.sleep(self._chance.uniform(0.5, 2))
        last = await self._count_rows()
        self._diary.note(
            LimitInterval(
                badge_id=self._badge.badge_id,
                limit=limit,
                rows_at_first=first,
                rows_at_last=last,
                sound=sound and self._doubtful_until < time.time(),
            )
        )

    async def _send_until_success(
        self, method: str, path: str, body: Any, *, doubtful: bool = False
    ) -> Answer:
        """Send the request until it succeeds. An unacknowledged one may still take effect later, which is
        recorded as doubtful.
        """
        while True:
            received = await self._line.send(method, path, json=body)
            if received is not None:
                answer, _ = received
                if answer.outcome is Outcome.ACKNOWLEDGED or answer.code == 737:
                    return answer
                if answer.outcome is Outcome.UNKNOWN and doubtful:
                    self._doubtful_until = time.time() + DOUBT_S
            await asyncio.sleep(PAUSE_S)

    async def _count_rows(self) -> int | None:
        """Return the number of ledger rows of the badge, or None if the database does not respond."""
        try:
            async with asyncio.timeout(WITNESS_S_MAX):
                connection = await asyncpg.connect(self._database_url)
                try:
                    return await connection.fetchval(ROWS, self._badge.badge_id)
                finally:
                    connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return None
