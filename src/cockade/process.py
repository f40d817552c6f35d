"""Child processes that must not outlive their parent."""

from __future__ import annotations

import os
import threading
import time

POLL_S = 0.2


def exit_with_parent(parent_pid: int) -> None:
    """Exit this process, from a thread, as soon as the parent is gone.

    The database rolls back open transactions. For API workers this also frees the port for the next start.
    """

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(POLL_S)
        os._exit(1)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()
