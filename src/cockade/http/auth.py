"""Who is asking: Basic credentials or an OAuth token; and whether the access group allows the call."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from litestar.connection import ASGIConnection
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult

from cockade.access.model import AccessGroup, Caller
from cockade.access.service import AccessService
from cockade.errors import NotAllowed, NotAuthenticated, TooManyCalls
from cockade.http.addresses import address_of
from cockade.http.requests import Exchange, exchange_of
from cockade.throttle.service import MINUTE_S, CallThrottle

Connection = ASGIConnection[Any, Any, Any, Any]

TOKEN_HEADER = "X-CAP-API-OAUTH-TOKEN"
READING = {"GET", "HEAD", "OPTIONS"}


class Authentication(AbstractAuthenticationMiddleware):
    """Puts the caller into every request of the routes that it stands before."""

    async def authenticate_request(self, connection: Connection) -> AuthenticationResult:
        """Raises NotAuthenticated where there is no proof, a wrong one, or there are two different ones.

        And NotAllowed where a read-only credential would change something.
        """
        access: AccessService = connection.app.state.access
        caller = await _caller(access, connection)
        exchange = exchange_of(connection.scope)
        exchange.caller = caller
        if (calls := connection.app.state.calls) is not None:
            await _count(calls, caller, exchange)
        if caller.access_group is AccessGroup.READ_ONLY and connection.scope.get("method") not in READING:
            raise NotAllowed
        return AuthenticationResult(user=caller, auth=None)


async def _count(calls: CallThrottle, caller: Caller, exchange: Exchange) -> None:
    """Tell the caller how many calls are left. Raises TooManyCalls."""
    allowance = await calls.take_call(caller.credential_id)
    left = max(allowance.left, 0)
    exchange.headers += (
        (b"ratelimit-policy", b'"credential";q=%d;w=%d' % (allowance.limit, MINUTE_S)),
        (b"ratelimit", b'"credential";r=%d;t=%d' % (left, allowance.resets_in_s)),
    )
    if allowance.left < 0:
        raise TooManyCalls(retry_after_s=allowance.resets_in_s)


async def _caller(access: AccessService, connection: Connection) -> Caller:
    proofs = _proofs(connection)
    if len(proofs) > 1:
        raise NotAuthenticated("The request carries two different credentials; send one.")
    for scheme, proof in proofs:
        if scheme == "bearer":
            return await access.caller_of_token(proof)
        if scheme == "basic":
            where = address_of(connection.scope, connection.app.state.proxies)
            return await access.caller_of_basic(*read_basic(proof), where)
    raise NotAuthenticated


def _proofs(connection: Connection) -> set[tuple[str, str]]:
    """Every credential that the request carries, as (scheme, proof); the same one twice is one."""
    headers = [header.partition(" ") for header in connection.headers.getall("Authorization", [])]
    tokens = connection.headers.getall(TOKEN_HEADER, [])
    return {(scheme.lower(), proof.strip()) for scheme, _, proof in headers} | {
        ("bearer", t.strip()) for t in tokens
    }


def read_basic(proof: str) -> tuple[str, str]:
    """Username and secret of a Basic header's value. Raises NotAuthenticated."""
    try:
        username, colon, secret = base64.b64decode(proof, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise NotAuthenticated("The Basic credentials are not base64 of username:secret.") from None
    if not colon or "\0" in username:
        raise NotAuthenticated("The Basic credentials are not base64 of username:secret.")
    return username, secret
