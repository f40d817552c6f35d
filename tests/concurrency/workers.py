"""Processes that run jobs at the same time, each with its own services."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Barrier
from typing import Any, Protocol, cast

from msgspec import Struct, structs
from prometheus_client import REGISTRY

from cockade import app, logs
from cockade.app import Services
from cockade.auth.model import Caller
from cockade.config import Config
from cockade.errors import RequestRejected
from cockade.ids import CustomerId
from cockade.metrics import retries
from cockade.request.model import IssueCommand, RequestOutcome

READY_S_MAX = 60
ANSWER_S_MAX = 120


class Job(Protocol):
    """A job for a process. Jobs and results are pickled."""

    async def run(self, services: Services) -> Any:
        """Run the job and return its result."""
        ...


class Answer(Struct, frozen=True, kw_only=True):
    """The result of one request, and what was retried."""

    outcome: RequestOutcome | None = None
    refusal: str | None = None
    """Name of the error that rejected the request."""
    issue_conflicts: float = 0
    """Increase of the process's conflict counter."""
    retried: list[str] = []
    """Causes of transaction retries."""


class EarnOnce(Struct, frozen=True, kw_only=True):
    """One request. Other errors than rejections are not caught: they end the process and fail the test."""

    caller: Caller
    command: IssueCommand

    async def run(self, services: Services) -> Answer:
        """Return an Answer."""
        issue_conflicts, retried = _collisions(), _retried()
        outcome = refusal = None
        try:
            outcome = await services.earning.earn_bulk(self.caller, self.command)
        except RequestRejected as error:
            refusal = type(error).__name__
        again = [cause for cause, count in _retried().items() if count > retried.get(cause, 0)]
        return Answer(
            outcome=outcome, refusal=refusal, issue_conflicts=_collisions() - issue_conflicts, retried=again
        )


class UndoOnce(Struct, frozen=True, kw_only=True):
    """Undo one request."""

    caller: Caller
    request_id: str

    async def run(self, services: Services) -> tuple[int, int]:
        """Return how many rows were revoked, and how many had been revoked before."""
        undone = await services.undo.undo(self.caller, self.request_id)
        return undone.revoked, undone.already_revoked


class EarnAll(Struct, frozen=True, kw_only=True):
    """Several requests, in the given order."""

    caller: Caller
    commands: list[IssueCommand]

    async def run(self, services: Services) -> int:
        """Return how many customers earned."""
        outcomes = [await services.earning.earn_bulk(self.caller, command) for command in self.commands]
        return sum(len(outcome.customer_ids) - len(outcome.failures) for outcome in outcomes)


class EarnUntilRefused(Struct, frozen=True, kw_only=True):
    """Requests for successive customers until one is rejected."""

    caller: Caller
    command: IssueCommand
    """The first request. Later ones shift its customers and number its request id."""

    async def run(self, services: Services) -> tuple[int, str]:
        """Return how many customers earned, and the name of the rejection."""
        earned, size = 0, len(self.command.customers)
        for number in range(100_000):
            command = structs.replace(
                self.command,
                request_id=f"{self.command.request_id}-{number}",
                customers=[CustomerId(customer + number * size) for customer in self.command.customers],
            )
            try:
                outcome = await services.earning.earn_bulk(self.caller, command)
            except RequestRejected as error:
                return earned, type(error).__name__
            earned += len(outcome.customer_ids) - len(outcome.failures)
        raise AssertionError("no request was rejected")


class Crew:
    """Processes that run any number of rounds."""

    def __init__(self, url: str, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        # Keep a reference: otherwise it is destroyed before the processes have opened it.
        self._barrier = context.Barrier(size)
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        for _ in range(size):
            ours, theirs = cast("tuple[Connection, Connection]", context.Pipe())
            process = context.Process(target=work, args=(url, self._barrier, theirs), daemon=True)
            process.start()
            theirs.close()  # so that their exit is visible as the end of the pipe
            self._pipes.append(ours)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._processes)

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """Run one job per process, all at the same time, and return their results in that order."""
        for pipe, job in zip(self._pipes, jobs, strict=True):
            pipe.send(job)
        return [_receive(pipe) for pipe in self._pipes]

    def end(self) -> None:
        """Stop the processes, gracefully first."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def work(url: str, barrier: Barrier, jobs: Connection) -> None:
    """The main loop of a process."""
    logs.configure(Config(log_level="error"))
    asyncio.run(_work(url, barrier, jobs))


async def _work(url: str, barrier: Barrier, jobs: Connection) -> None:
    async with app.running_services(url, Config(pool_size=2)) as services:
        await services.auth.list_orgs()  # connect before the first race, not during it
        while True:
            try:
                job: Job = jobs.recv()
            except EOFError:
                return
            barrier.wait(READY_S_MAX)
            jobs.send(await job.run(services))


def _receive(pipe: Connection) -> Any:
    if not pipe.poll(ANSWER_S_MAX):
        raise TimeoutError("a process of the race does not answer")
    return pipe.recv()


def _collisions() -> float:
    return REGISTRY.get_sample_value("cockade_issue_conflicts_total") or 0


def _retried() -> dict[str, float]:
    return {
        sample.labels["cause"]: sample.value
        for family in retries.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
