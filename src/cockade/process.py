"""Child processes that must not outlive their parent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def exit_after(wait_for_parent: Callable[[], object]) -> None:
    """Exit this process as soon as `wait_for_parent` returns; it is called in a thread.

    The database rolls back open transactions. For API workers this also frees the port for the next start.
    """

    def watch() -> None:
        wait_for_parent()
        os._exit(1)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()
