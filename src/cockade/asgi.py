"""What a worker process of `cockade serve` runs."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from cockade import compose, config, logs
from cockade.errors import SetupError
from cockade.http.app import create_app

if TYPE_CHECKING:
    from litestar.types import ASGIApp


def app() -> ASGIApp:
    """The app; the parent has put the database's URL into the environment."""
    settings = config.from_environment()
    if settings.database_url is None:
        raise SetupError("A worker is started by `cockade serve`, which names the database.")
    logs.configure(settings)
    _end_with_parent()
    return create_app(compose.services(settings.database_url, settings))


def _end_with_parent() -> None:
    """Leave at once when the parent is gone, so that its port is free for the next start.

    What a transaction in flight has not committed, the database rolls back.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
