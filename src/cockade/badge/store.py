"""Statements on badges and claims, one function each."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from asyncpg import UniqueViolationError

from cockade.badge import rules
from cockade.badge.model import (
    Badge,
    BadgeCounts,
    BadgeDraft,
    BadgeFilter,
    BadgeLock,
    Claim,
    Constraint,
    EarnTerms,
    EarnType,
    Expiry,
    ImportTerms,
    OverlapPolicy,
    Presentation,
)
from cockade.errors import BadgeIdTaken, BadgeNotFound, NameTaken
from cockade.ids import BadgeId, BadgeKey, OrgId
from cockade.metadata.store import group_names
from cockade.request.model import OwnerType
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_encode = msgspec.json.Encoder().encode
_expiry = msgspec.json.Decoder(Expiry).decode
_constraints = msgspec.json.Decoder(list[Constraint]).decode
_presentation = msgspec.json.Decoder(Presentation).decode


async def insert(
    tx: Tx, org_id: OrgId, badge_id: BadgeId, draft: BadgeDraft, now: datetime, username: str
) -> None:
    """Insert a badge with the org's next number. Raises NameTaken and BadgeIdTaken."""
    await tx.execute(SQL["lock_org"], org_id)
    number = await tx.value(SQL["next_badge_number"], org_id)
    with _taken():
        await tx.execute(SQL["insert_badge"], org_id, badge_id, number, *_columns(draft), now, username)


async def update(tx: Tx, badge_key: BadgeKey, draft: BadgeDraft, now: datetime, username: str) -> None:
    """Update the badge. Requires the exclusive lock. Raises NameTaken."""
    with _taken():
        await tx.execute(SQL["update_badge"], badge_key, *_columns(draft), now, username)


def _columns(draft: BadgeDraft) -> tuple[object, ...]:
    return (
        draft.name,
        draft.starts_at,
        draft.expires_at,
        draft.earn_type.value,
        _encode(draft.earned_expiry),
        None if draft.issued_expiry is None else _encode(draft.issued_expiry),
        [owner.value for owner in draft.owners],
        None if draft.overlap_policy is None else draft.overlap_policy.value,
        _encode(draft.customer_constraints),
        _encode(draft.badge_constraints),
        _encode(draft.presentation),
        draft.is_active,
        rules.has_badge_limit(draft.badge_constraints),
        draft.presentation.badge_group_id,
        draft.presentation.badge_rank,
    )


@contextmanager
def _taken() -> Generator[None]:
    """Translate violations of unique constraints to our errors."""
    try:
        yield
    except UniqueViolationError as error:
        if error.constraint_name == "badge_name_unique":
            raise NameTaken(reference="name") from None
        if error.constraint_name == "badge_id_unique":
            raise BadgeIdTaken(reference="id") from None
        raise


async def find(tx: Tx, org_id: OrgId, badge_id: BadgeId) -> Badge | None:
    """Return the org's badge with its claims, or None."""
    row = await tx.row(SQL["find_badge"], org_id, badge_id)
    if row is None:
        return None
    [badge] = await _badges(tx, org_id, [row])
    return badge


async def find_many(tx: Tx, org_id: OrgId, badge_keys: Sequence[BadgeKey]) -> dict[BadgeKey, Badge]:
    """Return these badges of the org with their claims."""
    rows = await tx.rows(SQL["find_badges"], badge_keys)
    return {badge.badge_key: badge for badge in await _badges(tx, org_id, rows)}


async def list_page(
    tx: Tx, org_id: OrgId, wanted: BadgeFilter, now: datetime, page: int, size: int
) -> tuple[list[Badge], int]:
    """Return one page of the org's badges, newest first, and their total number."""

    async def ask(limit: int, offset: int) -> list[Row]:
        return await tx.rows(
            SQL["list_badges"],
            org_id,
            wanted.status,
            wanted.earn_type,
            wanted.is_active,
            wanted.owner,
            wanted.claimed_by,
            wanted.unclaimed,
            wanted.name,
            wanted.starts_from,
            wanted.expires_until,
            limit,
            now,
            offset,
        )

    rows = await ask(size, page * size)
    if not rows and page > 0:
        first = await ask(1, 0)
        return [], first[0][-1] if first else 0
    return await _badges(tx, org_id, rows), rows[0][-1] if rows else 0


async def lock(tx: Tx, org_id: OrgId, badge_id: BadgeId, *, exclusive: bool) -> BadgeLock | None:
    """Lock the badge: shared, or exclusively if `exclusive` is set or it has a badge limit.

    Returns None if the org has no such badge.
    """
    row = await tx.row(SQL["lock_badge"], org_id, badge_id, exclusive)
    return None if row is None else BadgeLock(BadgeKey(row[0]), row[1])


async def lock_for_issuing(
    tx: Tx, org_id: OrgId, badge_id: BadgeId | None, *, exclusive: bool, read_only: bool = False
) -> tuple[BadgeId, BadgeLock]:
    """Like `lock`, for the badge id of a request body. Raises BadgeNotFound, also for an invalid badge id.

    With `read_only`, the transaction has one snapshot and changes nothing, so the badge is not locked.
    """
    held = None
    if badge_id is not None:
        held = await (
            _read_without_lock(tx, org_id, badge_id)
            if read_only
            else lock(tx, org_id, badge_id, exclusive=exclusive)
        )
    if badge_id is None or held is None:
        raise BadgeNotFound(reference="badgeMetaId")
    return badge_id, held


async def _read_without_lock(tx: Tx, org_id: OrgId, badge_id: BadgeId) -> BadgeLock | None:
    badge_key = await tx.value(SQL["find_badge_key"], org_id, badge_id)
    return None if badge_key is None else BadgeLock(BadgeKey(badge_key), exclusive=True)


async def lock_many(
    tx: Tx, org_id: OrgId, badge_ids: Collection[BadgeId], *, exclusive: bool
) -> dict[BadgeId, BadgeLock]:
    """Like `lock`, for all of these badges that the org has."""
    rows = await tx.rows(SQL["lock_badges"], org_id, list(badge_ids), exclusive)
    return {row[1]: BadgeLock(BadgeKey(row[0]), row[2]) for row in rows}


async def lock_keys(tx: Tx, badge_keys: Sequence[BadgeKey]) -> None:
    """Lock all of these badges exclusively."""
    await tx.execute(SQL["lock_keys"], badge_keys)


async def import_terms(tx: Tx, badge_keys: Sequence[BadgeKey]) -> dict[BadgeKey, ImportTerms]:
    """Return the data that imports need. Requires the locks."""
    return {
        BadgeKey(row[0]): ImportTerms(row[1], _constraints(row[2]))
        for row in await tx.rows(SQL["import_terms"], badge_keys)
    }


async def try_lock_without_badge_limit(
    tx: Tx, asked: Collection[tuple[OrgId, BadgeId]]
) -> dict[tuple[OrgId, BadgeId], BadgeKey]:
    """Lock, without waiting, those of these badges that exist, have no badge limit and are not locked
    exclusively.
    """
    rows = await tx.rows(
        SQL["try_lock_uncapped_badges"],
        [org_id for org_id, _ in asked],
        [badge_id for _, badge_id in asked],
    )
    return {(OrgId(row[0]), BadgeId(row[1])): BadgeKey(row[2]) for row in rows}


async def earn_terms(tx: Tx, badge_key: BadgeKey, owner: OwnerType, reference_id: str) -> EarnTerms:
    """Return the data that earning and enrolment need. Requires the lock."""
    [terms] = await earn_terms_of_many(tx, [(badge_key, owner, reference_id)])
    return terms


async def earn_terms_of_many(tx: Tx, asked: Collection[tuple[BadgeKey, OwnerType, str]]) -> list[EarnTerms]:
    """Like `earn_terms`, for each of these badges, owners and references, in the same order."""
    rows = await tx.rows(
        SQL["earn_terms"],
        [badge_key for badge_key, _, _ in asked],
        [owner.value for _, owner, _ in asked],
        [reference_id for _, _, reference_id in asked],
    )
    return [_terms(row) for row in rows]


def _terms(row: Row) -> EarnTerms:
    policy = None if row[8] is None else OverlapPolicy(row[8])
    customer_constraints = _constraints(row[9])
    return EarnTerms(
        is_active=row[1],
        starts_at=row[2],
        expires_at=row[3],
        earn_type=EarnType(row[4]),
        earned_expiry=_expiry(row[5]),
        issued_expiry=None if row[6] is None else _expiry(row[6]),
        owners=[OwnerType(owner) for owner in row[7]],
        holds_several=rules.holds_several(policy, customer_constraints),
        customer_constraints=customer_constraints,
        badge_constraints=_constraints(row[10]),
        is_claimed=row[11],
    )


async def has_badge_limit(tx: Tx, badge_key: BadgeKey) -> bool:
    """Whether the badge has a badge limit. Requires the lock."""
    return await tx.value(SQL["has_badge_limit"], badge_key)


async def add_count(tx: Tx, badge_key: BadgeKey, *, issued: int = 0, earned: int = 0) -> None:
    """Add to (or subtract from) the counts of one badge. See `add_counts`."""
    await add_counts(tx, {badge_key: BadgeCounts(issued, earned)})


async def add_counts(tx: Tx, added: Mapping[BadgeKey, BadgeCounts]) -> None:
    """Add to (or subtract from) the counts of enrolments and earned badges. Must be the transaction's last
    statement on badges.
    """
    counts = added.values()
    await tx.execute(
        SQL["add_counts"],
        list(added),
        [count.issued for count in counts],
        [count.earned for count in counts],
    )


async def counts(tx: Tx, badge_keys: Sequence[BadgeKey]) -> dict[BadgeKey, BadgeCounts]:
    """Return the counts, without revoked ones, of each badge with issuances."""
    return {BadgeKey(row[0]): BadgeCounts(row[1], row[2]) for row in await tx.rows(SQL["counts"], badge_keys)}


async def set_active(tx: Tx, badge_key: BadgeKey, is_active: bool, now: datetime, username: str) -> None:
    """Activate or deactivate the badge."""
    await tx.execute(SQL["set_active"], badge_key, is_active, now, username)


async def claim(tx: Tx, badge_key: BadgeKey, owner: OwnerType, reference_id: str) -> bool:
    """Register the owner under its reference id. Return whether the claim is new."""
    return await tx.value(SQL["claim"], badge_key, owner.value, reference_id) is not None


async def unclaim(tx: Tx, badge_key: BadgeKey, owner: OwnerType, reference_id: str) -> bool:
    """End the claim. Return whether it was active."""
    return await tx.value(SQL["unclaim"], badge_key, owner.value, reference_id) is not None


async def _badges(tx: Tx, org_id: OrgId, rows: list[Row]) -> list[Badge]:
    """Return the badges of these rows, with their claims and the names of their groups."""
    claims = await _claims(tx, [row[0] for row in rows])
    shown = [_presentation(row[14]) for row in rows]
    groups = await group_names(tx, org_id, (each.badge_group_id for each in shown if each.badge_group_id))
    return [
        _badge(row, claims.get(row[0], []), each, groups.get(each.badge_group_id or ""))
        for row, each in zip(rows, shown, strict=True)
    ]


async def _claims(tx: Tx, keys: list[int]) -> dict[int, list[Claim]]:
    claims: dict[int, list[Claim]] = {}
    for key, owner, reference_id, is_active in await tx.rows(SQL["list_claims"], keys):
        claims.setdefault(key, []).append(Claim(OwnerType(owner), reference_id, is_active))
    return claims


def _badge(row: Row, claims: list[Claim], presentation: Presentation, group_name: str | None) -> Badge:
    columns: list[Any] = list(row)
    return Badge(
        badge_key=BadgeKey(columns[0]),
        badge_id=BadgeId(columns[1]),
        badge_number=columns[2],
        org_id=OrgId(columns[3]),
        draft=BadgeDraft(
            name=columns[4],
            starts_at=columns[5],
            expires_at=columns[6],
            earn_type=EarnType(columns[7]),
            earned_expiry=_expiry(columns[8]),
            issued_expiry=None if columns[9] is None else _expiry(columns[9]),
            owners=[OwnerType(owner) for owner in columns[10]],
            overlap_policy=None if columns[11] is None else OverlapPolicy(columns[11]),
            customer_constraints=_constraints(columns[12]),
            badge_constraints=_constraints(columns[13]),
            presentation=presentation,
            is_active=columns[15],
        ),
        claims=claims,
        group_name=group_name,
        created_at=columns[16],
        created_by=columns[17],
        updated_at=columns[18],
        updated_by=columns[19],
    )
