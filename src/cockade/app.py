"""Composition root: configuration → database → services → HTTP app.

Commands and the background worker use the services without the HTTP app. The web framework takes more than half a second
to import, so only `create_app` imports it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from cockade import clock, config, logs
from cockade.audit.service import AuditService
from cockade.auth.service import AuthService
from cockade.badge.service import BadgeService
from cockade.clock import Clock
from cockade.config import Config
from cockade.customer.service import CustomerService
from cockade.customer_badge.service import CustomerBadgeService
from cockade.customer_data.service import CustomerDataService
from cockade.earning.service import EarningService, rebuild_counters
from cockade.enrolment.service import EnrolmentService
from cockade.errors import SetupError
from cockade.event.service import EventService
from cockade.idempotency.service import IdempotencyService
from cockade.job.service import JobService
from cockade.metadata.service import MetadataService
from cockade.process import exit_after
from cockade.rate_limit.service import RateLimiter
from cockade.request.service import RequestService
from cockade.storage.database import Database
from cockade.undo.service import UndoService
from cockade.webhook.delivery import WebhookDelivery
from cockade.webhook.service import WebhookService
from cockade.worker import BackgroundService

if TYPE_CHECKING:
    from litestar.types import ASGIApp


class Services(Struct, frozen=True, kw_only=True):
    """All services. Route handlers receive them by field name."""

    config: Config
    clock: Clock
    database: Database
    audit: AuditService
    auth: AuthService
    badges: BadgeService
    customer_badges: CustomerBadgeService
    customer_data: CustomerDataService
    customers: CustomerService
    earning: EarningService
    enrolments: EnrolmentService
    events: EventService
    idempotency: IdempotencyService
    jobs: JobService
    metadata: MetadataService
    rate_limiter: RateLimiter | None
    """None if no rate limit is configured."""
    requests: RequestService
    undo: UndoService
    webhooks: WebhookService


def create_services(url: str, config: Config) -> Services:
    """Build all services on one database. No connection is opened yet."""
    database = Database(url, config)
    jobs = JobService(database, clock.now, config)
    limit = config.rate_limit_per_minute
    return Services(
        config=config,
        clock=clock.now,
        database=database,
        audit=AuditService(database),
        auth=AuthService(database, clock.now, config),
        badges=BadgeService(database, clock.now, rebuild_counters),
        customer_badges=CustomerBadgeService(database),
        customer_data=CustomerDataService(database, clock.now),
        customers=CustomerService(database, clock.now),
        earning=EarningService(database, clock.now),
        enrolments=EnrolmentService(database, clock.now),
        events=EventService(database, clock.now, config.event_retention_days, config.request_timeout_s),
        idempotency=IdempotencyService(database, clock.now, config.idempotency_ttl_s),
        jobs=jobs,
        metadata=MetadataService(database, clock.now),
        rate_limiter=RateLimiter(database, clock.now, limit) if limit else None,
        requests=RequestService(database, clock.now),
        undo=UndoService(database, clock.now, config, jobs.scheduler),
        webhooks=WebhookService(database, clock.now, config),
    )


@asynccontextmanager
async def running_services(url: str, config: Config) -> AsyncGenerator[Services]:
    """Yield services with an open connection pool, for commands."""
    services = create_services(url, config)
    await services.database.open()
    try:
        yield services
    finally:
        await services.database.close()


@asynccontextmanager
async def running_worker(url: str, config: Config) -> AsyncGenerator[dict[str, BackgroundService]]:
    """Yield the background services by name. They share a pool of their own, so that API calls keep theirs."""
    config = structs.replace(config, pool_size=config.worker_pool_size)
    async with running_services(url, config) as services:
        delivery = WebhookDelivery(services.database, services.clock, services.events, services.config)
        yield {
            "jobs": services.jobs.run,
            "undo": services.undo.run,
            "webhooks": delivery.run,
            "idempotency": services.idempotency.run_cleanup,
        }


def create_worker_app() -> ASGIApp:
    """Build the app in a worker process of `cockade serve`, which passes the database URL in the environment."""
    settings = config.from_environment()
    if settings.database_url is None:
        raise SetupError("Workers are started by `cockade serve`, which sets COCKADE_DATABASE_URL.")
    logs.configure(settings)
    if (parent := multiprocessing.parent_process()) is not None:
        sentinel = parent.sentinel  # ready at once when the parent dies; polling would answer for some time
        exit_after(lambda: wait([sentinel]))
    return create_app(create_services(settings.database_url, settings))


def create_app(services: Services) -> ASGIApp:
    """Build the HTTP app.

    From the outside in: request context, web framework, then for API paths authentication and idempotency, then the
    route handlers.
    """
    from litestar import Router
    from litestar.middleware import DefineMiddleware

    from cockade.api import openapi, routers
    from cockade.api.authentication import AuthenticationMiddleware
    from cockade.api.idempotency import IdempotencyMiddleware
    from cockade.http.application import create_litestar
    from cockade.http.body_limiter import BodyMemoryLimiter
    from cockade.http.client_ip import TrustedProxies
    from cockade.http.middleware import RequestContextMiddleware
    from cockade.http.urls import BASE_PATH

    settings, database = services.config, services.database
    body_limiter = BodyMemoryLimiter(
        max(settings.max_buffered_body_bytes, settings.max_body_bytes), settings.pool_timeout_s
    )
    resources = Router(
        BASE_PATH,
        route_handlers=routers.RESOURCES,
        middleware=[DefineMiddleware(AuthenticationMiddleware), DefineMiddleware(IdempotencyMiddleware)],
        security=[{"basic": []}, {"token": []}],
    )
    app = create_litestar(
        route_handlers=[resources, *routers.PUBLIC, openapi.openapi_json, openapi.swagger_assets()],
        dependencies=structs.asdict(services),
        state={
            "auth": services.auth,
            "body_limiter": body_limiter,
            "config": settings,
            "idempotency": services.idempotency,
            "rate_limiter": services.rate_limiter,
            "trusted_proxies": TrustedProxies.from_config(settings),
        },
        openapi_config=openapi.CONFIG,
        max_body_bytes=settings.max_body_bytes,
        on_startup=database.open,
        on_shutdown=database.close,
    )
    return RequestContextMiddleware(app, services.clock, database, body_limiter)
