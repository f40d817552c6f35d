"""One typed function per statement on guesses, known addresses and leases of calls."""

from __future__ import annotations

from datetime import datetime

from cockade.ids import CredentialId
from cockade.storage.database import Tx
from cockade.storage.sql import load
from cockade.throttle.model import Attempt, Guesses, Lease

SQL = load(__package__)


async def find_guesses(
    tx: Tx,
    name_digest: bytes,
    address: str,
    *,
    since: datetime,
    per_name_max: int,
    per_address_max: int,
    known_since: datetime,
) -> Guesses:
    """What is remembered of a name and an address."""
    row = await tx.row(
        SQL["find_guesses"], name_digest, address, since, per_name_max, per_address_max, known_since
    )
    assert row is not None
    return Guesses(
        name_full_at=row[0],
        address_full_at=row[1],
        pair_full_at=row[2],
        pair_guessed=row[3],
        proved_at=row[4],
    )


async def insert_guess(tx: Tx, attempt: Attempt, now: datetime) -> None:
    """Remember that the attempt failed."""
    await tx.execute(SQL["insert_guess"], attempt.name_digest, attempt.address, now)


async def delete_old_guesses(tx: Tx, until: datetime) -> None:
    """Forget guesses that no window holds any more; some are left for the next time."""
    await tx.execute(SQL["delete_old_guesses"], until)


async def clear_guesses(tx: Tx, attempt: Attempt) -> None:
    """Forget the guesses of this name from this address, and no others."""
    await tx.execute(SQL["delete_guesses_of_pair"], attempt.name_digest, attempt.address)


async def upsert_known_address(tx: Tx, attempt: Attempt, now: datetime) -> None:
    """Remember that the name proved itself from this address."""
    await tx.execute(SQL["upsert_known_address"], attempt.name_digest, attempt.address, now)


async def delete_old_known_addresses(tx: Tx, until: datetime) -> None:
    """Forget addresses that no name has proved itself from for long."""
    await tx.execute(SQL["delete_old_known_addresses"], until)


async def take_lease(tx: Tx, credential_id: CredentialId, minute: datetime, calls: int, limit: int) -> Lease:
    """Take up to so many of the minute's calls for this process."""
    row = await tx.row(SQL["take_lease"], credential_id, minute, calls, limit)
    assert row is not None
    return Lease(minute=minute, left=row[0], taken=row[1])
