"""Pure decisions of the reads: what is open to a customer, and how much of a limit is used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cockade.badge import rules as badge_rules
from cockade.badge.model import BadgeStatus, EarnType
from cockade.holding.model import BadgeType, Held, Holding, HoldingStatus, State, StateFilter
from cockade.limit import rules as limit_rules
from cockade.limit.model import Check


def page_filter(badge_type: BadgeType, *, include_expired: bool, group_id: str | None) -> StateFilter:
    """What a customer's page of this type shows, but for what only rule 8 can tell."""
    statuses = [BadgeStatus.LIVE, BadgeStatus.EXPIRED] if include_expired else [BadgeStatus.LIVE]
    match badge_type:
        case BadgeType.AVAILABLE:
            return StateFilter(earn_type=EarnType.EARN, is_active=True, statuses=statuses, group_id=group_id)
        case BadgeType.AVAILABLE_TO_ISSUE:
            return StateFilter(
                earn_type=EarnType.ISSUE_EARN,
                is_active=True,
                statuses=statuses,
                group_id=group_id,
                held=Held.NOT_ENROLLED,
            )
        case BadgeType.EARNED:
            held = Held.LIVE_OR_ENDED if include_expired else Held.LIVE
            return StateFilter(group_id=group_id, held=held)
        case BadgeType.EXPIRED:
            return StateFilter(group_id=group_id, held=Held.ENDED)


def customer_checks(state: State, at: datetime, zone: ZoneInfo) -> list[Check]:
    """The badge's limits per customer, for an event at this instant."""
    limits = limit_rules.limits_of("customerConstraints", state.customer_constraints, state.starts_at, zone)
    return limit_rules.checks_of(limits, at, zone)


def badge_checks(state: State, at: datetime, zone: ZoneInfo) -> list[Check]:
    """The limits of the badge as a whole, for an event at this instant."""
    limits = limit_rules.limits_of("badgeConstraints", state.badge_constraints, state.starts_at, zone)
    return limit_rules.checks_of(limits, at, zone)


def is_free(state: State, at: datetime, zone: ZoneInfo) -> bool:
    """Whether what she would earn at this instant, as of which the state is, would be valid and meet nothing of hers."""
    until = badge_rules.valid_until(state.earned_expiry, at, state.expires_at, zone)
    if until <= at:
        return False
    if badge_rules.holds_several(state.overlap_policy, state.customer_constraints):
        return True
    return state.live_count == 0 and (state.next_from is None or state.next_from >= until)


def has_room(checks: Sequence[Check], state: State, counted: Sequence[datetime], zone: ZoneInfo) -> bool:
    """Whether no limit per customer is used up; `counted` as in `limit.rules.first_exceeded`."""
    return limit_rules.first_exceeded(checks, state.earned_count, counted, zone, None) is None


def earned_status(holding: Holding, now: datetime) -> HoldingStatus:
    """What an earned badge is at `now`."""
    return _status(holding, now, HoldingStatus.LIVE)


def enrolment_status(holding: Holding, now: datetime) -> HoldingStatus:
    """What an enrolment is at `now`."""
    return _status(holding, now, HoldingStatus.ACTIVE)


def _status(holding: Holding, now: datetime, live: HoldingStatus) -> HoldingStatus:
    if holding.revoked_at is not None:
        return HoldingStatus.REVOKED
    if now < holding.event_at:
        return HoldingStatus.UPCOMING
    return live if now < holding.valid_until else HoldingStatus.EXPIRED
