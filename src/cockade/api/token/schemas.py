"""Schemas of OAuth tokens, in the contract's format and in that of RFC 6749."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade.api.schemas import NO_NUL
from cockade.http.envelope import ErrorDetail, json_name

Key = Annotated[str, Meta(description="The client key.", min_length=1, pattern=NO_NUL)]


class TokenBody(Struct, frozen=True):
    """The credentials of an OAuth client."""

    key: Key
    secret: Annotated[str, Meta(description="The client secret.", min_length=1)]


class TokenData(Struct, frozen=True, rename=json_name):
    """A token and its lifetime."""

    access_token: str
    ttl_seconds: int


class TokenResponse(Struct, frozen=True):
    """The contract's format: `errors` is null here."""

    data: TokenData
    errors: list[ErrorDetail] | None = None
    warnings: list[ErrorDetail] | None = None


class StandardToken(Struct, frozen=True):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: str
    expires_in: int


class StandardError(Struct, frozen=True):
    """RFC 6749, section 5.2."""

    error: str
    error_description: str
