"""The queue of background work: PgQueuer, with its tables in our schema (docs/decisions/0017-jobs.md).

It wakes a worker, gives each task to one, and takes it back from a worker that died. A task is a word and a number, no
more: what there is to do, and what is done already, stands in the tables of whoever put it there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import asyncpg
from asyncpg import exceptions as pg
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.db import AsyncpgDriver
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel
from pgqueuer.errors import RetryRequested
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from cockade.errors import Unavailable
from cockade.storage.connection import Connection
from cockade.worker import TaskHandler, TaskInterrupted

if TYPE_CHECKING:
    from pgqueuer.models import Job

CONNECT_TIMEOUT_S = 5.0
POLL = timedelta(seconds=2)
"""How often the queue is looked at though nobody has notified us."""
SILENCE_MAX = timedelta(seconds=4)
"""A worker that has said nothing about a task for so long is taken for dead, and the task is given to another."""

# All of it said here: the library would read what is not from variables like CHANNEL and FUNCTION.
SETTINGS = DBSettings(
    prefix="",
    db_schema=None,
    channel=Channel("ch_pgqueuer"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
)

# When the connection is lost it logs a traceback for each thing that it wanted to say; we say once that it is lost.
logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)


def queries(connection: Connection) -> Queries:
    """The library's statements, on this connection."""
    return Queries(
        AsyncpgDriver(cast("asyncpg.Connection", connection)),
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
        qbs=QuerySchedulerBuilder(SETTINGS),
    )


async def enqueue(connection: Connection, task: str, number: int) -> None:
    """Put a task into the queue; within a transaction it is there when that commits."""
    await queries(connection).enqueue(task, str(number).encode())


async def run_tasks(url: str, handlers: Mapping[str, TaskHandler], stop: asyncio.Event) -> None:
    """Do the tasks of the queue, each by the handler of its word, until `stop` is set.

    Raises Unavailable where the connection is lost; handlers have then been stopped, and tasks go to whoever comes next.
    """
    try:
        connection = await asyncpg.connect(
            url, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "cockade"}
        )
    except (OSError, TimeoutError, pg.PostgresError, pg.InterfaceError) as error:
        raise Unavailable from error
    ending, lost = asyncio.Event(), asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    manager = QueueManager(queries(connection), channel=SETTINGS.channel)
    for word, handler in handlers.items():
        manager.entrypoint(word, accepts_context=False)(_carrying_out(handler, ending))
    watching = asyncio.create_task(_watch(manager, ending, stop, lost))
    try:
        await manager.run(dequeue_timeout=POLL, heartbeat_timeout=SILENCE_MAX)
    except Exception as error:
        raise Unavailable from error
    finally:
        ending.set()
        watching.cancel()
        connection.terminate()


def _carrying_out(handler: TaskHandler, ending: asyncio.Event) -> Callable[[Job], Awaitable[None]]:
    async def carry_out(job: Job) -> None:
        try:
            await handler(int(job.payload or b""), ending)
        except TaskInterrupted:
            raise RetryRequested from None

    return carry_out


async def _watch(
    manager: QueueManager, ending: asyncio.Event, stop: asyncio.Event, lost: asyncio.Event
) -> None:
    """Have everything end when we are to stop, or the connection is lost."""
    either = [asyncio.create_task(event.wait()) for event in (stop, lost)]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    for waiting in either:
        waiting.cancel()
    ending.set()
    manager.shutdown.set()
