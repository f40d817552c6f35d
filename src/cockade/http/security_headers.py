"""Security headers of responses, computed once."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, TypeAlias

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

DOCS_PATH = "/docs"
_POLICY = b"content-security-policy"
_COMMON: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# API responses are data of one caller: not cached, and never rendered as a page by a browser.
_API: Headers = (
    *_COMMON,
    (b"cache-control", b"no-store"),
    (_POLICY, b"default-src 'none'; frame-ancestors 'none'"),
)
_PAGE_POLICY = (
    b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none';"
    b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'; script-src 'self'"
)
_DOCS: Headers = (*_COMMON, (_POLICY, _PAGE_POLICY))
_TLS: Headers = ((b"strict-transport-security", b"max-age=31536000"),)

# HSTS makes browsers use only TLS from then on, so it is sent only over TLS.
_BY_DOCS_AND_TLS: dict[tuple[bool, bool], Headers] = {
    (False, False): _API,
    (False, True): _API + _TLS,
    (True, False): _DOCS,
    (True, True): _DOCS + _TLS,
}


def response_headers(scope: Any) -> Headers:
    """Return the security headers of the response to this request."""
    return _BY_DOCS_AND_TLS[scope["path"].startswith(DOCS_PATH), scope["scheme"] == "https"]


def with_script(headers: Headers, script: bytes) -> Headers:
    """Return the headers with this inline script allowed."""
    digest = base64.b64encode(hashlib.sha256(script).digest())
    return tuple(
        (name, value + b" 'sha256-" + digest + b"'" if name == _POLICY else value) for name, value in headers
    )
