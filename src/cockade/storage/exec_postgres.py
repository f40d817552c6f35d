"""Start PostgreSQL: drop root, exit with the parent, and exec.

Run as `python -I -S exec_postgres.py PARENT_PID UID GID COMMAND …`. This is a separate process because the
parent has threads, and a threaded process can do almost nothing between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to UID:GID, request SIGINT (a fast, clean shutdown) when the parent dies, and exec COMMAND."""
    parent, uid, gid = (int(word) for word in sys.argv[1:4])
    command = sys.argv[4:]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
