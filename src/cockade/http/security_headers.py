"""Security headers of every response."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, TypeAlias

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

DOCS_PATH = "/docs"
_POLICY = b"content-security-policy"
_EVERYWHERE: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# An API response has the data of one caller: it must not be cached, nor rendered by a browser.
_API: Headers = (
    *_EVERYWHERE,
    (b"cache-control", b"no-store"),
    (_POLICY, b"default-src 'none'; frame-ancestors 'none'"),
)
_PAGE_POLICY = (
    b"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none';"
    b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'; script-src 'self'"
)
_DOCS: Headers = (*_EVERYWHERE, (_POLICY, _PAGE_POLICY))
_TLS: Headers = ((b"strict-transport-security", b"max-age=31536000"),)

# HSTS makes a browser use only TLS from then on, so it is sent only over TLS.
_BY_PLACE: dict[tuple[bool, bool], Headers] = {
    (False, False): _API,
    (False, True): _API + _TLS,
    (True, False): _DOCS,
    (True, True): _DOCS + _TLS,
}


def response_headers(scope: Any) -> Headers:
    """Return the headers for this request."""
    return _BY_PLACE[scope["path"].startswith(DOCS_PATH), scope["scheme"] == "https"]


def with_script(headers: Headers, script: bytes) -> Headers:
    """Return the headers for a page with this inline script."""
    digest = base64.b64encode(hashlib.sha256(script).digest())
    return tuple(
        (name, value + b" 'sha256-" + digest + b"'" if name == _POLICY else value) for name, value in headers
    )
