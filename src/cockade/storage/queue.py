"""The queue of background work: PgQueuer, with its tables in our schema (docs/decisions/0017-jobs.md).

It wakes a worker, gives each task to one worker, and reassigns the tasks of a dead worker. A task is only a
name and a number; its state is in the tables of the feature that enqueued it.
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
"""Interval of polling, in case a notification is missed."""
SILENCE_MAX = timedelta(seconds=4)
"""A worker without a heartbeat for this time is considered dead, and its task is reassigned."""

# All settings are explicit: the library would read missing ones from environment variables like CHANNEL.
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

# If the connection is lost, the library logs many tracebacks; we log the loss once.
logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)


def queries(connection: Connection) -> Queries:
    """Return the library's statements on this connection."""
    return Queries(
        AsyncpgDriver(cast("asyncpg.Connection", connection)),
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
        qbs=QuerySchedulerBuilder(SETTINGS),
    )


async def enqueue(connection: Connection, task: str, number: int) -> None:
    """Add a task. In a transaction, it becomes visible on commit."""
    await queries(connection).enqueue(task, str(number).encode())


async def run_tasks(url: str, handlers: Mapping[str, TaskHandler], stop: asyncio.Event) -> None:
    """Run tasks, each with the handler of its name, until `stop` is set.

    Raises Unavailable if the connection is lost. Handlers are then cancelled, and other workers take their
    tasks.
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
    """End everything when `stop` is set or the connection is lost."""
    either = [asyncio.create_task(event.wait()) for event in (stop, lost)]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    for waiting in either:
        waiting.cancel()
    ending.set()
    manager.shutdown.set()
