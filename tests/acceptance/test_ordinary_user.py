"""cockade runs as an ordinary user, with its data in the user's home directory."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.service import Service, command, earn_bulk, make_badge, running

USER = "nobody"


def _ordinary_user(home: Path) -> pwd.struct_passwd | None:
    """Return an ordinary user if we are root, otherwise None."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        pytest.skip(f"we are root, and there is no user {USER}")
    os.chown(home, user.pw_uid, user.pw_gid)
    try:
        tried = subprocess.run(
            command("--version"), cwd=home, user=user.pw_uid, group=user.pw_gid, extra_groups=[],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except PermissionError:
        pytest.skip(f"we are root, and {USER} may not run {sys.executable}")
    if tried.returncode != 0:
        pytest.skip(f"we are root, and {USER} cannot run cockade here: {tried.stderr.strip()[-200:]}")
    return user


def test_ordinary_user_runs_it_in_the_home_directory(home: Path) -> None:
    service = Service(home, user=_ordinary_user(home))
    # Without COCKADE_DATA_DIR, the data is in the user's standard data directory.
    del service.environment["COCKADE_DATA_DIR"]
    service.environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "share")}
    with running(service):
        shown = service.first_credential()
        with service.client(shown["username"], shown["secret"]) as client:
            assert earn_bulk(client, make_badge(client), range(1, 101)).status_code == 200
        owners = {process.username() for process in (service.process, *service.workers, service.postmaster)}
        assert len(owners) == 1
        assert any(word.startswith(str(home)) for word in service.postmaster.cmdline())
        assert service.stop() == 0
