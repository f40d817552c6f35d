"""`cockade worker`, and the background worker process that `cockade serve` starts"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import structlog
import typer
import uvloop

from cockade import app, config, logs, metrics
from cockade.cli.services import database_url, prepare
from cockade.config import Config
from cockade.process import exit_after
from cockade.worker import work

log = structlog.get_logger()

POLL_S = 0.2
"""Interval at which parent and worker check that the other is running."""
RESPAWN_S = 0.5
NICENESS = 10
"""The background worker has a lower CPU priority than the API workers, also while it starts."""
STOP_S_MAX = 10.0
"""Time for the worker to finish after SIGTERM. Then it is killed and open transactions are rolled back."""


def worker(
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            envvar=config.WORKER_METRICS_PORT,
            help="Expose Prometheus metrics on this port.",
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(envvar=config.WORKER_METRICS_HOST, help="Address for the metrics endpoint.")
    ] = "127.0.0.1",
    parent: Annotated[
        int | None, typer.Option(hidden=True, help="Exit when the process with this id exits.")
    ] = None,
) -> None:
    """Run background work (jobs, webhook delivery, cleanup) until SIGTERM or Ctrl-C.

    You can run several workers; they share the work. `cockade serve` starts one itself if it uses the
    embedded database, or if COCKADE_RUN_WORKER=on.
    """
    if parent is not None:
        _end_with(parent)
    settings = config.from_environment()
    logs.configure(settings)
    with ExitStack() as stack:
        if metrics_port is not None and parent is None:  # otherwise the service exposes them
            stack.enter_context(metrics.serve_metrics(metrics_host, metrics_port))
        url = stack.enter_context(database_url(settings))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        runner.run(_work(url, settings))


async def _work(url: str, settings: Config) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, stop.set)
    await prepare(url, settings)
    async with app.running_worker(url, settings) as services:
        log.info("working", action="worker.start")
        await work(services, stop)
        log.info("stopped", action="worker.stop")


def _end_with(parent: int) -> None:
    """Exit immediately when the parent exits. The database rolls back open transactions."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)

    exit_after(wait)


@contextmanager
def working_beside(settings: Config) -> Generator[None]:
    """Run a background worker process until the block ends, if configured. Restart it if it exits.

    The worker reads the configuration from the environment, including the database URL.
    """
    wanted = settings.run_worker == "on" or (settings.run_worker == "auto" and settings.database_url is None)
    if not wanted:
        yield
        return
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(stop,), name="keep-worker", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def _keep(stop: threading.Event) -> None:
    while not stop.is_set():
        process = subprocess.Popen(
            [sys.executable, "-m", "cockade", "worker", "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        while process.poll() is None and not stop.wait(POLL_S):
            pass
        if not stop.is_set():
            log.warning("the background worker exited unexpectedly; restarting it", action="serve.respawn")
            stop.wait(RESPAWN_S)
            continue
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
