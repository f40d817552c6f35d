"""What a caller is."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from cockade.ids import CredentialId, OrgId

TOKEN_TTL_MINUTES_MAX = 60
"""OAuth tokens live at most this long (`docs/api/contract.md`, "Authentication and access")."""


class AccessGroup(StrEnum):
    """What a credential may do."""

    DEFAULT = "default"
    """The whole badges API."""
    READ_ONLY = "read-only"
    """Whatever changes nothing."""


class Org(Struct, frozen=True, kw_only=True):
    """A tenant. Everything belongs to one org, and no org sees another's."""

    org_id: OrgId
    name: str
    time_zone: str
    """IANA name; decides what a month, a midnight and a day are."""
    created_at: datetime
    request_id_is_key: bool = False
    """Whether a repeated request id gets the answer of the first call, and not 809."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who is asking, once that has been proved."""

    credential_id: CredentialId
    username: str
    org_id: OrgId
    time_zone: str
    access_group: AccessGroup
    request_id_is_key: bool = False
    """As of the org."""


class Credential(Struct, frozen=True, kw_only=True):
    """A credential as it is stored: secrets only as argon2 hashes."""

    caller: Caller
    secret_hash: str
    client_key: str
    client_secret_hash: str
    token_ttl_s: int
    created_at: datetime
    revoked_at: datetime | None


class NewCredential(Struct, frozen=True, kw_only=True):
    """What is shown once, when a credential is made."""

    org_id: OrgId
    username: str
    secret: str
    client_key: str
    client_secret: str
    access_group: AccessGroup
    token_ttl_minutes: int


class Token(Struct, frozen=True, kw_only=True):
    """A freshly signed OAuth token."""

    access_token: str
    ttl_s: int


class SigningKey(Struct, frozen=True, kw_only=True):
    """What tokens are signed with (HS256), shared by all processes through the database."""

    key_id: str
    secret: bytes
    created_at: datetime


class SigningKeyInfo(Struct, frozen=True, kw_only=True):
    """A signing key as operators see it: never with its secret."""

    key_id: str
    created_at: datetime
    signs: bool
    """Only the newest does; the others verify what they have signed."""
    last_token_expires_at: datetime | None
    """From when on nobody misses it; None while it signs."""


class FailedLogins(Struct, frozen=True, kw_only=True):
    """What is remembered of a name and an address; each instant is that of the guess that fills the bound."""

    username_full_at: datetime | None
    """Of this name from anywhere; None: there is room."""
    address_full_at: datetime | None
    """Of any name from this address."""
    pair_full_at: datetime | None
    """Of this name from this address."""
    pair_failed: bool
    """Whether this name was guessed from this address at all."""
    last_success_at: datetime | None
    """When the name last proved itself from this address; None: it is not known there."""


class LoginAttempt(Struct, frozen=True, kw_only=True):
    """A proof that is about to be tried."""

    username_digest: bytes
    address: str
    failed_logins: FailedLogins
