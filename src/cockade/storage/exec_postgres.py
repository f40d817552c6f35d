"""Become PostgreSQL: give up root, tie our life to the parent's, and exec.

Run as `python -I -S postmaster.py PARENT_PID UID GID COMMAND …`. A process of its own does this because the parent has
threads, and between fork and exec a threaded process may run next to nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Drop to UID:GID, ask for SIGINT (a fast, clean shutdown) when the parent dies, exec COMMAND."""
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
