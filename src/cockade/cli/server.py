"""Restart failed worker processes of `cockade serve`, unless too many fail in a short time."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, cast

import structlog
from granian.server.mp import MPServer

log = structlog.get_logger()

RESPAWN_S = 0.5
"""Delay before a worker is restarted, to avoid a busy loop if it cannot start."""
DEATHS_MAX = 10
"""The service exits after more than this number of failures per worker"""
DEATHS_WINDOW_S = 30.0
"""within this number of seconds, because workers apparently cannot run at all."""


class ResilientServer(MPServer):
    """granian exits if a worker fails twice within 5.5 s. This server tolerates a failure every few seconds."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._deaths: deque[float] = deque(maxlen=options["workers"] * DEATHS_MAX)

    def _respawn_workers(
        self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0
    ) -> None:
        """Restart workers. granian calls this without a delay when workers have exited.

        `workers` may be out of date: it may lack a worker that exited during the check, or name one that was
        replaced.
        """
        if delay:
            super()._respawn_workers(workers, spawn_target, target_loader, delay)
            return
        time.sleep(RESPAWN_S)
        dead = [number for number, worker in enumerate(cast("list[Any]", self.wrks)) if not worker.is_alive()]
        if self._are_too_many(len(dead), time.monotonic()):
            log.error("worker processes exit right after they start; stopping", action="serve.respawn")
            self.interrupt_children = dead  # sets the exit status to 1
            self.interrupt_signal = True
            self.main_loop_interrupt.set()
            return
        log.warning(
            "worker processes exited unexpectedly; restarting them", action="serve.respawn", workers=dead
        )
        super()._respawn_workers(dead, spawn_target, target_loader)
        # granian uses this record to detect a crash loop.
        self.respawned_wrks.clear()

    def _are_too_many(self, deaths: int, now: float) -> bool:
        """Record failures. Return whether there were too many in the time window."""
        self._deaths.extend([now] * deaths)
        return len(self._deaths) == self._deaths.maxlen and now - self._deaths[0] <= DEATHS_WINDOW_S
