"""Pure decisions about earning (`docs/api/contract.md`, the eight rules of earnBulk)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from msgspec import Struct

from cockade import ids, times
from cockade.badge import rules as badge_rules
from cockade.badge.model import Constraint, EarnTerms, EarnType, Hold
from cockade.earning.model import Decision, Entries, Findings, Holders, ImportRow, Numbers, Standings
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
    """Rule 8, customer by customer in the order sent: who earns, and why who does not.

    Whoever never had the badge is refused only for want of an enrolment, or of room in the badge's own limits: so only
    holders are looked at one by one.
    """
    customers = np.array(audience, dtype=np.int64)
    ascending = np.argsort(customers)
    places = _Places(customers, ascending)
    refusals = _not_enrolled(audience, found)
    if not rule.holds_several:
        refusals = _already_held(places, found.holders.standing, rule.now) | refusals
    if rule.checks:
        refusals |= _limited(places, found.holders, rule, refusals)
    is_open = np.ones(len(customers), dtype=np.bool_)
    is_open[list(refusals)] = False
    refusals |= _share_out(np.flatnonzero(is_open), found.usages)
    is_open[list(refusals)] = False
    ordinals = np.ones(len(customers), dtype=np.int64)
    ordinals[places.of(found.holders.customers)] = found.holders.last_ordinals + 1
    earning = ascending[is_open[ascending]]
    return Decision(
        Entries(customers[earning], ordinals[earning], earning),
        [refusals[line] for line in sorted(refusals)],
    )


def with_unwritten(found: Findings, count: int) -> Findings:
    """What would be found had so many more earned at the same event."""
    usages = [msgspec.structs.replace(usage, used=usage.used + count) for usage in found.usages]
    return msgspec.structs.replace(found, usages=usages)


class _Places(Struct, frozen=True):
    """Where in the audience a customer stands."""

    customers: Numbers
    ascending: Numbers
    """The lines in ascending order of customer."""

    def of(self, customers: Numbers) -> Numbers:
        """The lines of these customers of the audience."""
        return self.ascending[np.searchsorted(self.customers, customers, sorter=self.ascending)]


def _not_enrolled(audience: Sequence[CustomerId], found: Findings) -> dict[int, Refusal]:
    if found.enrolled is None:
        return {}
    return {
        line: Refusal(line, RefusalReason.NOT_ENROLLED)
        for line, customer in enumerate(audience)
        if customer not in found.enrolled
    }


def _already_held(places: _Places, standing: Standings, now: datetime) -> dict[int, Refusal]:
    lines: list[int] = places.of(standing.customers).tolist()
    standing_ids = ids.earned_badge_ids_at(standing.request_keys, standing.lines)
    return {
        line: Refusal(line, RefusalReason.ALREADY_HELD, standing_id, status)
        for line, standing_id, status in zip(lines, standing_ids, _statuses(standing, now), strict=True)
    }


def _statuses(standing: Standings, now: datetime) -> list[EarnedStatus]:
    """As `earned_status`, of many: by how many of the two ends of a validity have come."""
    at = times.microseconds(now)
    ends_come: Numbers = (standing.valid_from <= at).astype(np.int64) + (standing.valid_until <= at)
    words = (EarnedStatus.UPCOMING, EarnedStatus.LIVE, EarnedStatus.EXPIRED)
    return [words[count] for count in ends_come.tolist()]


def _limited(
    places: _Places, holders: Holders, rule: Rule8, refused: Mapping[int, Refusal]
) -> dict[int, Refusal]:
    """Whom a limit per customer refuses, of those who are not refused yet. All have room for whoever has none yet."""
    refusals: dict[int, Refusal] = {}
    lines, totals = places.of(holders.customers).tolist(), holders.totals.tolist()
    for line, customer, total in zip(lines, holders.customers.tolist(), totals, strict=True):
        if line in refused:
            continue
        counted = holders.counted.get(customer, ())
        exceeded = limit_rules.first_exceeded(rule.checks, total, counted, rule.zone, rule.ends_at)
        if exceeded is not None:
            refusals[line] = Refusal(line, RefusalReason.CUSTOMER_LIMIT, exceeded=exceeded)
    return refusals


def _share_out(lines: Numbers, usages: Sequence[Usage]) -> dict[int, Refusal]:
    """The first get what is left of the limits of the badge as a whole; why the others get nothing."""
    if not usages:
        return {}
    left = max(0, min(usage.limit.limit - usage.used for usage in usages))
    full = next(usage for usage in usages if usage.used + left >= usage.limit.limit)
    limit = full.limit
    exceeded = Exceeded(limit.reference, limit.limit, full.used + left, full.available_from)
    refused = lines[left:].tolist()
    return {line: Refusal(line, RefusalReason.BADGE_LIMIT, exceeded=exceeded) for line in refused}


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
