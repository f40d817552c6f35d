"""config → pool → services; the only file that knows all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct

from cockade import clock
from cockade.access.service import AccessService
from cockade.audit.service import AuditService
from cockade.badge.service import BadgeService
from cockade.catalogue.service import CatalogueService
from cockade.clock import Clock
from cockade.config import Config
from cockade.customer.service import CustomerService
from cockade.earning.service import EarningService, recount
from cockade.enrolment.service import EnrolmentService
from cockade.event.service import EventService
from cockade.holding.service import HoldingService
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


class Services(Struct, frozen=True, kw_only=True):
    """All that handlers may ask for, by the names of their parameters."""

    config: Config
    clock: Clock
    database: Database
    access: AccessService
    audit: AuditService
    calls: CallThrottle | None
    """None: calls are not counted."""
    badges: BadgeService
    catalogue: CatalogueService
    customers: CustomerService
    earning: EarningService
    enrolments: EnrolmentService
    events: EventService
    holdings: HoldingService
    jobs: JobService
    replay: ReplayService
    requests: RequestService
    rewriting: RewritingService
    undoing: UndoingService
    webhooks: WebhookService


def services(url: str, settings: Config) -> Services:
    """Everything that serves, on one database."""
    database = Database(url, settings)
    jobs = JobService(database, clock.now, settings)
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
        events=EventService(database, clock.now, settings.event_days, settings.call_s_max),
        holdings=HoldingService(database),
        jobs=jobs,
        rewriting=RewritingService(database, clock.now),
        replay=ReplayService(database, clock.now, settings.answers_kept_s),
        requests=RequestService(database, clock.now),
        webhooks=WebhookService(database, clock.now, settings),
        undoing=UndoingService(database, clock.now, settings, jobs.turns),
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
        "undoing": services.undoing.run,
        "webhooks": delivery.deliver_forever,
        "answers": services.replay.forget_often,
    }
