"""The configuration of the web framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException

from cockade.errors import CockadeError
from cockade.http import errors
from cockade.http.request import ApiRequest, JsonBodySchema

if TYPE_CHECKING:
    from litestar.openapi import OpenAPIConfig
    from litestar.types import ControllerRouterHandler, LifespanHook


def create_litestar(
    *,
    route_handlers: Sequence[ControllerRouterHandler],
    dependencies: Mapping[str, object],
    state: Mapping[str, object],
    openapi_config: OpenAPIConfig,
    max_body_bytes: int,
    on_startup: LifespanHook,
    on_shutdown: LifespanHook,
) -> Litestar:
    """Create an app that passes `dependencies` to route handlers by name and reports all errors in the envelope."""
    return Litestar(
        route_handlers=route_handlers,
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        state=State(dict(state)),
        openapi_config=openapi_config,
        on_startup=[on_startup],
        on_shutdown=[on_shutdown],
        request_class=ApiRequest,
        request_max_body_size=max_body_bytes,
        exception_handlers={
            CockadeError: errors.on_domain_error,
            HTTPException: errors.on_http_error,
            Exception: errors.on_unexpected,
        },
        plugins=[JsonBodySchema()],
        type_decoders=[(_is_own_type, _unchanged)],
        logging_config=None,
        pdb_on_exception=False,
        debug=False,
    )


def _provide(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _is_own_type(target: Any) -> bool:
    """Whether the framework must pass the value to handlers without conversion, as for services and bodies."""
    return getattr(target, "__module__", "").startswith("cockade.")


def _unchanged(_: Any, value: Any) -> Any:
    return value
