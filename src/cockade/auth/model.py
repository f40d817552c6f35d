"""Orgs, callers, credentials, tokens and signing keys."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from cockade.ids import CredentialId, OrgId

TOKEN_TTL_MINUTES_MAX = 60
"""Maximum lifetime of OAuth tokens (`docs/reference/api/contract.md`, "Authentication and access")."""


class AccessGroup(StrEnum):
    """The permissions of a credential."""

    DEFAULT = "default"
    """The whole API."""
    READ_ONLY = "read-only"
    """Only operations that change nothing."""


class Org(Struct, frozen=True, kw_only=True):
    """A tenant. Everything belongs to one org, and an org cannot see data of another."""

    org_id: OrgId
    name: str
    time_zone: str
    """IANA time zone name. It defines where days and months begin."""
    created_at: datetime
    request_id_is_key: bool = False
    """Whether a repeated request id returns the first response instead of error 809."""


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated caller."""

    credential_id: CredentialId
    username: str
    org_id: OrgId
    time_zone: str
    access_group: AccessGroup
    request_id_is_key: bool = False
    """The org's setting."""


class Credential(Struct, frozen=True, kw_only=True):
    """A stored credential. Secrets are stored only as argon2 hashes."""

    caller: Caller
    secret_hash: str
    client_key: str
    client_secret_hash: str
    token_ttl_s: int
    created_at: datetime
    revoked_at: datetime | None


class NewCredential(Struct, frozen=True, kw_only=True):
    """The secrets of a new credential, which are shown once."""

    org_id: OrgId
    username: str
    secret: str
    client_key: str
    client_secret: str
    access_group: AccessGroup
    token_ttl_minutes: int


class Token(Struct, frozen=True, kw_only=True):
    """A signed OAuth token."""

    access_token: str
    ttl_s: int


class SigningKey(Struct, frozen=True, kw_only=True):
    """A key that signs tokens (HS256), shared by all processes through the database."""

    key_id: str
    secret: bytes
    created_at: datetime


class SigningKeyInfo(Struct, frozen=True, kw_only=True):
    """A signing key as shown to operators, without its secret."""

    key_id: str
    created_at: datetime
    signs: bool
    """Only the newest key signs; the others verify existing tokens."""
    last_token_expires_at: datetime | None
    """When the last token signed with this key expires. None while the key signs."""


class FailedLogins(Struct, frozen=True, kw_only=True):
    """Failed logins of a username and an address. Each instant is that of the failure that reaches the limit."""

    username_full_at: datetime | None
    """For this username from any address. None if the limit is not reached."""
    address_full_at: datetime | None
    """For any username from this address."""
    pair_full_at: datetime | None
    """For this username from this address."""
    pair_failed: bool
    """Whether a login of this username from this address has failed."""
    last_success_at: datetime | None
    """Time of the last recorded login of this username from this address. None if the address is not known.
    """


class LoginAttempt(Struct, frozen=True, kw_only=True):
    """A login attempt, before its secret is verified."""

    username_digest: bytes
    address: str
    failed_logins: FailedLogins
