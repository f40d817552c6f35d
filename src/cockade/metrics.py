"""Metrics for Prometheus, aggregated over all worker processes of a service.

Each process writes its values to files in a shared directory; any process can read and add them up. Without
that directory a process exposes its own values. Counting takes up to two microseconds, so it is done about
ten times per request and never per customer.
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
"""Environment variable with the directory. The library reads it when it is imported."""
DIRECTORIES = "cockade-serve-"
"""Prefix of the directories in the temporary directory."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus version reads."""
UNKNOWN_OPERATION = "other"
"""Operation of requests that match no operation of the API."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
EARNED = "earned"
"""Outcome of customers who earned."""

_requests = Histogram(
    "cockade_request_duration_seconds",
    "Duration of requests, from the first byte received to the last byte sent",
    ["operation", "status"],
    buckets=SECONDS,
)
_errors = Counter("cockade_request_errors", "Error codes of rejected requests", ["operation", "code"])
_issuances = Counter(
    "cockade_issuances",
    "Customers decided, by kind of request and outcome: earned, or the error code",
    ["kind", "outcome"],
)
_transactions = Histogram(
    "cockade_transaction_duration_seconds",
    "Duration of transactions from BEGIN to COMMIT or ROLLBACK",
    ["name"],
    buckets=SECONDS,
)
retries = Counter("cockade_transaction_retries", "Transaction retries", ["name", "cause"])
issue_conflicts = Counter(
    "cockade_issue_conflicts", "Requests decided again because of a concurrent request for the same customers"
)
_proofs = Counter(
    "cockade_credential_cache",
    "Credential checks answered from the cache (hit) or computed (miss)",
    ["result"],
)
_deliveries = Counter(
    "cockade_webhook_deliveries", "Webhook deliveries: delivered, failed, or gone (410)", ["outcome"]
)
webhook_backlog = Gauge(
    "cockade_webhook_backlog",
    "Outbox rows not yet delivered, summed over active webhooks",
    multiprocess_mode="livemostrecent",
)
webhooks_failing = Gauge(
    "cockade_webhooks_failing",
    "Active webhooks whose next event could not be delivered",
    multiprocess_mode="livemostrecent",
)
pool_size = Gauge("cockade_pool_size", "Maximum connections of the pools", multiprocess_mode="livesum")
pool_in_use = Gauge("cockade_pool_in_use", "Connections in a transaction", multiprocess_mode="livesum")
pool_waiting = Gauge(
    "cockade_pool_waiting", "Transactions that wait for a connection", multiprocess_mode="livesum"
)

# Finding a child by its labels costs more than counting in it. There are few label values.
_request = cache(_requests.labels)
_issuance = cache(_issuances.labels)
_transaction = cache(_transactions.labels)
_proof = cache(_proofs.labels)
_delivery = cache(_deliveries.labels)


def count_request(operation: str | None, status: int, duration_s: float, codes: list[int] | None) -> None:
    """Count a request. `status` is 0 if the client disconnected before the response."""
    name = operation or UNKNOWN_OPERATION
    _request(name, status).observe(duration_s)
    for code in codes or ():
        _errors.labels(name, code).inc()


def count_issuances(kind: str, earned: int, refused: Mapping[int, int]) -> None:
    """Count customers who earned, and failed customers by error code."""
    if earned:
        _issuance(kind, EARNED).inc(earned)
    for code, count in refused.items():
        if count:
            _issuance(kind, code).inc(count)


def count_transaction(name: str, duration_s: float) -> None:
    """Count a transaction that was committed or rolled back."""
    _transaction(name).observe(duration_s)


def count_credential_check(*, is_known: bool) -> None:
    """Count a credential check."""
    _proof("hit" if is_known else "miss").inc()


def count_delivery(outcome: str) -> None:
    """Count a delivery attempt."""
    _delivery(outcome).inc()


@contextmanager
def shared_directory() -> Generator[None]:
    """Create an empty directory for the processes that are started within the block.

    It is locked until the block ends. Unlocked directories belong to killed services and are deleted.
    """
    for leftover in Path(tempfile.gettempdir()).glob(f"{DIRECTORIES}*"):
        with suppress(OSError):  # belongs to another user
            _remove_unlocked(leftover)
    directory, handle = _create_locked()
    os.environ[DIRECTORY] = directory
    try:
        yield
    finally:
        del os.environ[DIRECTORY]
        shutil.rmtree(directory, ignore_errors=True)
        os.close(handle)


def _create_locked() -> tuple[str, int]:
    while True:
        directory = tempfile.mkdtemp(prefix=DIRECTORIES)
        with suppress(OSError):
            handle = _lock(directory)
            if os.path.exists(directory):
                return directory, handle
            os.close(handle)  # another service deleted it before it was locked


def _lock(directory: str | Path) -> int:
    """Lock the directory until the returned file is closed, at the latest when this process ends. Raises
    OSError.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_unlocked(directory: Path) -> None:
    handle = _lock(directory)
    shutil.rmtree(directory, ignore_errors=True)
    os.close(handle)


@contextmanager
def serve_metrics(host: str, port: int) -> Generator[None]:
    """Expose the metrics of this process on the port, on any path, until the block ends. Raises SetupError."""
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise SetupError(f"Cannot expose metrics on {host}:{port}: {error.strerror}.") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def exposition() -> bytes:
    """Return all metrics in Prometheus text format. Reads files, so do not call it on the event loop."""
    directory = os.environ.get(DIRECTORY)
    if directory is None:
        return generate_latest(REGISTRY)
    _remove_gauges_of_dead_workers(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    return generate_latest(registry)


def _remove_gauges_of_dead_workers(directory: Path) -> None:
    """Gauges of dead processes are removed; counters stay."""
    for file in directory.glob("gauge_live*_*.db"):
        if not psutil.pid_exists(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)
