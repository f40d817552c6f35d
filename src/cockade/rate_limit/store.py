"""Statements on rate limits, one function each."""

from __future__ import annotations

from datetime import datetime

from cockade.ids import CredentialId
from cockade.rate_limit.model import Reservation
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def reserve(
    tx: Tx, credential_id: CredentialId, minute: datetime, calls: int, limit: int
) -> Reservation:
    """Reserve up to this number of the minute's requests for this process."""
    row = await tx.row(SQL["reserve"], credential_id, minute, calls, limit)
    assert row is not None
    return Reservation(minute=minute, left=row[0], taken=row[1])
