"""The OpenAPI document and the page at `/docs`: Swagger UI with scripts and styles from this host."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, get
from litestar.datastructures import State
from litestar.enums import OpenAPIMediaType
from litestar.exceptions import InternalServerException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.serialization import encode_json
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from cockade import __version__
from cockade.api.authentication import TOKEN_HEADER
from cockade.http.context import get_context
from cockade.http.errors import on_not_found
from cockade.http.security_headers import with_script
from cockade.http.urls import BASE_PATH, SHORT_PATH

ASSETS_PATH = "/docs/assets"
_SCRIPT = re.compile(rb"<script type='text/javascript'>(.*?)</script>", re.DOTALL)


class SwaggerPage(SwaggerRenderPlugin):
    """The framework's Swagger page. The content security policy allows its one inline script and no other."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return the page, with the OpenAPI document in it."""
        page = super().render(request, openapi_schema)
        script = _SCRIPT.search(page)
        assert script is not None
        context = get_context(request.scope)
        context.headers = with_script(context.headers, script[1])
        return page


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, State]) -> Response[bytes]:
    """Return the OpenAPI document."""
    return Response(
        encode_json(request.app.openapi_schema.to_schema()), media_type=OpenAPIMediaType.OPENAPI_JSON
    )


def swagger_assets() -> Router:
    """Return a router for the scripts and styles of the Swagger page."""
    spec = find_spec("swagger_ui")
    assert spec is not None
    assert spec.origin is not None
    return create_static_files_router(
        path=ASSETS_PATH,
        directories=[Path(spec.origin).parent / "static"],
        include_in_schema=False,
        # A name that is invalid on this file system.
        exception_handlers={ValueError: on_not_found, InternalServerException: on_not_found},
    )


CONFIG = OpenAPIConfig(
    title="cockade",
    version=__version__,
    description=(
        "Issue loyalty badges to customers in bulk, each exactly once. "
        f"Every path under `{BASE_PATH}` is also served under `{SHORT_PATH}`. "
        "Every response is an envelope with `data`, `errors` and `warnings`, "
        "and returns the request id in the header `X-CAP-REQUEST-ID`."
    ),
    path="/docs",
    render_plugins=[
        SwaggerPage(
            path="/",
            favicon=f"<link rel='icon' href='{ASSETS_PATH}/favicon-32x32.png'>",
            js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
            css_url=f"{ASSETS_PATH}/swagger-ui.css",
            standalone_preset_js_url=f"{ASSETS_PATH}/swagger-ui-standalone-preset.js",
        ),
    ],
    components=Components(
        security_schemes={
            "basic": SecurityScheme(type="http", scheme="basic", description="Username and secret."),
            "token": SecurityScheme(
                type="apiKey", name=TOKEN_HEADER, security_scheme_in="header", description="An OAuth token."
            ),
        }
    ),
    use_handler_docstrings=False,
    create_examples=False,
)
