"""Pure decisions about earning (`docs/api/contract.md`, the eight rules of earnBulk)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from cockade import ids
from cockade.badge import rules as badge_rules
from cockade.badge.model import Constraint, EarnTerms, EarnType, Hold
from cockade.earning.model import Decision, Entry, Findings, Holder, ImportRow, Standing
from cockade.errors import (
    MALFORMED,
    AlreadyHeld,
    EventInFuture,
    Exceeded,
    Fault,
)
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit.model import Check, Usage
from cockade.request.model import EarnedStatus, OwnerType, Refusal, RefusalReason, RowRefusal


def earned_status(valid_from: datetime, valid_until: datetime, now: datetime) -> EarnedStatus:
    """The half-open validity `[valid_from, valid_until)` seen from `now`."""
    if now < valid_from:
        return EarnedStatus.UPCOMING
    return EarnedStatus.LIVE if now < valid_until else EarnedStatus.EXPIRED


def validity(
    terms: EarnTerms, owner: OwnerType, event_at: datetime | None, now: datetime, zone: ZoneInfo
) -> tuple[datetime, datetime]:
    """Rules 4 to 7, see `badge.rules.validity`: the validity of what would be earned."""
    return badge_rules.validity(terms, owner, event_at, now, zone, badge_rules.earning_validity(terms))


class Rule8(Struct, frozen=True, kw_only=True):
    """What rule 8 asks of each customer, the same for a whole audience."""

    needs_enrolment: bool
    holds_several: bool
    """Whether she may hold more than one valid earned badge of the kind."""
    checks: Sequence[Check]
    """The limits per customer."""
    caps: Sequence[Check]
    """The limits of the badge as a whole."""
    ends_at: datetime | None
    """The instant from which on the badge can no longer be earned; None where enrolments decide that."""
    zone: ZoneInfo
    now: datetime


def rule8(terms: EarnTerms, event_at: datetime, now: datetime, zone: ZoneInfo) -> Rule8:
    """What rule 8 asks about an event at this instant."""

    def checks(field: str, constraints: list[Constraint]) -> list[Check]:
        limits = limit_rules.limits_of(field, constraints, terms.starts_at, zone)
        return limit_rules.checks_of(limits, event_at, zone)

    is_direct = terms.earn_type is EarnType.EARN
    return Rule8(
        needs_enrolment=not is_direct,
        holds_several=terms.holds_several,
        checks=checks("customerConstraints", terms.customer_constraints),
        caps=checks("badgeConstraints", terms.badge_constraints),
        ends_at=terms.expires_at if is_direct else None,
        zone=zone,
        now=now,
    )


def decide(audience: Sequence[CustomerId], found: Findings, rule: Rule8) -> Decision:
    """Rule 8, customer by customer in the order sent: who earns, and why who does not."""
    if not found.holders and found.enrolled is None and not found.usages:
        return Decision(_entries(audience), [])
    refusals: list[Refusal] = []
    entries: list[Entry] = []
    for line, customer in enumerate(audience):
        holder = found.holders.get(customer)
        refusal = _refuse_customer(line, customer, holder, found, rule) or _refuse_more(
            line, len(entries), found.usages
        )
        if refusal is None:
            entries.append(Entry(customer, holder.last_ordinal + 1 if holder else 1, line))
        else:
            refusals.append(refusal)
    entries.sort(key=_by_customer)
    return Decision(entries, refusals)


def _refuse_customer(
    line: int, customer: CustomerId, holder: Holder | None, found: Findings, rule: Rule8
) -> Refusal | None:
    """Why this customer cannot earn, whoever else does. Every limit has room for whoever has none yet."""
    if found.enrolled is not None and customer not in found.enrolled:
        return Refusal(line, RefusalReason.NOT_ENROLLED)
    if holder is None:
        return None
    if holder.standing is not None and not rule.holds_several:
        return _already_held(line, holder.standing, rule.now)
    exceeded = limit_rules.first_exceeded(rule.checks, holder.total, holder.counted, rule.zone, rule.ends_at)
    return exceeded and Refusal(line, RefusalReason.CUSTOMER_LIMIT, exceeded=exceeded)


def _refuse_more(line: int, earned: int, usages: Sequence[Usage]) -> Refusal | None:
    """Why nobody more can earn, where so many of this audience have."""
    for usage in usages:
        limit, used = usage.limit, usage.used + earned
        if used >= limit.limit:
            exceeded = Exceeded(limit.reference, limit.limit, used, usage.available_from)
            return Refusal(line, RefusalReason.BADGE_LIMIT, exceeded=exceeded)
    return None


def _entries(audience: Sequence[CustomerId]) -> list[Entry]:
    return sorted((Entry(customer, 1, line) for line, customer in enumerate(audience)), key=_by_customer)


def _by_customer(entry: Entry) -> CustomerId:
    return entry.customer_id


def _already_held(line: int, standing: Standing, now: datetime) -> Refusal:
    return Refusal(
        line,
        RefusalReason.ALREADY_HELD,
        ids.earned_badge_id(standing.request_key, standing.line),
        earned_status(standing.valid_from, standing.valid_until, now),
    )


def import_faults(row: ImportRow, holds: Mapping[BadgeId, Hold], now: datetime) -> list[Fault]:
    """All that stands against taking this row of history: nothing but what cannot be."""
    faults: list[Fault] = []
    if row.badge_id not in holds:
        faults.append(Fault(1054, "Badge not found.", "badgeMetaId"))
    if row.event_at > now + badge_rules.AHEAD_MAX:
        faults.append(Fault(EventInFuture.code, EventInFuture.message, "earnEventDate"))
    if row.valid_until <= row.event_at:
        message = "earnExpiresOn must be after earnEventDate."
        faults.append(Fault(MALFORMED, message, "earnExpiresOn"))
    return faults


def judge_import(
    rows: Sequence[ImportRow | list[Fault]], holds: Mapping[BadgeId, Hold], now: datetime
) -> tuple[list[tuple[int, BadgeKey, ImportRow]], list[RowRefusal]]:
    """Which rows are taken, with their line and badge, and why the others are not."""
    taken: list[tuple[int, BadgeKey, ImportRow]] = []
    refusals: list[RowRefusal] = []
    seen: set[tuple[BadgeKey, CustomerId, datetime]] = set()
    for line, row in enumerate(rows):
        faults = import_faults(row, holds, now) if isinstance(row, ImportRow) else row
        if isinstance(row, ImportRow) and row.badge_id is not None and not faults:
            badge_key = holds[row.badge_id].badge_key
            key = (badge_key, row.customer, row.event_at)
            if key not in seen:
                seen.add(key)
                taken.append((line, badge_key, row))
                continue
            faults = [Fault(AlreadyHeld.code, AlreadyHeld.message)]
        refusals.append(RowRefusal(line, faults))
    return taken, refusals
