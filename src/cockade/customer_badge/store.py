"""Statements of the views, one function each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from asyncpg import Range

from cockade import ids
from cockade.badge.model import Constraint, EarnType, Expiry, OverlapPolicy
from cockade.customer_badge.model import Bounds, CustomerBadgeState, HeldBadge, HeldBadgeStatus, StateFilter
from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey
from cockade.request.model import OwnerType
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_expiry = msgspec.json.Decoder(Expiry).decode
_constraints = msgspec.json.Decoder(list[Constraint]).decode


async def list_states(
    tx: Tx,
    org_id: OrgId,
    customer: CustomerId,
    now: datetime,
    wanted: StateFilter,
    *,
    sort: str | None,
    sign: int,
    limit: int | None,
    offset: int = 0,
) -> tuple[list[CustomerBadgeState], int]:
    """Return the matching badges, sorted (descending, or ascending if `sign` is -1), and their total number.

    A page after the last one is empty; the total is then reported as 0.
    """
    rows = await tx.rows(
        SQL["list_states"],
        org_id,
        customer,
        now,
        wanted.earn_type,
        wanted.is_active,
        wanted.statuses,
        wanted.owner,
        wanted.claimed_by,
        wanted.name,
        wanted.group_id,
        _range(wanted.starts),
        _range(wanted.expires),
        wanted.held,
        sort,
        sign,
        limit,
        offset,
    )
    return [_state(row) for row in rows], rows[0][-1] if rows else 0


async def list_counted(
    tx: Tx, customer: CustomerId, reaches: Sequence[tuple[BadgeKey, datetime, datetime]]
) -> dict[BadgeKey, list[datetime]]:
    """Return the customer's event dates that count towards windows, per badge within its range, ascending."""
    rows = await tx.rows(
        SQL["list_counted"],
        customer,
        [badge_key for badge_key, _, _ in reaches],
        [opens for _, opens, _ in reaches],
        [closes for _, _, closes in reaches],
    )
    return {BadgeKey(row[0]): row[1] for row in rows}


async def list_earned(
    tx: Tx, org_id: OrgId, badge_key: BadgeKey, customer: CustomerId, limit: int
) -> list[HeldBadge]:
    """Return all earned badges that the customer ever had of the badge, including revoked ones, newest first."""
    return [_holding(row) for row in await tx.rows(SQL["list_earned"], badge_key, customer, limit, org_id)]


async def list_enrolments(
    tx: Tx, org_id: OrgId, badge_key: BadgeKey, customer: CustomerId, limit: int
) -> list[HeldBadge]:
    """Return all enrolments of the customer in the badge, including revoked ones, newest first."""
    return [
        _holding(row) for row in await tx.rows(SQL["list_enrolments"], badge_key, customer, limit, org_id)
    ]


async def list_holders(
    tx: Tx,
    org_id: OrgId,
    badge_key: BadgeKey,
    after: tuple[int, int],
    statuses: Sequence[HeldBadgeStatus] | None,
    now: datetime,
    limit: int,
) -> list[HeldBadge]:
    """Return all earned badges of the badge after this position, by customer and ordinal."""
    rows = await tx.rows(SQL["list_holders"], badge_key, *after, statuses, now, limit, org_id)
    return [_holding(row) for row in rows]


async def count_states(
    tx: Tx, badge_key: BadgeKey, customer: CustomerId, now: datetime
) -> tuple[int, int, int]:
    """Return the customer's number of unrevoked earned badges, of valid ones, and of unrevoked enrolments."""
    row = await tx.row(SQL["count_states"], badge_key, customer, now)
    assert row is not None
    return row[0], row[1], row[2]


def _range(bounds: Bounds | None) -> Range[datetime] | None:
    return None if bounds is None else Range(bounds.opens, bounds.closes)


def _state(row: Row) -> CustomerBadgeState:
    return CustomerBadgeState(
        badge_key=BadgeKey(row[0]),
        earn_type=EarnType(row[1]),
        starts_at=row[2],
        expires_at=row[3],
        earned_expiry=_expiry(row[4]),
        overlap_policy=None if row[5] is None else OverlapPolicy(row[5]),
        customer_constraints=_constraints(row[6]),
        badge_constraints=_constraints(row[7]),
        earned_count=row[8],
        live_count=row[9],
        next_from=row[10],
        last_earned_at=None if row[11] is None else datetime.fromtimestamp(row[11], UTC),
        last_event_at=row[12],
        issue_status=_issue_status(*row[13:17]),
    )


def _issue_status(
    is_active: bool, is_ahead: bool, has_ended: bool, was_revoked: bool
) -> HeldBadgeStatus | None:
    if is_active:
        return HeldBadgeStatus.ACTIVE
    if is_ahead:
        return HeldBadgeStatus.UPCOMING
    if has_ended:
        return HeldBadgeStatus.EXPIRED
    return HeldBadgeStatus.REVOKED if was_revoked else None


def _holding(row: Row) -> HeldBadge:
    request_key = RequestKey(row[2])
    return HeldBadge(
        customer=CustomerId(row[0]),
        ordinal=row[1],
        held_badge_id=ids.earned_badge_id(request_key, row[3]),
        recorded_at=datetime.fromtimestamp(ids.seconds_of(request_key), UTC),
        event_at=row[4],
        valid_until=row[5],
        revoked_at=row[6],
        request_id=row[7],
        owner_type=None if row[8] is None else OwnerType(row[8]),
        reference_id=row[9],
    )
