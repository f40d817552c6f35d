"""One typed function per statement on requests."""

from __future__ import annotations

from datetime import datetime

import msgspec

from cockade.ids import BadgeId, BadgeKey, OrgId, RequestKey
from cockade.request.model import OwnerType, Refusal, RequestKind, RequestOutcome
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_refusals = msgspec.json.Decoder(list[Refusal]).decode


async def begin(
    tx: Tx, org_id: OrgId, request_id: str, kind: RequestKind, now: datetime
) -> RequestKey | None:
    """Take the request id for this transaction and answer its key, or None where it is used already."""
    return await tx.value(SQL["begin_request"], org_id, request_id, int(now.timestamp()), kind.value)


async def decide(tx: Tx, org_id: OrgId, badge_key: BadgeKey, outcome: RequestOutcome) -> None:
    """Store the outcome of the request that `begin` began."""
    await tx.execute(
        SQL["decide_request"],
        org_id,
        outcome.request_id,
        outcome.decided_at,
        badge_key,
        outcome.owner_type.value,
        outcome.reference_id,
        outcome.event_at,
        outcome.valid_until,
        outcome.audience,
        _encode(outcome.refusals),
        outcome.enrolment_id,
    )


async def find(tx: Tx, org_id: OrgId, request_id: str) -> RequestOutcome | None:
    """What the request did, or None where the id was never used or its request was refused as a whole."""
    row = await tx.row(SQL["find_request"], org_id, request_id)
    if row is None:
        return None
    return RequestOutcome(
        request_id=row[0],
        request_key=RequestKey(row[1]),
        kind=RequestKind(row[2]),
        badge_id=BadgeId(row[3]),
        owner_type=OwnerType(row[4]),
        reference_id=row[5],
        event_at=row[6],
        valid_until=row[7],
        decided_at=row[8],
        audience=row[9],
        refusals=_refusals(row[10]),
        enrolment_id=row[11],
    )
