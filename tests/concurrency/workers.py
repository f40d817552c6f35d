"""Processes that issue at the same moment, each with services of its own; what they do is sent to them."""

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
    """What a process is to do; it travels there by pickle, as its answer does on the way back."""

    async def run(self, services: Services) -> Any:
        """Do it and answer."""
        ...


class Answer(Struct, frozen=True, kw_only=True):
    """What one call came to, and what had to be done again on the way."""

    outcome: RequestOutcome | None = None
    refusal: str | None = None
    """The name of the error that refused the whole request."""
    issue_conflicts: float = 0
    """By how much the process's counter of collisions went up."""
    retried: list[str] = []
    """The causes for which a transaction ran again."""


class EarnOnce(Struct, frozen=True, kw_only=True):
    """One call. Whatever is no refusal by the rules is not caught: it ends the process, and so the test."""

    caller: Caller
    command: IssueCommand

    async def run(self, services: Services) -> Answer:
        """Answers an Answer."""
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
        """Answers how many it revoked, and how many had been revoked before."""
        undone = await services.undo.undo(self.caller, self.request_id)
        return undone.revoked, undone.already_revoked


class EarnAll(Struct, frozen=True, kw_only=True):
    """Call after call, in the order given."""

    caller: Caller
    commands: list[IssueCommand]

    async def run(self, services: Services) -> int:
        """Answers how many customers earned."""
        outcomes = [await services.earning.earn_bulk(self.caller, command) for command in self.commands]
        return sum(len(outcome.customer_ids) - len(outcome.failures) for outcome in outcomes)


class EarnUntilRefused(Struct, frozen=True, kw_only=True):
    """Call after call, each for the next customers, until one is refused as a whole."""

    caller: Caller
    command: IssueCommand
    """The first call; the others add its size to its customers and a number to its request id."""

    async def run(self, services: Services) -> tuple[int, str]:
        """Answers how many customers earned, and the name of the refusal."""
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
        raise AssertionError("nobody refused")


class Crew:
    """So many processes, kept for any number of rounds."""

    def __init__(self, url: str, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        # Kept, for what is behind it would be gone with it before the processes have found it.
        self._barrier = context.Barrier(size)
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        for _ in range(size):
            ours, theirs = cast("tuple[Connection, Connection]", context.Pipe())
            process = context.Process(target=work, args=(url, self._barrier, theirs), daemon=True)
            process.start()
            theirs.close()  # so that its end is seen as the end of the pipe
            self._pipes.append(ours)
            self._processes.append(process)

    def __len__(self) -> int:
        return len(self._processes)

    def run(self, jobs: Sequence[Job]) -> list[Any]:
        """One job for each process, begun at the same moment; their answers in that order."""
        for pipe, job in zip(self._pipes, jobs, strict=True):
            pipe.send(job)
        return [_receive(pipe) for pipe in self._pipes]

    def end(self) -> None:
        """End the processes, kindly first."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def work(url: str, barrier: Barrier, jobs: Connection) -> None:
    """The life of one process."""
    logs.configure(Config(log_level="error"))
    asyncio.run(_work(url, barrier, jobs))


async def _work(url: str, barrier: Barrier, jobs: Connection) -> None:
    async with app.running_services(url, Config(pool_size=2)) as services:
        await services.auth.list_orgs()  # the connection is made before the first race, not in it
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
    return REGISTRY.get_sample_value("cockade_earning_collisions_total") or 0


def _retried() -> dict[str, float]:
    return {
        sample.labels["cause"]: sample.value
        for family in retries.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
