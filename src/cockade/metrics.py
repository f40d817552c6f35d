"""What is counted for Prometheus, and how all worker processes of a service are read as one.

Each worker writes its numbers to files of its own in a directory that all of them know from the environment, and
whichever is asked adds them up. Without that directory a process tells of itself alone. Counting is on the path of every
call, and a single one costs up to two microseconds: it is done some ten times per request, and never per customer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from cockade.errors import SetupError

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that tells the library where; it is read when the library is imported."""
DIRECTORIES = "cockade-serve-"
"""How the directories of services begin, among all that is temporary."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""
UNKNOWN_OPERATION = "other"
"""The operation of a request that no operation of the API answered."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
EARNED = "earned"
"""The outcome of a customer who was not refused."""

_requests = Histogram(
    "cockade_request_duration_seconds",
    "Requests from their first byte to the last of their answers, by operation and status",
    ["operation", "status"],
    buckets=SECONDS,
)
_errors = Counter(
    "cockade_request_errors", "Error codes that whole requests were answered", ["operation", "code"]
)
_issuances = Counter(
    "cockade_issuances",
    "Customers decided, by kind of request and outcome: earned, or the code of the refusal",
    ["kind", "outcome"],
)
_transactions = Histogram(
    "cockade_transaction_duration_seconds",
    "Transactions from BEGIN to COMMIT or ROLLBACK, by name",
    ["name"],
    buckets=SECONDS,
)
retries = Counter(
    "cockade_transaction_retries", "Transactions run again, by name and cause", ["name", "cause"]
)
issue_conflicts = Counter(
    "cockade_earning_collisions", "Requests decided again because another one met their customers"
)
_proofs = Counter(
    "cockade_credential_cache",
    "Credentials that were verified within the last minute (hit), and those that had to be (miss)",
    ["result"],
)
_deliveries = Counter(
    "cockade_webhook_deliveries", "Events sent to webhooks: delivered, failed, or gone (410)", ["outcome"]
)
webhook_backlog = Gauge(
    "cockade_webhook_backlog",
    "Requests and revocations that active webhooks are still to be told of, each for every one of them",
    multiprocess_mode="livemostrecent",
)
webhooks_failing = Gauge(
    "cockade_webhooks_failing",
    "Active webhooks whose next event could not be delivered",
    multiprocess_mode="livemostrecent",
)
pool_size = Gauge("cockade_pool_size", "Connections that the pools may open", multiprocess_mode="livesum")
pool_in_use = Gauge(
    "cockade_pool_in_use", "Connections that are in a transaction", multiprocess_mode="livesum"
)
pool_waiting = Gauge(
    "cockade_pool_waiting", "Transactions that wait for a connection", multiprocess_mode="livesum"
)

# Looking a series up by its labels costs more than counting in it; all label values are of a few.
_request = cache(_requests.labels)
_issuance = cache(_issuances.labels)
_transaction = cache(_transactions.labels)
_proof = cache(_proofs.labels)
_delivery = cache(_deliveries.labels)


def count_request(operation: str | None, status: int, duration_s: float, codes: list[int] | None) -> None:
    """A request was answered; `status` is 0 where it was not, as the caller had gone."""
    name = operation or UNKNOWN_OPERATION
    _request(name, status).observe(duration_s)
    for code in codes or ():
        _errors.labels(name, code).inc()


def count_issuances(kind: str, earned: int, refused: Mapping[int, int]) -> None:
    """So many customers earned, and so many were refused by each code."""
    if earned:
        _issuance(kind, EARNED).inc(earned)
    for code, count in refused.items():
        if count:
            _issuance(kind, code).inc(count)


def count_transaction(name: str, duration_s: float) -> None:
    """A transaction has ended, one way or the other."""
    _transaction(name).observe(duration_s)


def count_credential_check(*, is_known: bool) -> None:
    """A credential was presented, which this process knew already or did not."""
    _proof("hit" if is_known else "miss").inc()


def count_delivery(outcome: str) -> None:
    """An event was sent to a webhook, and taken or not."""
    _delivery(outcome).inc()


@contextmanager
def shared_directory() -> Generator[None]:
    """A new and empty place for the numbers of the processes that are started within the block.

    It is locked for so long; those that nobody holds were left by services that were killed, and are taken away.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{DIRECTORIES}*"):
        with suppress(OSError):  # somebody else's
            _remove_unlocked(left)
    directory, held = _create_locked()
    os.environ[DIRECTORY] = directory
    try:
        yield
    finally:
        del os.environ[DIRECTORY]
        shutil.rmtree(directory, ignore_errors=True)
        os.close(held)


def _create_locked() -> tuple[str, int]:
    while True:
        directory = tempfile.mkdtemp(prefix=DIRECTORIES)
        with suppress(OSError):
            held = _hold(directory)
            if os.path.exists(directory):
                return directory, held
            os.close(held)  # whoever starts just now came between, and took it for one that was left


def _hold(directory: str | Path) -> int:
    """Lock it until the file that is answered is closed, at the latest by the end of this process. Raises OSError."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _remove_unlocked(directory: Path) -> None:
    held = _hold(directory)
    shutil.rmtree(directory, ignore_errors=True)
    os.close(held)


@contextmanager
def serve_metrics(host: str, port: int) -> Generator[None]:
    """For the time of the block this process tells its own numbers on that port, on any path. Raises SetupError."""
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise SetupError(f"Cannot tell numbers on {host}:{port}: {error.strerror}.") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def exposition() -> bytes:
    """All numbers of the service, in Prometheus's text format. Reads files: not for the event loop."""
    directory = os.environ.get(DIRECTORY)
    if directory is None:
        return generate_latest(REGISTRY)
    _remove_gauges_of_dead_workers(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    return generate_latest(registry)


def _remove_gauges_of_dead_workers(directory: Path) -> None:
    """What a worker had in use is free once it is gone; what it counted stays counted."""
    for file in directory.glob("gauge_live*_*.db"):
        if not psutil.pid_exists(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)
