"""What the service is measured against: the limit, the echo, pgbench and the reference."""

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
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop
from msgspec import Struct

from bench import reference
from cockade.storage.database import connect
from cockade.storage.embedded import packaged_binaries  # pyright: ignore[reportPrivateUsage]
from cockade.storage.sql import load
from tests.acceptance.service import POLL_S, READY_S_MAX, STOP_S_MAX, free_port, query

SQL = load(__package__)
TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
WORKERS = 2
"""Of the service, and likewise of all that it is compared with."""
PGBENCH = Path(__file__).with_name("pgbench.sql")


class Server(Struct, frozen=True):
    """Something that answers HTTP."""

    port: int
    processes: list[int]
    """The processes that answer, by id."""
    authorization: str = ""
    database_url: str = ""


def copy_seconds(url: str, badge_id: str) -> float:
    """The limit: how long one connection takes to COPY the rows that a badge has into an empty ledger.

    In the batches in which they were written, each a transaction; the rows are ready before the clock starts.
    """
    return uvloop.run(_copy(url, badge_id))


async def _copy(url: str, badge_id: str) -> float:
    connection = await connect(url)
    try:
        await connection.execute(SQL["drop_yardstick"])
        await connection.execute(SQL["create_yardstick"])
        rows = await connection.fetch(SQL["list_batches"], badge_id)
        columns = list(rows[0].keys())
        batches = [list(map(tuple, batch)) for _, batch in groupby(rows, lambda row: row["request_key"])]
        started = time.perf_counter()
        for batch in batches:
            await connection.copy_records_to_table("yardstick", records=batch, columns=columns)
        return time.perf_counter() - started
    finally:
        await connection.close()


def pgbench_tps(url: str, clients: int, seconds: float) -> float:
    """Transactions a second of pgbench, each of which inserts one row into an empty ledger."""
    query(url, SQL["drop_yardstick"])
    query(url, SQL["create_yardstick"])
    options = ["-n", "-M", "prepared", "-c", clients, "-j", WORKERS, "-T", round(seconds), "-f", PGBENCH]
    ran = subprocess.run(
        [packaged_binaries() / "pgbench", *map(str, options), url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = TPS.search(ran.stdout)
    assert found, ran.stdout
    return float(found[1])


@contextmanager
def running_echo(home: Path) -> Generator[Server]:
    """The echo, until the block ends."""
    port = free_port()
    words = [sys.executable, "-m", "bench.echo", str(port), str(WORKERS)]
    with _running(words, port, {}, home / "echo.log") as processes:
        yield Server(port, processes)


@contextmanager
def running_reference(home: Path, url: str) -> Generator[Server]:
    """The reference, on a database of its own in the same server, until the block ends."""
    query(url, SQL["create_reference"])
    url = url.replace("/cockade?", "/reference?")
    port = free_port()
    words = [
        *(sys.executable, "-m", "uvicorn", "bench.reference:app", "--workers", WORKERS, "--port", port),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
    environment = {"REFERENCE_DATABASE_URL": url.replace("postgresql:", "postgresql+asyncpg:")}
    uvloop.run(_create_tables(environment["REFERENCE_DATABASE_URL"]))
    with _running(list(map(str, words)), port, environment, home / "reference.log") as processes:
        yield Server(port, processes, reference.AUTHORIZATION, url)


async def _create_tables(url: str) -> None:
    engine = reference.create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(reference.Base.metadata.create_all)
    await engine.dispose()


def make_reference_badge(server: Server) -> str:
    """A badge of the reference that is live and claimed by Loyalty."""
    badge_id, now = secrets.token_hex(12), datetime.now(UTC)
    lasts = timedelta(days=365)
    query(server.database_url, SQL["insert_reference_badge"], badge_id, now - lasts, now + lasts)
    return badge_id


@contextmanager
def _running(
    words: Sequence[str], port: int, environment: Mapping[str, str], log_file: Path
) -> Generator[list[int]]:
    """A server's process, once it answers; the block is given the processes that do."""
    with log_file.open("wb") as log:
        process = psutil.Popen(
            words, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _await_answer(process, port, log_file)
        yield [
            child.pid for child in process.children() if "resource_tracker" not in " ".join(child.cmdline())
        ]
    finally:
        _end(process)


def _await_answer(process: psutil.Popen, port: int, log_file: Path) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).raise_for_status()
            return
        time.sleep(POLL_S)
    raise RuntimeError(f"it does not answer:\n{log_file.read_text()}")


def _end(process: psutil.Popen) -> None:
    """End the process and those that it started."""
    family: list[Any] = [process, *process.children(recursive=True)] if process.poll() is None else []
    if family:
        process.terminate()
    _, left = psutil.wait_procs(family, STOP_S_MAX)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
