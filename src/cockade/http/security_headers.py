"""The headers that every answer carries for the sake of safety, made once."""

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
# An answer of the API is data of one caller: nothing keeps it, and no browser makes a page of it.
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

# A browser that was told once asks by TLS alone from then on, so it is told only where TLS is.
_BY_PLACE: dict[tuple[bool, bool], Headers] = {
    (False, False): _API,
    (False, True): _API + _TLS,
    (True, False): _DOCS,
    (True, True): _DOCS + _TLS,
}


def response_headers(scope: Any) -> Headers:
    """Those of the answer to this request."""
    return _BY_PLACE[scope["path"].startswith(DOCS_PATH), scope["scheme"] == "https"]


def with_script(headers: Headers, script: bytes) -> Headers:
    """The same, for a page that has this one script in itself."""
    digest = base64.b64encode(hashlib.sha256(script).digest())
    return tuple(
        (name, value + b" 'sha256-" + digest + b"'" if name == _POLICY else value) for name, value in headers
    )
