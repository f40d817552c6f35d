"""Pure rules of the read-only queries: badges available to a customer, explanations, window cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cockade import ids, times
from cockade.badge import rules as badge_rules
from cockade.badge.model import BadgeStatus, Claim, EarnType, FixedExpiry
from cockade.badge.rules import TermRule
from cockade.customer_badge.model import (
    BadgeType,
    Bounds,
    CustomerBadgeState,
    HeldBadge,
    HeldBadgeStatus,
    HeldFilter,
    RuleEvaluation,
    RuleResult,
    StateFilter,
)
from cockade.earning.model import ConflictingBadges, EligibilityFacts
from cockade.earning.rules import EligibilityRules
from cockade.errors import (
    AlreadyHeld,
    BadgeLimitReached,
    CustomerLimitReached,
    ExceededLimit,
    NotEnrolled,
    RequestRejected,
)
from cockade.ids import CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit.model import FixedWindow, Limit, LimitCheck


def page_filter(badge_type: BadgeType, *, include_expired: bool, group_id: str | None) -> StateFilter:
    """Return the filter of a customer's page. AVAILABLE also needs the checks of rule 8 (`is_available`)."""
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
                held=HeldFilter.NOT_ENROLLED,
            )
        case BadgeType.EARNED:
            held = HeldFilter.LIVE_OR_ENDED if include_expired else HeldFilter.LIVE
            return StateFilter(group_id=group_id, held=held)
        case BadgeType.EXPIRED:
            return StateFilter(group_id=group_id, held=HeldFilter.ENDED)


def customer_checks(state: CustomerBadgeState, at: datetime, zone: ZoneInfo) -> list[LimitCheck]:
    """Return the checks of the badge's limits per customer, for an event at this time."""
    limits = limit_rules.limits_of("customerConstraints", state.customer_constraints, state.starts_at, zone)
    return limit_rules.checks_of(limits, at, zone)


def badge_checks(state: CustomerBadgeState, at: datetime, zone: ZoneInfo) -> list[LimitCheck]:
    """Return the checks of the badge's limits for all customers together, for an event at this time."""
    limits = limit_rules.limits_of("badgeConstraints", state.badge_constraints, state.starts_at, zone)
    return limit_rules.checks_of(limits, at, zone)


def is_available(state: CustomerBadgeState, at: datetime, zone: ZoneInfo) -> bool:
    """Whether a badge earned at this time would be valid and not conflict with the customer's earned badges.

    `state` must be as of the same time, and the badge must be live. Only a fixed expiry date can be over then.
    """
    if isinstance(state.earned_expiry, FixedExpiry) and state.earned_expiry.at <= at:
        return False
    if badge_rules.holds_several(state.overlap_policy, state.customer_constraints):
        return True
    if state.live_count or state.next_from is None:
        return not state.live_count
    return state.next_from >= badge_rules.valid_until(state.earned_expiry, at, state.expires_at, zone)


def has_capacity(
    checks: Sequence[LimitCheck], state: CustomerBadgeState, counted: Sequence[datetime], zone: ZoneInfo
) -> bool:
    """Whether no limit per customer is reached. `counted` is as in `limit.rules.first_exceeded`."""
    return limit_rules.first_exceeded(checks, state.earned_count, counted, zone, None) is None


def held_badge_status(held_badge: HeldBadge, now: datetime) -> HeldBadgeStatus:
    """Return the status of an earned badge at `now`."""
    return _status(held_badge, now, HeldBadgeStatus.LIVE)


def enrolment_status(held_badge: HeldBadge, now: datetime) -> HeldBadgeStatus:
    """Return the status of an enrolment at `now`."""
    return _status(held_badge, now, HeldBadgeStatus.ACTIVE)


def _status(held_badge: HeldBadge, now: datetime, live: HeldBadgeStatus) -> HeldBadgeStatus:
    if held_badge.revoked_at is not None:
        return HeldBadgeStatus.REVOKED
    if now < held_badge.event_at:
        return HeldBadgeStatus.UPCOMING
    return live if now < held_badge.valid_until else HeldBadgeStatus.EXPIRED


def evaluate_term_rules(
    verdicts: Mapping[TermRule, RequestRejected | None], claims: Sequence[Claim], *, needs_window: bool
) -> list[RuleEvaluation]:
    """Return the results of rules 4 to 7 with messages."""
    active = [f"{claim.owner_type} {claim.reference_id}" for claim in claims if claim.is_active]
    passed = {
        TermRule.ACTIVE: "The badge is active.",
        TermRule.OWNER_ALLOWED: "The owner is among the badge's owners.",
        TermRule.CLAIMED: f"The badge is claimed by {', '.join(active)}.",
        TermRule.NOT_IN_FUTURE: "The event is at most 24 hours in the future.",
        TermRule.IN_WINDOW: "The event is within the badge's window.",
        TermRule.EXPIRES_AFTER_EVENT: "The earned badge would expire after the event.",
    }
    evaluations: list[RuleEvaluation] = []
    for rule, rejection in verdicts.items():
        if rejection is not None:
            evaluation = RuleEvaluation(
                rule=rule, verdict=RuleResult.REFUSED, message=rejection.text, code=rejection.code
            )
        elif rule is TermRule.IN_WINDOW and not needs_window:
            message = "Does not apply: the window of the customer's enrolment is checked instead."
            evaluation = RuleEvaluation(rule=rule, verdict=RuleResult.NOT_EVALUATED, message=message)
        else:
            evaluation = RuleEvaluation(rule=rule, verdict=RuleResult.PASSED, message=passed[rule])
        evaluations.append(evaluation)
    return evaluations


def evaluate_customer_rules(
    customer: CustomerId, facts: EligibilityFacts, rule: EligibilityRules, event_at: datetime
) -> list[RuleEvaluation]:
    """Return the results of all parts of rule 8 with messages. Later parts are checked after a failure too."""
    return [
        _enrolled(customer, facts),
        _not_held(facts.holders.conflicting, rule),
        *_customer_limits(customer, facts, rule, event_at),
        *(
            _limit(
                "BADGE_LIMIT", BadgeLimitReached.code, usage.limit, usage.used, usage.available_from, event_at
            )
            for usage in facts.usages
        ),
    ]


def _enrolled(customer: CustomerId, facts: EligibilityFacts) -> RuleEvaluation:
    if facts.enrolled is None:
        message = "Does not apply: the badge is earned without an enrolment."
        return RuleEvaluation(rule="ENROLLED", verdict=RuleResult.NOT_EVALUATED, message=message)
    enrolled = facts.enrolled.get(customer)
    if enrolled is None:
        message = "No enrolment of the customer contains the event."
        return RuleEvaluation(
            rule="ENROLLED", verdict=RuleResult.REFUSED, message=message, code=NotEnrolled.code
        )
    return RuleEvaluation(
        rule="ENROLLED",
        verdict=RuleResult.PASSED,
        message=f"The event is within the customer's enrolment, valid until {times.iso(enrolled.valid_until)}.",
        enrolment_id=ids.earned_badge_id(enrolled.request_key, enrolled.line),
    )


def _not_held(conflicting: ConflictingBadges, rule: EligibilityRules) -> RuleEvaluation:
    if rule.allows_multiple:
        message = "Does not apply: a customer can hold this badge several times at once."
        return RuleEvaluation(rule="NOT_HELD", verdict=RuleResult.NOT_EVALUATED, message=message)
    if not len(conflicting.customers):
        message = "No earned badge of the customer would be valid at the same time."
        return RuleEvaluation(rule="NOT_HELD", verdict=RuleResult.PASSED, message=message)
    begins, ends = (
        times.iso(times.from_microseconds(int(column[0])))
        for column in (conflicting.valid_from, conflicting.valid_until)
    )
    [earned_badge_id] = ids.earned_badge_ids_at(conflicting.request_keys, conflicting.lines)
    return RuleEvaluation(
        rule="NOT_HELD",
        verdict=RuleResult.REFUSED,
        message=f"The customer already has an earned badge that is valid from {begins} until {ends}.",
        code=AlreadyHeld.code,
        earned_badge_id=earned_badge_id,
    )


def _customer_limits(
    customer: CustomerId, facts: EligibilityFacts, rule: EligibilityRules, event_at: datetime
) -> list[RuleEvaluation]:
    total, counted = int(facts.holders.totals.sum()), facts.holders.counted.get(customer, ())
    evaluations: list[RuleEvaluation] = []
    for check in rule.customer_checks:
        used = limit_rules.used_in(check, total, counted, rule.zone)
        exceeded = limit_rules.first_exceeded([check], total, counted, rule.zone, rule.ends_at)
        available_from = exceeded.available_from if exceeded else None
        evaluations.append(
            _limit("CUSTOMER_LIMIT", CustomerLimitReached.code, check.limit, used, available_from, event_at)
        )
    return evaluations


def _limit(
    rule: str, code: int, limit: Limit, used: int, available_from: datetime | None, event_at: datetime
) -> RuleEvaluation:
    if used < limit.limit:
        return RuleEvaluation(
            rule=rule,
            verdict=RuleResult.PASSED,
            message=f"{used} of {limit.limit} are used.",
            limit=ExceededLimit(limit.reference, limit.limit, used, event_at),
        )
    available = (
        "not available again" if available_from is None else f"available from {times.iso(available_from)}"
    )
    return RuleEvaluation(
        rule=rule,
        verdict=RuleResult.REFUSED,
        message=f"{used} of {limit.limit} are used; {available}.",
        code=code,
        limit=ExceededLimit(limit.reference, limit.limit, used, available_from),
    )


def cycles_of(
    window: FixedWindow, starts_at: datetime, expires_at: datetime, within: Bounds, zone: ZoneInfo
) -> range:
    """Return the indexes of the window's cycles that overlap with the badge's window and with the range."""

    def number(at: datetime) -> int:
        return limit_rules.index_of(window, limit_rules.cycle_at(window, at, zone).last_day)

    first, last = 0, number(expires_at - limit_rules.MICROSECOND)
    if within.opens is not None and within.opens > starts_at:
        first = number(within.opens)
    if within.closes is not None:
        if within.closes < limit_rules.midnight(window.first_day, zone):
            return range(0)
        last = min(last, number(within.closes))
    return range(first, last + 1)
