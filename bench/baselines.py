"""The baselines: raw COPY, framework only, pgbench, and the reference implementation."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop
from msgspec import Struct

from cockade.storage.database import connect
from cockade.storage.embedded import packaged_binaries  # pyright: ignore[reportPrivateUsage]
from cockade.storage.sql import load
from tests.acceptance.service import POLL_S, READY_S_MAX, STOP_S_MAX, free_port, query

SQL = load(__package__)
TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
WORKERS = 2
"""Worker processes of the service and of each baseline."""
PGBENCH = Path(__file__).with_name("pgbench.sql")


class Server(Struct, frozen=True):
    """A running HTTP server."""

    port: int
    worker_pids: list[int]
    authorization: str = ""
    database_url: str = ""


def copy_seconds(url: str, badge_id: str) -> float:
    """Raw COPY: return the seconds that one connection takes to COPY a badge's rows into an empty table.

    The rows are read before the clock starts. They are copied in the batches of the service, each in a transaction.
    """
    return uvloop.run(_copy(url, badge_id))


async def _copy(url: str, badge_id: str) -> float:
    connection = await connect(url)
    try:
        await connection.execute(SQL["drop_baseline"])
        await connection.execute(SQL["create_baseline"])
        rows = await connection.fetch(SQL["list_batches"], badge_id)
        columns = list(rows[0].keys())
        batches = [list(map(tuple, batch)) for _, batch in groupby(rows, lambda row: row["request_key"])]
        started = time.perf_counter()
        for batch in batches:
            await connection.copy_records_to_table("baseline", records=batch, columns=columns)
        return time.perf_counter() - started
    finally:
        await connection.close()


def pgbench_tps(url: str, clients: int, seconds: float) -> float:
    """Return pgbench's transactions per second. Each transaction inserts one row; the table is empty at first."""
    query(url, SQL["drop_baseline"])
    query(url, SQL["create_baseline"])
    options = ["-n", "-M", "prepared", "-c", clients, "-j", WORKERS, "-T", round(seconds), "-f", PGBENCH]
    result = subprocess.run(
        [packaged_binaries() / "pgbench", *map(str, options), url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = TPS.search(result.stdout)
    assert found, result.stdout
    return float(found[1])


@contextmanager
def running_framework_only(home: Path) -> Generator[Server]:
    """Run the baseline "framework only" until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "bench.framework_only", str(port), str(WORKERS)]
    with _running(command, port, {}, home / "framework_only.log") as worker_pids:
        yield Server(port, worker_pids)


@contextmanager
def running_reference(home: Path, url: str) -> Generator[Server]:
    """Run the reference implementation until the block ends, with a new database on the server at `url`."""
    reference: Any = import_module("bench.reference")  # its packages are installed only by `make bench`

    query(url, SQL["create_reference_database"])
    url = url.replace("/cockade?", "/reference?")
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "bench.reference:app", "--workers", WORKERS, "--port", port),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
    variables = {"REFERENCE_DATABASE_URL": url.replace("postgresql:", "postgresql+asyncpg:")}
    uvloop.run(_create_tables(reference, variables["REFERENCE_DATABASE_URL"]))
    with _running(list(map(str, command)), port, variables, home / "reference.log") as worker_pids:
        yield Server(port, worker_pids, reference.AUTHORIZATION, url)


async def _create_tables(reference: Any, url: str) -> None:
    engine = reference.create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(reference.Base.metadata.create_all)
    await engine.dispose()


def make_reference_badge(server: Server) -> str:
    """Create a live badge, claimed by Loyalty, in the reference implementation. Return its id."""
    badge_id, now = secrets.token_hex(12), datetime.now(UTC)
    year = timedelta(days=365)
    query(server.database_url, SQL["insert_reference_badge"], badge_id, now - year, now + year)
    return badge_id


@contextmanager
def _running(
    command: Sequence[str], port: int, variables: Mapping[str, str], log_file: Path
) -> Generator[list[int]]:
    """Start a server, wait until it responds, and yield the process ids of its workers."""
    with log_file.open("wb") as log:
        process = psutil.Popen(
            command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait_ready(process, port, log_file)
        yield [
            child.pid for child in process.children() if "resource_tracker" not in " ".join(child.cmdline())
        ]
    finally:
        _terminate(process)


def _wait_ready(process: psutil.Popen, port: int, log_file: Path) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).raise_for_status()
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"the server on port {port} does not respond; its log:\n{log_file.read_text()}")


def _terminate(process: psutil.Popen) -> None:
    """Terminate the process and its children. Kill those that do not end in time."""
    family: list[Any] = [process, *process.children(recursive=True)] if process.poll() is None else []
    if family:
        process.terminate()
    _, left = psutil.wait_procs(family, STOP_S_MAX)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
