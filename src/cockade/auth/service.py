"""Manage orgs and credentials, and authenticate callers.

To verify a secret costs a query and tens of milliseconds of argon2, so a verified secret is cached for a
minute, under a hash with a random key of this process. A revocation therefore takes effect within a minute.
Before argon2 runs for a secret that is not cached, `LoginGuard` limits the attempts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import jwt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cockade import metrics
from cockade.audit import store as audit_store
from cockade.audit.model import Action, CommandLine
from cockade.auth import store
from cockade.auth.login_guard import LoginGuard
from cockade.auth.model import (
    TOKEN_TTL_MINUTES_MAX,
    AccessGroup,
    Caller,
    Credential,
    NewCredential,
    Org,
    SigningKey,
    SigningKeyInfo,
    Token,
)
from cockade.auth.rules import signing_key_infos
from cockade.clock import Clock
from cockade.config import Config
from cockade.errors import (
    CredentialNotFound,
    NotAuthenticated,
    OrgNotFound,
    ServiceBusy,
    SigningKeyInUse,
    SigningKeyNotFound,
)
from cockade.ids import CredentialId, OrgId
from cockade.storage.database import Database, Tx

CACHE_S = 60.0
CACHE_ENTRIES_MAX = 10_000
CONCURRENT_HASHES_MAX = 2
"""Each argon2 hash uses one processor and 64 MiB."""
HASH_QUEUE_TIMEOUT_S = 10.0
ALGORITHM = "HS256"
ISSUER = "cockade"
FIRST_KEY_ID = "1"
KEY_BYTES = 32
_WRONG = "The credentials are wrong or were revoked."

Address = Callable[[], str]
"""Returns the address of the caller; called only when needed."""


def _here() -> str:
    """Return the address of a caller in this process."""
    return "here"


class AuthService:
    """Use cases of `auth`. There is one instance per process, because of the cache."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Config | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._timer = timer
        self._throttle = LoginGuard(database, clock, settings or Config())
        self._hash_slots = asyncio.Semaphore(CONCURRENT_HASHES_MAX)
        self._hasher = PasswordHasher()
        self._cache_key = secrets.token_bytes(32)
        self._cached_callers: dict[bytes, tuple[float, Caller]] = {}
        # Verified when there is no such credential, so that the response takes equally long.
        self._dummy_hash = _make_dummy_hash(self._hasher)

    # Orgs and credentials

    async def create_org(self, name: str, time_zone: str) -> Org:
        """Create an org. `time_zone` is a valid IANA name."""

        async def body(tx: Tx) -> Org:
            org = await store.insert_org(tx, name, time_zone, self._clock())
            by, details = CommandLine(org.org_id), {"name": name, "timeZone": time_zone}
            await audit_store.record(tx, by, org.created_at, Action.ORG_CREATE, str(org.org_id), details)
            return org

        return await self._database.transaction("org.create", body)

    async def set_request_id_is_key(self, org_id: OrgId, is_key: bool) -> Org:
        """Set whether a repeated request id of the org returns the first response. Raises OrgNotFound.

        Cached callers see the change within a minute.
        """

        async def body(tx: Tx) -> Org:
            if await store.set_request_id_is_key(tx, org_id, is_key):
                by, details = CommandLine(org_id), {"requestIdIsKey": is_key}
                await audit_store.record(tx, by, self._clock(), Action.ORG_UPDATE, str(org_id), details)
            org = await store.find_org(tx, org_id)
            if org is None:
                raise OrgNotFound
            return org

        return await self._database.transaction("org.update", body)

    async def list_orgs(self) -> list[Org]:
        """Return all orgs by id."""
        return await self._database.transaction("org.list", store.list_orgs)

    async def create_credential(
        self,
        org_id: OrgId,
        username: str,
        *,
        secret: str | None = None,
        access_group: AccessGroup = AccessGroup.DEFAULT,
        token_ttl_minutes: int = TOKEN_TTL_MINUTES_MAX,
    ) -> NewCredential:
        """Create a credential and return its secrets, which cannot be shown again.

        Raises OrgNotFound and UsernameTaken.
        """
        new = NewCredential(
            org_id=org_id,
            username=username,
            secret=secret or secrets.token_urlsafe(24),
            client_key=secrets.token_hex(12),
            client_secret=secrets.token_urlsafe(24),
            access_group=access_group,
            token_ttl_minutes=token_ttl_minutes,
        )
        hashes = self._hasher.hash(new.secret), self._hasher.hash(new.client_secret)

        async def body(tx: Tx) -> None:
            if await store.find_org(tx, org_id) is None:
                raise OrgNotFound
            now = self._clock()
            await store.insert_credential(tx, new, *hashes, now)
            details = {"accessGroup": access_group, "tokenTtlMinutes": token_ttl_minutes}
            await audit_store.record(
                tx, CommandLine(org_id), now, Action.CREDENTIAL_CREATE, username, details
            )

        await self._database.transaction("credential.create", body)
        return new

    async def list_credentials(self, org_id: OrgId | None = None) -> list[Credential]:
        """Return the credentials of one org or of all orgs, including revoked ones."""
        return await self._database.transaction(
            "credential.list", lambda tx: store.list_credentials(tx, org_id)
        )

    async def revoke_credential(self, username: str) -> None:
        """Revoke a credential. Running services stop accepting it within a minute. Raises CredentialNotFound."""

        async def body(tx: Tx) -> None:
            now = self._clock()
            revoked = await store.revoke(tx, username, now)
            if revoked is None:
                raise CredentialNotFound
            org_id, is_first = revoked
            if is_first:
                await audit_store.record(tx, CommandLine(org_id), now, Action.CREDENTIAL_REVOKE, username, {})

        await self._database.transaction("credential.revoke", body)

    # Signing keys

    async def list_signing_keys(self) -> list[SigningKeyInfo]:
        """Return all keys, the signing key first."""
        keys = await self._database.transaction("signing_key.list", store.list_signing_keys)
        return signing_key_infos(keys)

    async def rotate_signing_key(self) -> SigningKeyInfo:
        """Create a key that signs new tokens in every process. Older keys still verify the tokens they
        signed.
        """
        secret = secrets.token_bytes(KEY_BYTES)

        async def body(tx: Tx) -> list[SigningKey]:
            await store.lock_signing_keys(tx)
            now = self._clock()
            await store.insert_signing_key(tx, secret, now)
            keys = await store.list_signing_keys(tx)
            await audit_store.record(
                tx, CommandLine(None), now, Action.SIGNING_KEY_ROTATE, keys[0].key_id, {}
            )
            return keys

        return signing_key_infos(await self._database.transaction("signing_key.rotate", body))[0]

    async def retire_signing_key(self, key_id: str) -> None:
        """Delete a key. Its tokens are rejected within a minute. Raises SigningKeyNotFound and
        SigningKeyInUse.
        """

        async def body(tx: Tx) -> None:
            await store.lock_signing_keys(tx)
            keys = [key.key_id for key in await store.list_signing_keys(tx)]
            if key_id not in keys:
                raise SigningKeyNotFound
            if key_id == keys[0]:
                raise SigningKeyInUse
            await store.delete_signing_key(tx, key_id)
            await audit_store.record(
                tx, CommandLine(None), self._clock(), Action.SIGNING_KEY_RETIRE, key_id, {}
            )

        await self._database.transaction("signing_key.retire", body)

    # Authentication

    async def authenticate_basic(self, username: str, secret: str, address: Address = _here) -> Caller:
        """Authenticate a caller with Basic credentials. Raises NotAuthenticated and TooManyFailedLogins."""
        key = self._key(f"basic\0{username}\0{secret}")
        if known := self._find_cached_and_count(key):
            return known
        async with self._hash_slot():
            if known := self._find_cached(key):  # verified by another request during the wait
                return known
            credential = await self._verify_credential(
                f"basic\0{username}",
                secret,
                address(),
                lambda tx: store.find_by_username(tx, username),
                lambda credential: credential.secret_hash,
            )
        return self._add_to_cache(key, credential.caller, CACHE_S)

    async def authenticate_token(self, token: str) -> Caller:
        """Authenticate a caller with an OAuth token. Raises NotAuthenticated."""
        key = self._key(f"token\0{token}")
        if known := self._find_cached_and_count(key):
            return known
        credential_id, expires_at = await self._read_token(token)
        credential = await self._find(lambda tx: store.find_by_id(tx, credential_id))
        if credential is None:
            raise NotAuthenticated(_WRONG)
        left_s = (expires_at - self._clock()).total_seconds()
        return self._add_to_cache(key, credential.caller, min(CACHE_S, left_s))

    async def generate_token(self, client_key: str, client_secret: str, address: Address = _here) -> Token:
        """Return a signed token for an OAuth client. Raises NotAuthenticated and TooManyFailedLogins."""
        async with self._hash_slot():
            credential = await self._verify_credential(
                f"client\0{client_key}",
                client_secret,
                address(),
                lambda tx: store.find_by_client_key(tx, client_key),
                lambda credential: credential.client_secret_hash,
            )
        now = self._clock()
        claims = {
            "iss": ISSUER,
            "sub": str(credential.caller.credential_id),
            "iat": now,
            "exp": now + timedelta(seconds=credential.token_ttl_s),
        }
        key = (await self._signing_keys())[0]
        signed = jwt.encode(claims, key.secret, algorithm=ALGORITHM, headers={"kid": key.key_id})
        return Token(access_token=signed, ttl_s=credential.token_ttl_s)

    async def _read_token(self, token: str) -> tuple[CredentialId, datetime]:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = next((key for key in await self._signing_keys() if key.key_id == key_id), None)
            if key is None:
                raise NotAuthenticated("The token was signed with an unknown key. Request a new token.")
            # We fix the algorithm; the token cannot choose it, and "none" is never accepted. Times are
            # checked below, with our clock.
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "sub", "iss"], "verify_exp": False, "verify_iat": False},
            )
            expires_at = datetime.fromtimestamp(int(claims["exp"]), self._clock().tzinfo)
            credential_id = CredentialId(int(claims["sub"]))
        except (jwt.InvalidTokenError, ValueError, OverflowError):
            raise NotAuthenticated("The token is not valid.") from None
        if expires_at <= self._clock():
            raise NotAuthenticated("The token has expired. Request a new token.")
        return credential_id, expires_at

    async def _signing_keys(self) -> list[SigningKey]:
        async def body(tx: Tx) -> list[SigningKey]:
            if keys := await store.list_signing_keys(tx):
                return keys
            first = SigningKey(
                key_id=FIRST_KEY_ID, secret=secrets.token_bytes(KEY_BYTES), created_at=self._clock()
            )
            await store.insert_first_signing_key(tx, first)
            return await store.list_signing_keys(tx)

        return await self._database.transaction("signing_key.list", body)

    async def _find(self, find: Callable[[Tx], Awaitable[Credential | None]]) -> Credential | None:
        return await self._database.transaction("credential.find", find)

    async def _verify(self, secret_hash: str, secret: str) -> None:
        """Verify a secret in a thread, because argon2 is slow by design."""
        try:
            await asyncio.to_thread(self._hasher.verify, secret_hash, secret)
        except (VerificationError, InvalidHashError):
            raise NotAuthenticated(_WRONG) from None

    async def _verify_credential(
        self,
        name: str,
        secret: str,
        address: str,
        find: Callable[[Tx], Awaitable[Credential | None]],
        hash_of: Callable[[Credential], str],
    ) -> Credential:
        """Return the credential if the secret matches. An unknown name takes as long as a wrong secret."""
        attempt = await self._throttle.check(name, address)
        credential = await self._find(find)
        try:
            await self._verify(self._dummy_hash if credential is None else hash_of(credential), secret)
            if credential is None:
                raise NotAuthenticated(_WRONG)
        except NotAuthenticated:
            await self._throttle.record_failure(attempt)
            raise
        await self._throttle.record_success(attempt)
        return credential

    @asynccontextmanager
    async def _hash_slot(self) -> AsyncGenerator[None]:
        """Wait for one of a few slots for hashing, so that parallel attempts cannot exceed the login limits.
        Raises Busy.
        """
        try:
            await asyncio.wait_for(self._hash_slots.acquire(), HASH_QUEUE_TIMEOUT_S)
        except TimeoutError as error:
            raise ServiceBusy from error
        try:
            yield
        finally:
            self._hash_slots.release()

    def _key(self, proof: str) -> bytes:
        return hashlib.blake2b(
            proof.encode("utf-8", "surrogatepass"), key=self._cache_key, digest_size=32
        ).digest()

    def _find_cached_and_count(self, key: bytes) -> Caller | None:
        """Return the caller cached for this credential, and count the request for metrics."""
        known = self._find_cached(key)
        metrics.count_credential_check(is_known=known is not None)
        return known

    def _find_cached(self, key: bytes) -> Caller | None:
        known = self._cached_callers.get(key)
        return known[1] if known is not None and known[0] > self._timer() else None

    def _add_to_cache(self, key: bytes, caller: Caller, for_s: float) -> Caller:
        if len(self._cached_callers) >= CACHE_ENTRIES_MAX:
            self._cached_callers.clear()
        self._cached_callers[key] = (self._timer() + for_s, caller)
        return caller


def _make_dummy_hash(hasher: PasswordHasher) -> str:
    """Return a value in the format of this hasher's hashes that no known secret matches, without hashing."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"
