"""Typed functions, one per SQL statement, of the read-only queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from asyncpg import Range

from cockade import ids
from cockade.badge.model import Constraint, EarnType, Expiry, OverlapPolicy
from cockade.customer_badge.model import (
    Bounds,
    CustomerBadgeState,
    HeldBadge,
    HeldBadgeStatus,
    Order,
    StateQuery,
)
from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey
from cockade.request.model import OwnerType
from cockade.storage.database import Row, Tx
from cockade.storage.sql import load

SQL = load(__package__)

_expiry = msgspec.json.Decoder(Expiry).decode
_constraints = msgspec.json.Decoder(list[Constraint]).decode


async def list_states(
    tx: Tx, query: StateQuery, *, limit: int | None, offset: int = 0
) -> tuple[list[CustomerBadgeState], int]:
    """Return matching badges and the number of all matches. Without a limit, returns all.

    For a page after the last one, both the list and the number are empty (0).
    """
    filters = query.filters
    rows = await tx.rows(
        SQL["list_states"],
        query.org_id,
        query.customer,
        query.now,
        filters.earn_type,
        filters.is_active,
        filters.statuses,
        filters.owner,
        filters.claimed_by,
        filters.name,
        filters.group_id,
        _range(filters.starts),
        _range(filters.expires),
        filters.held,
        query.sort,
        1 if query.order is Order.DESC else -1,
        limit,
        offset,
    )
    return [_state(row) for row in rows], int(rows[0][-1]) if rows else 0


async def list_counted(
    tx: Tx, customer: CustomerId, reaches: Sequence[tuple[BadgeKey, datetime, datetime]]
) -> dict[BadgeKey, list[datetime]]:
    """Return the customer's event dates that count towards windows, by badge, ascending. `reaches` are half
    open.
    """
    rows = await tx.rows(
        SQL["list_counted"],
        customer,
        [badge_key for badge_key, _, _ in reaches],
        [opens for _, opens, _ in reaches],
        [closes for _, _, closes in reaches],
    )
    return {BadgeKey(badge_key): dates for badge_key, dates in rows}


async def list_earned(
    tx: Tx, org_id: OrgId, badge_key: BadgeKey, customer: CustomerId, limit: int
) -> list[HeldBadge]:
    """Return the customer's earned badges, including revoked ones, newest first."""
    return [_held_badge(row) for row in await tx.rows(SQL["list_earned"], badge_key, customer, limit, org_id)]


async def list_enrolments(
    tx: Tx, org_id: OrgId, badge_key: BadgeKey, customer: CustomerId, limit: int
) -> list[HeldBadge]:
    """Return the customer's enrolments, including revoked ones, newest first."""
    return [
        _held_badge(row) for row in await tx.rows(SQL["list_enrolments"], badge_key, customer, limit, org_id)
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
    """Return earned badges of all customers after the position `after`, by customer and ordinal."""
    rows = await tx.rows(SQL["list_holders"], badge_key, *after, statuses, now, limit, org_id)
    return [_held_badge(row) for row in rows]


async def count_states(
    tx: Tx, badge_key: BadgeKey, customer: CustomerId, now: datetime
) -> tuple[int, int, int]:
    """Return the number of unrevoked earned badges, of those that are valid now, and of unrevoked enrolments."""
    row = await tx.row(SQL["count_states"], badge_key, customer, now)
    assert row is not None
    return row[0], row[1], row[2]


def _range(bounds: Bounds | None) -> Range[datetime] | None:
    return None if bounds is None else Range(bounds.opens, bounds.closes)


def _state(row: Row) -> CustomerBadgeState:
    (
        badge_key,
        earn_type,
        starts_at,
        expires_at,
        earned_expiry,
        overlap_policy,
        customer_constraints,
        badge_constraints,
        earned_count,
        live_count,
        next_from,
        last_earned_s,
        last_event_at,
        *enrolment_flags,
        _,
    ) = row
    return CustomerBadgeState(
        badge_key=BadgeKey(badge_key),
        earn_type=EarnType(earn_type),
        starts_at=starts_at,
        expires_at=expires_at,
        earned_expiry=_expiry(earned_expiry),
        overlap_policy=None if overlap_policy is None else OverlapPolicy(overlap_policy),
        customer_constraints=_constraints(customer_constraints),
        badge_constraints=_constraints(badge_constraints),
        earned_count=earned_count,
        live_count=live_count,
        next_from=next_from,
        last_earned_at=None if last_earned_s is None else datetime.fromtimestamp(last_earned_s, UTC),
        last_event_at=last_event_at,
        issue_status=_issue_status(*enrolment_flags),
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


def _held_badge(row: Row) -> HeldBadge:
    (
        customer,
        ordinal,
        request_key,
        line,
        event_at,
        valid_until,
        revoked_at,
        request_id,
        owner_type,
        reference_id,
    ) = row
    return HeldBadge(
        customer=CustomerId(customer),
        ordinal=ordinal,
        held_badge_id=ids.earned_badge_id(RequestKey(request_key), line),
        recorded_at=datetime.fromtimestamp(ids.seconds_of(RequestKey(request_key)), UTC),
        event_at=event_at,
        valid_until=valid_until,
        revoked_at=revoked_at,
        request_id=request_id,
        owner_type=None if owner_type is None else OwnerType(owner_type),
        reference_id=reference_id,
    )
