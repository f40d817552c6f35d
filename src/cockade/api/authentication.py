"""Authentication middleware: Basic credentials or an OAuth token, and the access group of the credential."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from cockade.auth.model import AccessGroup, Caller
from cockade.auth.service import AuthService
from cockade.errors import NotAuthenticated, PermissionDenied, RateLimitExceeded
from cockade.http.client_ip import TrustedProxies, client_ip_getter
from cockade.http.context import RequestContext, get_context
from cockade.rate_limit.service import MINUTE_S, RateLimiter

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

TOKEN_HEADER = "X-CAP-API-OAUTH-TOKEN"
_TOKEN_HEADER = TOKEN_HEADER.lower().encode()
READING = {"GET", "HEAD", "OPTIONS"}


class AuthenticationMiddleware:
    """Adds the authenticated caller to the requests of the routes below it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises NotAuthenticated if credentials are missing, wrong or contradictory.

        Raises PermissionDenied if a read-only credential would change something.
        """
        if scope.get("method") != "OPTIONS":
            scope["user"] = await _authenticate(scope)
        await self._app(scope, receive, send)


async def _authenticate(scope: Scope) -> Caller:
    state = scope["litestar_app"].state
    caller = await _caller(state.auth, scope, state.trusted_proxies)
    context = get_context(scope)
    context.caller = caller
    if state.rate_limiter is not None:
        await _count(state.rate_limiter, caller, context)
    if caller.access_group is AccessGroup.READ_ONLY and scope.get("method") not in READING:
        raise PermissionDenied
    return caller


async def _count(calls: RateLimiter, caller: Caller, context: RequestContext) -> None:
    """Add rate limit headers. Raises RateLimitExceeded."""
    allowance = await calls.take(caller.credential_id)
    left = max(allowance.left, 0)
    context.headers += (
        (b"ratelimit-policy", b'"credential";q=%d;w=%d' % (allowance.limit, MINUTE_S)),
        (b"ratelimit", b'"credential";r=%d;t=%d' % (left, allowance.resets_in_s)),
    )
    if allowance.left < 0:
        raise RateLimitExceeded(retry_after_s=allowance.resets_in_s)


async def _caller(auth: AuthService, scope: Scope, proxies: TrustedProxies) -> Caller:
    proofs = _proofs(scope)
    if len(proofs) > 1:
        raise NotAuthenticated("The request has two different credentials; send only one.")
    for scheme, proof in proofs:
        if scheme == "bearer":
            return await auth.authenticate_token(proof)
        if scheme == "basic":
            return await auth.authenticate_basic(*read_basic(proof), client_ip_getter(scope, proxies))
    raise NotAuthenticated


def _proofs(scope: Scope) -> set[tuple[str, str]]:
    """Return every distinct credential of the request, as (scheme, value)."""
    found: set[tuple[str, str]] = set()
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, proof = value.decode("latin-1").partition(" ")
            found.add((scheme.lower(), proof.strip()))
        elif name == _TOKEN_HEADER:
            found.add(("bearer", value.decode("latin-1").strip()))
    return found


def read_basic(proof: str) -> tuple[str, str]:
    """Return username and secret of a Basic header. Raises NotAuthenticated."""
    try:
        username, colon, secret = base64.b64decode(proof, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise NotAuthenticated(
            "The Basic credentials are not the base64 encoding of username:secret."
        ) from None
    if not colon or "\0" in username:
        raise NotAuthenticated("The Basic credentials are not the base64 encoding of username:secret.")
    return username, secret
