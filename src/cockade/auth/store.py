"""Statements on orgs, credentials, signing keys and failed logins, one function each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from asyncpg import UniqueViolationError

from cockade.auth.model import (
    AccessGroup,
    Caller,
    Credential,
    FailedLogins,
    LoginAttempt,
    NewCredential,
    Org,
    SigningKey,
)
from cockade.errors import UsernameTaken
from cockade.ids import CredentialId, OrgId
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def insert_org(tx: Tx, name: str, time_zone: str, now: datetime) -> Org:
    """Insert an org. The database assigns its id."""
    row = await tx.row(SQL["insert_org"], name, time_zone, now)
    assert row is not None
    return _org(row)


async def find_org(tx: Tx, org_id: OrgId) -> Org | None:
    """Return the org, or None."""
    row = await tx.row(SQL["find_org"], org_id)
    return None if row is None else _org(row)


async def set_request_id_is_key(tx: Tx, org_id: OrgId, is_key: bool) -> bool:
    """Set the org's setting. Return whether it changed."""
    return await tx.value(SQL["set_request_id_is_key"], org_id, is_key) is not None


async def list_orgs(tx: Tx) -> list[Org]:
    """Return all orgs by id."""
    return [_org(row) for row in await tx.rows(SQL["list_orgs"])]


async def insert_credential(
    tx: Tx, new: NewCredential, secret_hash: str, client_secret_hash: str, now: datetime
) -> None:
    """Insert a credential. Raises UsernameTaken."""
    try:
        await tx.execute(
            SQL["insert_credential"],
            new.org_id,
            new.username,
            new.access_group.value,
            secret_hash,
            new.client_key,
            client_secret_hash,
            new.token_ttl_minutes * 60,
            now,
        )
    except UniqueViolationError as error:
        if error.constraint_name == "credential_username_unique":
            raise UsernameTaken from None
        raise


async def find_by_username(tx: Tx, username: str) -> Credential | None:
    """Return the active credential with this username, or None."""
    return _credential(await tx.row(SQL["find_credential_by_username"], username))


async def find_by_client_key(tx: Tx, client_key: str) -> Credential | None:
    """Return the active credential with this OAuth client key, or None."""
    return _credential(await tx.row(SQL["find_credential_by_client_key"], client_key))


async def find_by_id(tx: Tx, credential_id: CredentialId) -> Credential | None:
    """Return the active credential with this id, or None."""
    return _credential(await tx.row(SQL["find_credential_by_id"], credential_id))


async def list_credentials(tx: Tx, org_id: OrgId | None) -> list[Credential]:
    """Return credentials by id, including revoked ones."""
    found = [_credential(row) for row in await tx.rows(SQL["list_credentials"], org_id)]
    return [credential for credential in found if credential is not None]


async def revoke(tx: Tx, username: str, now: datetime) -> tuple[OrgId, bool] | None:
    """Revoke a credential. Return its org and whether it was active, or None if there is no such credential."""
    row = await tx.row(SQL["revoke_credential"], username, now)
    return None if row is None else (OrgId(row[0]), row[1])


async def insert_first_signing_key(tx: Tx, key: SigningKey) -> None:
    """Insert the key unless a key with its id exists."""
    await tx.execute(SQL["insert_first_signing_key"], key.key_id, key.secret, key.created_at)


async def list_signing_keys(tx: Tx) -> list[SigningKey]:
    """Return all keys, the signing key first."""
    rows = await tx.rows(SQL["list_signing_keys"])
    return [SigningKey(key_id=row[0], secret=row[1], created_at=row[2]) for row in rows]


async def lock_signing_keys(tx: Tx) -> None:
    """Lock the signing keys against changes by others until the transaction ends."""
    await tx.execute(SQL["lock_signing_keys"])


async def insert_signing_key(tx: Tx, secret: bytes, now: datetime) -> None:
    """Insert a key, which signs from now on."""
    await tx.execute(SQL["insert_signing_key"], secret, now)


async def delete_signing_key(tx: Tx, key_id: str) -> None:
    """Delete a key and so invalidate all tokens signed with it."""
    await tx.execute(SQL["delete_signing_key"], key_id)


def _org(row: Row) -> Org:
    return Org(
        org_id=OrgId(row[0]), name=row[1], time_zone=row[2], created_at=row[3], request_id_is_key=row[4]
    )


def _credential(row: Row | None) -> Credential | None:
    if row is None:
        return None
    columns: list[Any] = list(row)
    return Credential(
        caller=Caller(
            credential_id=CredentialId(columns[0]),
            username=columns[1],
            org_id=OrgId(columns[2]),
            time_zone=columns[3],
            access_group=AccessGroup(columns[4]),
            request_id_is_key=columns[11],
        ),
        secret_hash=columns[5],
        client_key=columns[6],
        client_secret_hash=columns[7],
        token_ttl_s=columns[8],
        created_at=columns[9],
        revoked_at=columns[10],
    )


async def find_failed_logins(
    tx: Tx,
    username_digest: bytes,
    address: str,
    *,
    since: datetime,
    per_username_max: int,
    per_address_max: int,
    known_since: datetime,
) -> FailedLogins:
    """Return the failed logins of a username and an address."""
    row = await tx.row(
        SQL["find_failed_logins"],
        username_digest,
        address,
        since,
        per_username_max,
        per_address_max,
        known_since,
    )
    assert row is not None
    return FailedLogins(
        username_full_at=row[0],
        address_full_at=row[1],
        pair_full_at=row[2],
        pair_failed=row[3],
        last_success_at=row[4],
    )


async def insert_failed_login(tx: Tx, attempt: LoginAttempt, now: datetime) -> None:
    """Insert a failed login."""
    await tx.execute(SQL["insert_failed_login"], attempt.username_digest, attempt.address, now)


async def delete_old_failed_logins(tx: Tx, until: datetime) -> None:
    """Delete a batch of failed logins that are outside every window."""
    await tx.execute(SQL["delete_old_failed_logins"], until)


async def delete_failed_logins(tx: Tx, attempt: LoginAttempt) -> None:
    """Delete the failed logins of this username from this address."""
    await tx.execute(SQL["delete_failed_logins_of_pair"], attempt.username_digest, attempt.address)


async def upsert_known_login_address(tx: Tx, attempt: LoginAttempt, now: datetime) -> None:
    """Record that the username logged in from this address."""
    await tx.execute(SQL["upsert_known_login_address"], attempt.username_digest, attempt.address, now)


async def delete_old_known_login_addresses(tx: Tx, until: datetime) -> None:
    """Delete addresses without a successful login for a long time."""
    await tx.execute(SQL["delete_old_known_login_addresses"], until)
