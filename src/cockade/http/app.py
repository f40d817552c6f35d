"""The ASGI app, from its services."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import OpenAPIMediaType
from litestar.exceptions import HTTPException, InternalServerException
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.serialization import encode_json
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from cockade import __version__
from cockade.compose import Services
from cockade.errors import CockadeError
from cockade.http import errors
from cockade.http.addresses import Proxies
from cockade.http.auth import TOKEN_HEADER, Authentication
from cockade.http.docs import DocsPage
from cockade.http.intake import Room
from cockade.http.paths import BASE_PATH, SHORT_PATH
from cockade.http.replaying import RepeatableOperation, Replaying, takes_keys
from cockade.http.requests import ApiRequest, ExchangeLayer, JsonBodySchema
from cockade.http.routes import (
    audit,
    badge,
    catalogue,
    customer,
    earning,
    enrolment,
    event,
    explanation,
    health,
    holding,
    importing,
    job,
    requests,
    token,
)
from cockade.storage.database import Database

if TYPE_CHECKING:
    from litestar.types import ASGIApp, ControllerRouterHandler

HANDLERS: list[ControllerRouterHandler] = [
    earning.earn_bulk,
    earning.earn,
    earning.revoke_earn,
    enrolment.issue_bulk,
    enrolment.revoke_issue,
    holding.get_customer_badges,
    holding.list_managed_badges,
    holding.get_managed_badge,
    explanation.list_holders,
    explanation.explain,
    explanation.get_fixed_window_details,
    job.create_job,
    job.list_jobs,
    job.get_job,
    job.pause_job,
    job.resume_job,
    job.cancel_job,
    job.get_job_results,
    job.get_job_refused,
    importing.import_customer_badges,
    importing.import_customer_badges_by_put,
    requests.get_request,
    requests.revoke_request,
    badge.create_badge,
    badge.update_badge,
    badge.get_badge,
    badge.list_badges,
    badge.activate_badge,
    badge.deactivate_badge,
    badge.claim_badge,
    badge.unclaim_badge,
    catalogue.create_group,
    catalogue.update_group,
    catalogue.get_group,
    catalogue.list_groups,
    catalogue.create_field,
    catalogue.update_field,
    catalogue.get_field,
    catalogue.list_fields,
    catalogue.create_org_meta,
    catalogue.update_org_meta,
    catalogue.get_org_meta,
    customer.put_identifiers,
    customer.erase_customer,
    customer.merge_customers,
    audit.list_audit,
    event.list_events,
    event.create_webhook,
    event.list_webhooks,
    event.get_webhook,
    event.update_webhook,
    event.delete_webhook,
    event.rotate_webhook_secret,
    event.test_webhook,
    event.list_deliveries,
]
"""All that stand below the base path; whoever calls them proves who is asking."""
for _handler in HANDLERS:
    if isinstance(_handler, HTTPRouteHandler) and takes_keys(_handler):
        _handler.operation_class = RepeatableOperation


def create_app(services: Services) -> ASGIApp:
    """The whole app: the exchange outermost, then the framework, then authentication, then the handlers."""
    config = services.config
    room = Room(max(config.bodies_bytes_max, config.body_bytes_max), config.pool_wait_s_max)
    app = Litestar(
        route_handlers=[
            Router(
                BASE_PATH,
                route_handlers=HANDLERS,
                middleware=[DefineMiddleware(Authentication), DefineMiddleware(Replaying)],
                security=[{"basic": []}, {"token": []}],
            ),
            token.generate_token,
            token.issue_token,
            health.healthz,
            health.readyz,
            health.read_metrics,
            openapi_json,
            _docs_assets(),
        ],
        request_class=ApiRequest,
        request_max_body_size=config.body_bytes_max,
        dependencies=_dependencies(services),
        exception_handlers={
            CockadeError: errors.on_domain_error,
            HTTPException: errors.on_http_error,
            Exception: errors.on_unexpected,
        },
        lifespan=[_lifespan(services.database)],
        openapi_config=_openapi(),
        plugins=[JsonBodySchema()],
        state=State(
            {
                "access": services.access,
                "config": config,
                "room": room,
                "calls": services.calls,
                "proxies": Proxies.of(services.config),
                "replay": services.replay,
            }
        ),
        type_decoders=[(_is_ours, _as_it_is)],
        logging_config=None,
        pdb_on_exception=False,
        debug=False,
    )
    return ExchangeLayer(app, services.clock, services.database, room)


def _dependencies(services: Services) -> dict[str, Provide]:
    return {
        name: Provide(_always(getattr(services, name)), sync_to_thread=False)
        for name in Services.__struct_fields__
    }


def _always(service: object) -> Callable[[], Any]:
    return lambda: service


def _is_ours(target: Any) -> bool:
    """Services and bodies are handed to handlers as they are; the framework need not convert them."""
    return getattr(target, "__module__", "").startswith("cockade.")


def _as_it_is(_: Any, value: Any) -> Any:
    return value


def _lifespan(database: Database) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        await database.open()
        try:
            yield
        finally:
            await database.close()

    return lifespan


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, State]) -> Response[bytes]:
    """The OpenAPI document."""
    return Response(
        encode_json(request.app.openapi_schema.to_schema()), media_type=OpenAPIMediaType.OPENAPI_JSON
    )


def _docs_assets() -> Router:
    spec = find_spec("swagger_ui")
    assert spec is not None
    assert spec.origin is not None
    return create_static_files_router(
        path="/docs/assets",
        directories=[Path(spec.origin).parent / "static"],
        include_in_schema=False,
        # What cannot be a file's name on this system is not found either.
        exception_handlers={ValueError: errors.on_not_found, InternalServerException: errors.on_not_found},
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="cockade",
        version=__version__,
        description=(
            "Issues loyalty badges to customers in bulk, each exactly once. "
            f"Every path under `{BASE_PATH}` is also served under `{SHORT_PATH}`. "
            "Every answer is an envelope of `data`, `errors` and `warnings`, "
            "and carries the request id that was used in `X-CAP-REQUEST-ID`."
        ),
        path="/docs",
        render_plugins=[
            DocsPage(
                path="/",
                favicon="<link rel='icon' href='/docs/assets/favicon-32x32.png'>",
                js_url="/docs/assets/swagger-ui-bundle.js",
                css_url="/docs/assets/swagger-ui.css",
                standalone_preset_js_url="/docs/assets/swagger-ui-standalone-preset.js",
            ),
        ],
        components=Components(
            security_schemes={
                "basic": SecurityScheme(type="http", scheme="basic", description="Username and secret."),
                "token": SecurityScheme(
                    type="apiKey",
                    name=TOKEN_HEADER,
                    security_scheme_in="header",
                    description="An OAuth token.",
                ),
            }
        ),
        use_handler_docstrings=False,
        create_examples=False,
    )
