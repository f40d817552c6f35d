"""The worker processes of `cockade serve`: one that dies is replaced, however often, unless they cannot live at all."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, cast

import structlog
from granian.server.mp import MPServer

log = structlog.get_logger()

RESPAWN_S = 0.5
"""The pause before a worker is replaced, so that one that cannot start does not keep a core busy."""
DEATHS_MAX = 10
"""The service ends where more workers than this, for each that it has, die"""
DEATHS_WINDOW_S = 30.0
"""within so many seconds: then no worker can live here, and whoever started the service has to know."""


class ResilientServer(MPServer):
    """granian's server ends as soon as one worker dies twice within 5.5 s; this one bears a kill every few seconds."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._deaths: deque[float] = deque(maxlen=options["workers"] * DEATHS_MAX)

    def _respawn_workers(
        self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0
    ) -> None:
        """Called by the server's loop, without a delay where workers have died.

        `workers` may then lack one that died while the loop was looking, or name one that was replaced already.
        """
        if delay:
            super()._respawn_workers(workers, spawn_target, target_loader, delay)
            return
        time.sleep(RESPAWN_S)
        dead = [number for number, worker in enumerate(cast("list[Any]", self.wrks)) if not worker.is_alive()]
        if self._are_too_many(len(dead), time.monotonic()):
            log.error("workers die as soon as they are started", action="serve.respawn")
            self.interrupt_children = dead  # makes the exit status 1
            self.interrupt_signal = True
            self.main_loop_interrupt.set()
            return
        log.warning("a worker died and is replaced", action="serve.respawn", workers=dead)
        super()._respawn_workers(dead, spawn_target, target_loader)
        # By these it would call it a crash loop.
        self.respawned_wrks.clear()

    def _are_too_many(self, deaths: int, now: float) -> bool:
        """Whether with these there have been too many deaths lately."""
        self._deaths.extend([now] * deaths)
        return len(self._deaths) == self._deaths.maxlen and now - self._deaths[0] <= DEATHS_WINDOW_S
