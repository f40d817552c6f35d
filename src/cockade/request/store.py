"""One typed function per statement on requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId, RequestKey
from cockade.request.model import (
    CustomerFailure,
    ImportOutcome,
    JobReference,
    Outcome,
    OwnerType,
    RequestKind,
    RequestOutcome,
    RowFailure,
)
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_refusals = msgspec.json.Decoder(list[CustomerFailure]).decode
_row_refusals = msgspec.json.Decoder(list[RowFailure]).decode


async def begin(
    tx: Tx, org_id: OrgId, request_id: str, kind: RequestKind, now: datetime
) -> RequestKey | None:
    """Insert the request id and return its key, or None if the id is used."""
    return await tx.value(SQL["begin_request"], org_id, request_id, int(now.timestamp()), kind.value)


async def begin_many(
    tx: Tx, ids: Sequence[tuple[OrgId, str, RequestKind]], now: datetime
) -> list[RequestKey | None]:
    """As begin, for many distinct ids."""
    rows = await tx.rows(
        SQL["begin_requests"],
        [org_id for org_id, _, _ in ids],
        [request_id for _, request_id, _ in ids],
        [kind.value for _, _, kind in ids],
        int(now.timestamp()),
    )
    keys: dict[tuple[OrgId, str], RequestKey] = {(row[0], row[1]): row[2] for row in rows}
    return [keys.get((org_id, request_id)) for org_id, request_id, _ in ids]


async def release_many(tx: Tx, ids: Sequence[tuple[OrgId, str]]) -> None:
    """Delete ids that `begin_many` inserted in this transaction."""
    await tx.execute(
        SQL["release_requests"],
        [org_id for org_id, _ in ids],
        [request_id for _, request_id in ids],
    )


async def complete_many(tx: Tx, completed: Sequence[tuple[OrgId, RequestOutcome]], now: datetime) -> None:
    """As complete, for requests that `begin_many` inserted."""
    outcomes = [outcome for _, outcome in completed]
    await tx.execute(
        SQL["complete_requests"],
        now,
        [org_id for org_id, _ in completed],
        [outcome.request_id for outcome in outcomes],
        [outcome.badge_key for outcome in outcomes],
        [outcome.owner_type.value for outcome in outcomes],
        [outcome.reference_id for outcome in outcomes],
        [outcome.event_at for outcome in outcomes],
        [outcome.valid_until for outcome in outcomes],
        [f"{{{','.join(map(str, outcome.customer_ids))}}}" for outcome in outcomes],
        [outcome.request_key for outcome in outcomes],
        [_encode(outcome.failures).decode() for outcome in outcomes],
    )


async def complete(tx: Tx, org_id: OrgId, outcome: Outcome) -> None:
    """Store the outcome of a request that `begin` inserted, and its outbox row."""
    match outcome:
        case RequestOutcome():
            await tx.execute(
                SQL["complete_request"],
                org_id,
                outcome.request_id,
                outcome.completed_at,
                outcome.badge_key,
                outcome.owner_type.value,
                outcome.reference_id,
                outcome.event_at,
                outcome.valid_until,
                outcome.customer_ids,
                _encode(outcome.failures),
                outcome.enrolment_id,
                outcome.request_key,
            )
        case ImportOutcome():
            await tx.execute(
                SQL["complete_import"],
                org_id,
                outcome.request_id,
                outcome.completed_at,
                OwnerType.HISTORICAL_IMPORT.value,
                outcome.badge_keys,
                outcome.customer_ids,
                outcome.valid_untils,
                _encode(outcome.failures),
                outcome.request_key,
            )


async def find(tx: Tx, org_id: OrgId, request_id: str) -> Outcome | JobReference | None:
    """Return what the request did, or None if the id is not used."""
    row = await tx.row(SQL["find_request"], org_id, request_id)
    return None if row is None else await _read_outcome(tx, row)


async def find_by_keys(
    tx: Tx, org_id: OrgId, request_keys: Sequence[RequestKey]
) -> list[Outcome | JobReference]:
    """As find, for several requests by key."""
    return [
        await _read_outcome(tx, row)
        for row in await tx.rows(SQL["find_requests_by_key"], org_id, request_keys)
    ]


async def _read_outcome(tx: Tx, row: Row) -> Outcome | JobReference:
    kind = RequestKind(row[2])
    if kind is RequestKind.JOB:
        return JobReference(request_key=RequestKey(row[1]))
    return await _import_outcome(tx, row) if kind is RequestKind.IMPORT else _outcome(kind, row)


async def is_used(tx: Tx, org_id: OrgId, request_id: str) -> bool:
    """Whether the request id is used. Does not wait for a transaction that is inserting it."""
    return await tx.value(SQL["is_request_id_used"], org_id, request_id)


def _outcome(kind: RequestKind, row: Row) -> RequestOutcome:
    return RequestOutcome(
        request_id=row[0],
        request_key=RequestKey(row[1]),
        kind=kind,
        badge_key=BadgeKey(row[3]),
        badge_id=BadgeId(row[4]),
        owner_type=OwnerType(row[5]),
        reference_id=row[6],
        event_at=row[7],
        valid_until=row[8],
        completed_at=row[9],
        customer_ids=row[10],
        failures=_refusals(row[11]),
        enrolment_id=row[12],
    )


async def _import_outcome(tx: Tx, row: Row) -> ImportOutcome:
    badge_keys: list[BadgeKey] = row[13]
    rows = await tx.rows(SQL["badge_ids"], list(set(badge_keys)))
    ids: dict[BadgeKey, BadgeId] = {found[0]: found[1] for found in rows}
    return ImportOutcome(
        request_id=row[0],
        request_key=RequestKey(row[1]),
        completed_at=row[9],
        badge_keys=badge_keys,
        badge_ids=[ids.get(key, BadgeId("")) for key in badge_keys],
        customer_ids=row[10],
        valid_untils=row[14],
        failures=_row_refusals(row[11]),
    )


async def list_customers(tx: Tx, org_id: OrgId, request_id: str, lines: range) -> list[CustomerId]:
    """Return the customers at these lines of the request."""
    return await tx.value(SQL["list_customers"], org_id, request_id, lines.start + 1, lines.stop)


async def replace_customer(tx: Tx, org_id: OrgId, customer: CustomerId, replacement: CustomerId) -> int:
    """Replace the customer in all requests of the org. Return how many requests changed."""
    return await tx.value(SQL["replace_customer"], org_id, customer, replacement)
