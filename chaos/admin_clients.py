"""Clients that change badges while others issue them, and record the interval in which each change was in effect."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import asyncpg

from chaos.clients import ApiClient
from chaos.history import Badge, History, InactiveInterval, InactiveState, LimitInterval, Outcome, Response
from chaos.scenario import TRIGGER, AdminAction

LATE_EFFECT_S = 20.0
"""Time after which a request of unknown outcome can no longer take effect."""
COUNT_TIMEOUT_S = 2.0
RETRY_DELAY_S = 0.3
NO_ACTIVE_CLAIM = 737
"""Error code of an unclaim without an active claim, for example of a retry after a lost response."""
COUNT_ROWS = "select count(*) from earned_badge join badge using (badge_key) where badge_id = $1"


class AdminClient:
    """Changes one badge repeatedly."""

    def __init__(
        self,
        api: ApiClient,
        history: History,
        badge: Badge,
        action: AdminAction,
        rng: random.Random,
        database_url: str,
    ) -> None:
        self._api = api
        self._history = history
        self._badge = badge
        self._action = action
        self._rng = rng
        self._database_url = database_url
        self._inconclusive_until = 0.0
        """Until this time, a request of unknown outcome may still change the badge."""

    async def run_until(self, deadline: float) -> None:
        """Change the badge until the deadline. Afterwards, it can be earned."""
        path = f"/badgeMeta/{self._badge.badge_id}"
        while time.monotonic() < deadline:
            match self._action:
                case AdminAction.DEACTIVATE:
                    await self._make_inactive(
                        "deactivated", ("PUT", f"{path}/deactivate", {}), ("PUT", f"{path}/activate", {})
                    )
                case AdminAction.UNCLAIM:
                    await self._make_inactive(
                        "unclaimed", ("POST", f"{path}/unclaim", TRIGGER), ("POST", f"{path}/claim", TRIGGER)
                    )
                case AdminAction.CHANGE_LIMIT:
                    await self._change_limit()
            await asyncio.sleep(self._rng.uniform(0.5, 3))

    async def _make_inactive(
        self, state: InactiveState, start: tuple[str, str, Any], end: tuple[str, str, Any]
    ) -> None:
        """Make the badge inactive with the request `start`, and active with the request `end`."""
        started = await self._send_until_success(*start)
        is_conclusive = started.received_at > self._inconclusive_until
        rows_at_start = await self._count_rows()
        await asyncio.sleep(self._rng.uniform(0.2, 1.5))
        rows_at_end, ended_at = await self._count_rows(), time.time()
        await self._send_until_success(*end, can_end_later_interval=True)
        self._history.append(
            InactiveInterval(
                badge_id=self._badge.badge_id,
                state=state,
                started_at=started.received_at,
                ended_at=ended_at,
                rows_at_start=rows_at_start,
                rows_at_end=rows_at_end,
                is_conclusive=is_conclusive,
            )
        )

    async def _change_limit(self) -> None:
        """Set the limit above or below the number of rows, and count the rows again after a while."""
        issued = await self._count_rows()
        if issued is None:
            await asyncio.sleep(RETRY_DELAY_S)
            return
        limit = max(1, issued + self._rng.choice([-50, 0, 40, 80, 150]))
        body = {
            "id": self._badge.badge_id,
            "badgeConstraints": [{"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": limit}],
        }
        is_conclusive = time.time() > self._inconclusive_until
        await self._send_until_success("PUT", "/badgeMeta", body, can_end_later_interval=True)
        rows_at_start = await self._count_rows()
        await asyncio.sleep(self._rng.uniform(0.5, 2))
        rows_at_end = await self._count_rows()
        self._history.append(
            LimitInterval(
                badge_id=self._badge.badge_id,
                limit=limit,
                rows_at_start=rows_at_start,
                rows_at_end=rows_at_end,
                is_conclusive=is_conclusive and self._inconclusive_until < time.time(),
            )
        )

    async def _send_until_success(
        self, method: str, path: str, body: Any, *, can_end_later_interval: bool = False
    ) -> Response:
        """Send the request until it succeeds.

        An attempt of unknown outcome may take effect late. If that could end an interval that starts
        later, intervals are inconclusive for a while.
        """
        while True:
            received = await self._api.send(method, path, json=body)
            if received is not None:
                response, _ = received
                if response.outcome is Outcome.ACKNOWLEDGED or response.error_code == NO_ACTIVE_CLAIM:
                    return response
                if response.outcome is Outcome.UNKNOWN and can_end_later_interval:
                    self._inconclusive_until = time.time() + LATE_EFFECT_S
            await asyncio.sleep(RETRY_DELAY_S)

    async def _count_rows(self) -> int | None:
        """Return the number of ledger rows of the badge, or None if the database does not respond."""
        try:
            async with asyncio.timeout(COUNT_TIMEOUT_S):
                connection = await asyncpg.connect(self._database_url)
                try:
                    return await connection.fetchval(COUNT_ROWS, self._badge.badge_id)
                finally:
                    connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return None
