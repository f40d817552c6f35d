"""`cockade serve` as users run it: a process on a port, its workers and its database, and the commands beside it."""

from __future__ import annotations

import asyncio
import atexit
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from cockade import config
from cockade.http.urls import BASE_PATH
from cockade.storage.database import connect
from cockade.storage.embedded import EmbeddedServer, embedded_database
from tests.conftest import reachable
from tests.support import TRIGGER, badge_body, earn_bulk_body

READY_S_MAX = 60.0
STOP_S_MAX = 40.0
COMMAND_S_MAX = 90.0
POLL_S = 0.02
MIGRATION = {"X-CAP-BADGES-MIGRATION": "migration"}
_SHOWN = re.compile(r"^ +(username|secret|client key|client secret) +(\S+)$", re.MULTILINE)


class Service:
    """One `cockade serve`, which can be ended in any way and started again on the same port and data."""

    def __init__(
        self,
        home: Path,
        *,
        workers: int = 1,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        user: pwd.struct_passwd | None = None,
    ) -> None:
        self.home = home
        self.data_dir = home / "data"
        self.log_file = home / "service.log"
        self.port = free_port()
        self.scheme = "https" if "--tls-cert" in options else "http"
        self.verify: ssl.SSLContext | bool = False
        given = settings or {}
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("COCKADE_")
        }
        self.environment |= {"COCKADE_DATA_DIR": str(self.data_dir)}
        self.environment |= {f"COCKADE_{name}": value for name, value in given.items()}
        assert config.unknown(self.environment) == [], "the service ignores unknown settings"
        self.has_own_database = "DATABASE_URL" not in given
        self._words = ["serve", "--port", str(self.port), "--workers", str(workers), *options]
        self._user = user
        self._process: psutil.Popen | None = None
        self._family: set[psutil.Process] = set()

    # Starting and ending

    def start(self, *, wait: bool = True) -> None:
        """Start it and, if wanted, wait until it can serve."""
        as_user: dict[str, Any] = {}
        if self._user is not None:
            as_user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        with self.log_file.open("ab") as log, self._printed_file.open("wb") as printed:
            self._process = psutil.Popen(
                command(*self._words),
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=log,
                **as_user,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it can serve; fails with its log where it has ended instead."""
        deadline = time.monotonic() + READY_S_MAX
        while self.readiness() != 200:
            assert self.process.poll() is None, f"it has ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"it is not ready:\n{self.log()}"
            time.sleep(POLL_S)
        self._add_to_cache()

    def readiness(self) -> int | None:
        """Return the status of /readyz, or None without a response."""
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.origin}/readyz", verify=self.verify, timeout=10).status_code
        return None

    def wait_end(self) -> int:
        """The exit status, once it has ended by itself."""
        return self.process.wait(READY_S_MAX)

    def stop(self) -> int:
        """Ask it to end; answers its exit status."""
        self._add_to_cache()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S_MAX)

    def kill(self) -> None:
        """End the process that was started at once, and only that one."""
        self._add_to_cache()
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End everything that was ever started here and still runs."""
        self._add_to_cache()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with suppress(psutil.TimeoutExpired):
                self._process.wait(STOP_S_MAX)
        # A database server is asked to end, so that it leaves nothing behind; all others have had their chance.
        for process in self._family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGKILL)
        deadline = time.monotonic() + 10
        while any(map(_runs, self._family)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        for process in self._family:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    # The processes

    @property
    def process(self) -> psutil.Popen:
        """The one that was started."""
        assert self._process is not None
        return self._process

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return [child for child in self.process.children() if _answers(child)]

    @property
    def postmaster(self) -> psutil.Process:
        """The embedded database server's first process."""
        return next(child for child in self.process.children() if child.name() == "postgres")

    def await_gone(self, processes: Sequence[psutil.Process], s_max: float) -> float:
        """Wait until the processes have ended and return the seconds. Fails after `s_max`."""
        started = time.monotonic()
        while alive := [process for process in processes if _runs(process)]:
            assert time.monotonic() < started + s_max, alive
            time.sleep(POLL_S)
        return time.monotonic() - started

    def _add_to_cache(self) -> None:
        with suppress(psutil.NoSuchProcess):
            if self._process is not None:
                self._family |= {psutil.Process(self._process.pid), *self._process.children(recursive=True)}

    # What it says

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        """The database that it works on."""
        return self.environment.get("COCKADE_DATABASE_URL") or EmbeddedServer(self.data_dir).url

    @property
    def _printed_file(self) -> Path:
        return self.home / "printed"

    def log(self) -> str:
        """All that it has logged since it was first started."""
        return self.log_file.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Its structured log lines that are whole; the last may be being written."""
        return [msgspec.json.decode(line) for line in self.log().split("\n")[:-1] if line.startswith("{")]

    def printed(self) -> str:
        """Return its standard output since the last start."""
        return self._printed_file.read_text()

    def first_credential(self) -> dict[str, str]:
        """The credential that the first start on an empty database shows."""
        return dict(_SHOWN.findall(self.printed()))

    # Using it

    def client(self, username: str, secret: str) -> httpx.Client:
        """A client of the badges API."""
        return httpx.Client(
            base_url=self.origin + BASE_PATH, auth=(username, secret), timeout=60, verify=self.verify
        )

    def run(self, *words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """A cockade command beside it, on the same database."""
        result = subprocess.run(
            command(*words), cwd=self.home, env=self.environment, input=stdin,
            capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX,
        )  # fmt: skip
        assert not check or result.returncode == 0, result.stderr
        return result

    def cockade(self, *words: str, stdin: str = "") -> Any:
        """Run a command and return its JSON output."""
        return msgspec.json.decode(self.run(*words, "--json", stdin=stdin).stdout)

    def make_org(self, name: str, *options: str) -> dict[str, Any]:
        """An org's first credential, made on the command line."""
        org = self.cockade("org", "create", name, "--time-zone", "Europe/Berlin")
        return self.cockade("credential", "create", "--org", str(org["orgId"]), "--name", name, *options)


def _runs(process: psutil.Process) -> bool:
    """Whether the process runs. An ended one may stay listed until its parent collects it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(child: psutil.Process) -> bool:
    """Whether the process is an API worker: not the database server, the background worker or Python's
    resource tracker.
    """
    with suppress(psutil.NoSuchProcess):
        words = child.cmdline()
        others = (
            child.name() == "postgres"
            or "worker" in words
            or any("resource_tracker" in word for word in words)
        )
        return _runs(child) and not others
    return False


def command(*words: str) -> list[str]:
    """A cockade command as the operating system runs it."""
    return [sys.executable, "-m", "cockade", *words]


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def temporary_home() -> Generator[Path]:
    """A directory that the embedded server's user may enter; not pytest's, which is closed to others at each start."""
    home = _new_home()
    try:
        (home / "data").mkdir()
        # As it is, with its owner.
        subprocess.run(["cp", "-a", _new_cluster(), home / "data"], check=True)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _new_home() -> Path:
    return reachable(Path(tempfile.mkdtemp(prefix="cockade-test-")))


@cache
def _new_cluster() -> Path:
    """Return a new database cluster. It is copied, because creating one takes seconds."""
    home = _new_home()
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    with embedded_database(home):
        return EmbeddedServer(home).cluster


@contextmanager
def running(service: Service, *, start: bool = True) -> Generator[Service]:
    """The service, started; whatever is left of it ends with the block."""
    try:
        if start:
            service.start()
        yield service
    finally:
        service.close()


def make_badge(client: httpx.Client, *, claim: bool = True, **fields: Any) -> str:
    """A badge's id: live since yesterday, for a year, NEVER expiring when earned, claimed by Loyalty."""
    created = client.post("/badgeMeta", json=badge_body(**fields), headers=MIGRATION)
    assert created.status_code == 201, created.text
    badge_id = created.json()["data"]["id"]
    if claim:
        claimed = client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)
        assert claimed.status_code == 200, claimed.text
    return badge_id


def earn_bulk(client: httpx.Client, badge_id: str, customers: Sequence[int], **fields: Any) -> httpx.Response:
    """POST customer/earnBulk."""
    return client.post("/customer/earnBulk", json=earn_bulk_body(badge_id, list(customers), **fields))


def query(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a query on the database."""

    async def run() -> list[tuple[Any, ...]]:
        connection = await connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    return asyncio.run(run())
