"""Pure decisions about earning (`docs/api/contract.md`, the eight rules of earnBulk)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cockade import ids
from cockade.badge import rules as badge_rules
from cockade.badge.model import BadgeStatus, EarnTerms, EarnType
from cockade.earning.model import Decision, Entry, Holder
from cockade.errors import EventInFuture, EventOutsideBadge, NotClaimed, NotLive, OwnerNotAllowed
from cockade.ids import CustomerId
from cockade.request.model import EarnedStatus, OwnerType, Refusal, RefusalReason

AHEAD_MAX = timedelta(hours=24)
"""How far ahead an earn event may lie."""


def earned_status(valid_from: datetime, valid_until: datetime, now: datetime) -> EarnedStatus:
    """The half-open validity `[valid_from, valid_until)` seen from `now`."""
    if now < valid_from:
        return EarnedStatus.UPCOMING
    return EarnedStatus.LIVE if now < valid_until else EarnedStatus.EXPIRED


def validity(
    terms: EarnTerms, owner: OwnerType, event_at: datetime | None, now: datetime, zone: ZoneInfo
) -> tuple[datetime, datetime]:
    """Rules 4 to 7: from when until when (half-open) the badge would be held by whoever earns it.

    Raises NotLive, OwnerNotAllowed, NotClaimed, EventInFuture or EventOutsideBadge: the first that applies.
    """
    if not terms.is_active:
        raise NotLive
    if owner not in terms.owners:
        raise OwnerNotAllowed(reference="triggeredBy.ownerType")
    if not terms.is_claimed:
        raise NotClaimed
    at = now if event_at is None else event_at
    if at > now + AHEAD_MAX:
        raise EventInFuture(reference="earnEventDate")
    in_window = badge_rules.status_at(terms.starts_at, terms.expires_at, at) is BadgeStatus.LIVE
    if terms.earn_type is EarnType.EARN and not in_window:
        if event_at is None:
            raise NotLive
        raise EventOutsideBadge(reference="earnEventDate")
    until = badge_rules.valid_until(terms.earned_expiry, at, terms.expires_at, zone)
    if until <= at:
        raise EventOutsideBadge("The badge's expiry is not after the event date.", reference="earnEventDate")
    return at, until


def decide(
    audience: Sequence[CustomerId], holders: Mapping[CustomerId, Holder], terms: EarnTerms, now: datetime
) -> Decision:
    """Rule 8, customer by customer in the order sent: who earns, and why who does not."""
    if terms.earn_type is EarnType.ISSUE_EARN:
        return Decision([], [Refusal(line, RefusalReason.NOT_ENROLLED) for line in range(len(audience))])
    if not holders:
        return Decision(_entries(audience), [])
    refusals: list[Refusal] = []
    entries: list[Entry] = []
    for line, customer in enumerate(audience):
        holder = holders.get(customer)
        if holder is None:
            entries.append(Entry(customer, 1, line))
        elif holder.standing is None or terms.holds_several:
            entries.append(Entry(customer, holder.last_ordinal + 1, line))
        else:
            refusals.append(_already_held(line, holder, now))
    entries.sort(key=_by_customer)
    return Decision(entries, refusals)


def _entries(audience: Sequence[CustomerId]) -> list[Entry]:
    return sorted((Entry(customer, 1, line) for line, customer in enumerate(audience)), key=_by_customer)


def _by_customer(entry: Entry) -> CustomerId:
    return entry.customer_id


def _already_held(line: int, holder: Holder, now: datetime) -> Refusal:
    standing = holder.standing
    assert standing is not None
    return Refusal(
        line,
        RefusalReason.ALREADY_HELD,
        ids.earned_badge_id(standing.request_key, standing.line),
        earned_status(standing.valid_from, standing.valid_until, now),
    )
