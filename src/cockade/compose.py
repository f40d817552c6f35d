"""config → pool → services → app; the only file that knows everything."""

from __future__ import annotations

import multiprocessing
import os
import threading
from contextlib import asynccontextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import msgspec

from cockade import clock, config, logs
from cockade.access.service import AccessService
from cockade.audit.service import AuditService
from cockade.badge.service import BadgeService
from cockade.catalogue.service import CatalogueService
from cockade.config import Config
from cockade.customer.service import CustomerService
from cockade.earning.service import EarningService, recount
from cockade.enrolment.service import EnrolmentService
from cockade.errors import SetupError
from cockade.event.service import EventService
from cockade.holding.service import HoldingService
from cockade.http.app import Services, create_app
from cockade.job.service import JobService
from cockade.replay.service import ReplayService
from cockade.request.service import RequestService
from cockade.rewriting.service import RewritingService
from cockade.storage.database import Database
from cockade.throttle.service import CallThrottle
from cockade.undoing.service import UndoingService
from cockade.webhook.delivery import Delivery
from cockade.webhook.service import WebhookService
from cockade.worker import Background

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from litestar.types import ASGIApp


def services(url: str, settings: Config) -> Services:
    """Everything that serves, on one database."""
    database = Database(url, settings)
    return Services(
        config=settings,
        clock=clock.now,
        database=database,
        audit=AuditService(database),
        access=AccessService(database, clock.now, settings),
        calls=CallThrottle(database, clock.now, settings.calls_per_minute_max)
        if settings.calls_per_minute_max
        else None,
        badges=BadgeService(database, clock.now, recount),
        catalogue=CatalogueService(database, clock.now),
        customers=CustomerService(database, clock.now),
        earning=EarningService(database, clock.now),
        enrolments=EnrolmentService(database, clock.now),
        events=EventService(database, clock.now, settings.event_days),
        holdings=HoldingService(database),
        jobs=JobService(database, clock.now, settings),
        rewriting=RewritingService(database, clock.now),
        replay=ReplayService(database, clock.now, settings.answers_kept_s),
        requests=RequestService(database, clock.now),
        webhooks=WebhookService(database, clock.now, settings),
        undoing=UndoingService(database, clock.now),
    )


@asynccontextmanager
async def running_services(url: str, settings: Config) -> AsyncGenerator[Services]:
    """Services with an open pool, for commands."""
    composed = services(url, settings)
    await composed.database.open()
    try:
        yield composed
    finally:
        await composed.database.close()


@asynccontextmanager
async def running_background(url: str, settings: Config) -> AsyncGenerator[dict[str, Background]]:
    """What `cockade worker` does, by name; all of it shares a pool of its own, so that calls are left theirs."""
    own = msgspec.structs.replace(settings, pool_size=settings.background_pool_size)
    async with running_services(url, own) as composed:
        yield background(composed)


def background(services: Services) -> dict[str, Background]:
    """One line for each service that works in the background."""
    delivery = Delivery(services.database, services.clock, services.events, services.config)
    return {
        "jobs": services.jobs.run,
        "webhooks": delivery.deliver_forever,
        "answers": services.replay.forget_often,
    }


def app() -> ASGIApp:
    """What a worker process of `cockade serve` runs; its parent has put the database's URL into the environment."""
    settings = config.from_environment()
    if settings.database_url is None:
        raise SetupError("A worker is started by `cockade serve`, which names the database.")
    logs.configure(settings)
    _end_with_parent()
    return create_app(services(settings.database_url, settings))


def _end_with_parent() -> None:
    """Leave at once when the parent is gone, so that its port is free for the next start.

    What a transaction in flight has not committed, the database rolls back.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
