"""Route handlers of OAuth tokens, in the contract's format and in that of RFC 6749."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qs, unquote_plus

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import Body

from cockade import errors
from cockade.api.authentication import read_basic
from cockade.api.token.schemas import StandardError, StandardToken, TokenBody, TokenData, TokenResponse
from cockade.auth.service import AuthService
from cockade.errors import NotAuthenticated, TooManyFailedLogins
from cockade.http.client_ip import client_ip_getter
from cockade.http.decoding import unchanged
from cockade.http.errors import BODY_ERRORS, HEADERS, error_responses
from cockade.http.request import ApiRequest, JsonBody

BODY_BYTES_MAX = 128 * 1024
"""These operations need no authentication, so their bodies have a lower limit."""


@post(
    "/v3/oauth/token/generate",
    operation_id="generateToken",
    summary="Get an OAuth token",
    description="Send it in `X-CAP-API-OAUTH-TOKEN` or as `Authorization: Bearer`.",
    status_code=200,
    tags=["Authentication"],
    request_max_body_size=BODY_BYTES_MAX,
    responses=error_responses(errors.InvalidInput, *BODY_ERRORS),
)
async def generate_token(
    data: Annotated[JsonBody[TokenBody], Body()], request: ApiRequest, auth: NamedDependency[AuthService]
) -> Response[TokenResponse]:
    """Return a token for a client key and secret."""
    client, where = data.read(unchanged), client_ip_getter(request.scope, request.app.state.trusted_proxies)
    token = await auth.generate_token(client.key, client.secret, where)
    return Response(TokenResponse(TokenData(token.access_token, token.ttl_s)))


@post(
    "/oauth/token",
    operation_id="issueToken",
    summary="Get an OAuth token (RFC 6749, client credentials)",
    description="A form with `grant_type=client_credentials`. The client is sent as Basic credentials, or as `client_id` and `client_secret` in the form.",
    status_code=200,
    tags=["Authentication"],
    request_max_body_size=BODY_BYTES_MAX,
    responses=error_responses(*BODY_ERRORS)
    | {
        400: ResponseSpec(StandardError, generate_examples=False, description="The request is invalid."),
        401: ResponseSpec(StandardError, generate_examples=False, description="The client is unknown."),
        429: ResponseSpec(StandardError, generate_examples=False, description="Too many failed logins."),
    },
)
async def issue_token(request: ApiRequest, auth: NamedDependency[AuthService]) -> Response[StandardToken]:
    """Return a token for an OAuth client."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    form = {name: values[0] for name, values in fields.items()}
    grant = form.get("grant_type")
    if grant is None:
        return _standard_failure(400, "invalid_request", "grant_type is missing.")
    if any(len(values) > 1 for values in fields.values()):
        return _standard_failure(400, "invalid_request", "A field is sent more than once.")
    if grant != "client_credentials":
        return _standard_failure(400, "unsupported_grant_type", "Only client_credentials is supported.")
    if "Authorization" in request.headers and "client_secret" in form:
        return _standard_failure(
            400, "invalid_request", "The client is sent twice: in the header and in the form."
        )
    try:
        where = client_ip_getter(request.scope, request.app.state.trusted_proxies)
        token = await auth.generate_token(*_client(request, form), where)
    except NotAuthenticated as error:
        return _standard_failure(401, "invalid_client", error.text)
    except TooManyFailedLogins as error:
        # RFC 6749 has no error code for it.
        wait = {"Retry-After": str(error.retry_after_s)}
        return _standard_failure(429, "temporarily_unavailable", error.text, wait)
    return Response(StandardToken(token.access_token, "Bearer", token.ttl_s))


def _client(request: Request[Any, Any, Any], form: dict[str, str]) -> tuple[str, str]:
    """Return client key and secret from the header (form-encoded, as the RFC requires) or from the form."""
    scheme, _, proof = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        key, secret = map(unquote_plus, read_basic(proof.strip()))
    else:
        key, secret = form.get("client_id", ""), form.get("client_secret", "")
    if not key or not secret or "\0" in key:
        raise NotAuthenticated("Send client_id and client_secret, or Basic credentials.")
    return key, secret


def _standard_failure(
    status: int, error: str, description: str, more: dict[str, str] | None = None
) -> Response[Any]:
    headers = {**HEADERS.get(status, {}), **(more or {})}
    return Response(StandardError(error, description), status_code=status, headers=headers)
