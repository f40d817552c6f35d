"""The page at `/docs`: Swagger UI, whose scripts and styles come from this host."""

from __future__ import annotations

import re
from typing import Any

from litestar import Request
from litestar.openapi.plugins import SwaggerRenderPlugin

from cockade.http.headers import with_script
from cockade.http.requests import exchange_of

_SCRIPT = re.compile(rb"<script type='text/javascript'>(.*?)</script>", re.DOTALL)


class DocsPage(SwaggerRenderPlugin):
    """The framework's page; its one inline script is named in the policy, so that no other one runs."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page, with the OpenAPI document in it."""
        page = super().render(request, openapi_schema)
        script = _SCRIPT.search(page)
        assert script is not None
        exchange = exchange_of(request.scope)
        exchange.headers = with_script(exchange.headers, script[1])
        return page
