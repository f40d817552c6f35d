"""One typed function per statement on requests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId, RequestKey
from cockade.request.model import (
    ImportOutcome,
    JobRequest,
    Ledger,
    Outcome,
    OwnerType,
    Refusal,
    RequestKind,
    RequestOutcome,
    RowRefusal,
)
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_refusals = msgspec.json.Decoder(list[Refusal]).decode
_row_refusals = msgspec.json.Decoder(list[RowRefusal]).decode


async def begin(
    tx: Tx, org_id: OrgId, request_id: str, kind: RequestKind, now: datetime
) -> RequestKey | None:
    """Take the request id for this transaction and answer its key, or None where it is used already."""
    return await tx.value(SQL["begin_request"], org_id, request_id, int(now.timestamp()), kind.value)


async def begin_many(
    tx: Tx, asked: Sequence[tuple[OrgId, str, RequestKind]], now: datetime
) -> list[RequestKey | None]:
    """As begin, for many different ids at once."""
    rows = await tx.rows(
        SQL["begin_requests"],
        [org_id for org_id, _, _ in asked],
        [request_id for _, request_id, _ in asked],
        [kind.value for _, _, kind in asked],
        int(now.timestamp()),
    )
    keys: dict[tuple[OrgId, str], RequestKey] = {(row[0], row[1]): row[2] for row in rows}
    return [keys.get((org_id, request_id)) for org_id, request_id, _ in asked]


async def forget_many(tx: Tx, asked: Sequence[tuple[OrgId, str]]) -> None:
    """Give these ids back, which `begin_many` took in this transaction."""
    await tx.execute(
        SQL["forget_requests"],
        [org_id for org_id, _ in asked],
        [request_id for _, request_id in asked],
    )


async def decide_many(tx: Tx, decided: Sequence[tuple[OrgId, RequestOutcome]], now: datetime) -> None:
    """As decide, for many at once that `begin_many` began, in which everybody has earned."""
    outcomes = [outcome for _, outcome in decided]
    await tx.execute(
        SQL["decide_requests"],
        now,
        [org_id for org_id, _ in decided],
        [outcome.request_id for outcome in outcomes],
        [outcome.badge_key for outcome in outcomes],
        [outcome.owner_type.value for outcome in outcomes],
        [outcome.reference_id for outcome in outcomes],
        [outcome.event_at for outcome in outcomes],
        [outcome.valid_until for outcome in outcomes],
        [f"{{{','.join(map(str, outcome.audience))}}}" for outcome in outcomes],
        [outcome.request_key for outcome in outcomes],
    )


async def decide(tx: Tx, org_id: OrgId, outcome: Outcome) -> None:
    """Store the outcome of the request that `begin` began, and that it is to be told."""
    match outcome:
        case RequestOutcome():
            await tx.execute(
                SQL["decide_request"],
                org_id,
                outcome.request_id,
                outcome.decided_at,
                outcome.badge_key,
                outcome.owner_type.value,
                outcome.reference_id,
                outcome.event_at,
                outcome.valid_until,
                outcome.audience,
                _encode(outcome.refusals),
                outcome.enrolment_id,
                outcome.request_key,
            )
        case ImportOutcome():
            await tx.execute(
                SQL["decide_import"],
                org_id,
                outcome.request_id,
                outcome.decided_at,
                OwnerType.HISTORICAL_IMPORT.value,
                outcome.badge_keys,
                outcome.customers,
                outcome.valid_untils,
                _encode(outcome.refusals),
                outcome.request_key,
            )


async def find(tx: Tx, org_id: OrgId, request_id: str) -> Outcome | JobRequest | None:
    """What the request did, or None where the id was never used or its request was refused as a whole."""
    row = await tx.row(SQL["find_request"], org_id, request_id)
    return None if row is None else await _read_outcome(tx, row)


async def find_by_keys(
    tx: Tx, org_id: OrgId, request_keys: Sequence[RequestKey]
) -> list[Outcome | JobRequest]:
    """As find, of several, by the keys that the ledger knows requests by."""
    return [
        await _read_outcome(tx, row)
        for row in await tx.rows(SQL["find_requests_by_key"], org_id, request_keys)
    ]


async def _read_outcome(tx: Tx, row: Row) -> Outcome | JobRequest:
    kind = RequestKind(row[2])
    if kind is RequestKind.JOB:
        return JobRequest(request_key=RequestKey(row[1]))
    return await _import_outcome(tx, row) if kind is RequestKind.IMPORT else _outcome(kind, row)


async def is_used(tx: Tx, org_id: OrgId, request_id: str) -> bool:
    """Whether the request id was used; who is just using it is not waited for."""
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
        decided_at=row[9],
        audience=row[10],
        refusals=_refusals(row[11]),
        enrolment_id=row[12],
    )


async def _import_outcome(tx: Tx, row: Row) -> ImportOutcome:
    badge_keys: list[BadgeKey] = row[13]
    rows = await tx.rows(SQL["badge_ids"], list(set(badge_keys)))
    ids: dict[BadgeKey, BadgeId] = {found[0]: found[1] for found in rows}
    return ImportOutcome(
        request_id=row[0],
        request_key=RequestKey(row[1]),
        decided_at=row[9],
        badge_keys=badge_keys,
        badge_ids=[ids.get(key, BadgeId("")) for key in badge_keys],
        customers=row[10],
        valid_untils=row[14],
        refusals=_row_refusals(row[11]),
    )


async def list_customers(tx: Tx, org_id: OrgId, request_id: str, lines: range) -> list[CustomerId]:
    """Who stands at these lines of the request now, as far as it has so many."""
    return await tx.value(SQL["list_customers"], org_id, request_id, lines.start + 1, lines.stop)


async def rename(tx: Tx, org_id: OrgId, customer: CustomerId, into: CustomerId) -> int:
    """Put another customer in her place in all audiences of the org; answers how many had her. Lines stay.

    So too in what is told of revocations.
    """
    return await tx.value(SQL["rename"], org_id, customer, into)


async def tell_part(
    tx: Tx,
    org_id: OrgId,
    request_key: RequestKey,
    part: int,
    now: datetime,
    valid_until: datetime | None = None,
) -> None:
    """Say, in the transaction that decides it, which part of a job was: the number of a chunk, or WHOLE.

    With the end of what it issued.
    """
    await tx.execute(SQL["tell_part"], org_id, now, request_key, part, valid_until)


async def tell_revoked(
    tx: Tx,
    org_id: OrgId,
    ledger: Ledger,
    badge_key: BadgeKey,
    revoked: Sequence[tuple[CustomerId, RequestKey, int]],
    now: datetime,
) -> None:
    """Say, in the transaction that revokes, whose entries of one badge these were: customer, request key and line.

    It is the last that the transaction does but for the audit trail: its place in the feed depends on that.
    """
    await tx.execute(
        SQL["tell_revoked"],
        org_id,
        now,
        int(now.timestamp()),
        badge_key,
        ledger.value,
        [customer for customer, _, _ in revoked],
        [request_key for _, request_key, _ in revoked],
        [line for _, _, line in revoked],
    )


async def try_lock_outbox(tx: Tx) -> bool:
    """Be the only one who gives positions, if nobody else is."""
    return await tx.value(SQL["try_lock_outbox"])


async def place(tx: Tx, rows_max: int) -> int:
    """Give positions to so many of those that have none, and note when what they issued ends; answers how many got one."""
    return await tx.value(SQL["place"], rows_max)


async def tell_ended(tx: Tx, until: datetime, now: datetime, rows_max: int) -> int:
    """Say what has ended by then, of so many requests and parts of jobs at most; answers of how many.

    Only whoever gives positions does this.
    """
    return await tx.value(SQL["tell_ended"], until, now, rows_max, int(now.timestamp()))


async def forget_told(tx: Tx, before: datetime, rows_max: int) -> int:
    """Delete what happened before then from the outbox, so many rows of each org; answers how many."""
    return await tx.value(SQL["forget_outbox"], before, rows_max)
