"""Pure rules for views: which badges a customer can earn, and the usage of limits."""

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
                held=HeldFilter.NOT_ENROLLED,
            )
        case BadgeType.EARNED:
            held = HeldFilter.LIVE_OR_ENDED if include_expired else HeldFilter.LIVE
            return StateFilter(group_id=group_id, held=held)
        case BadgeType.EXPIRED:
            return StateFilter(group_id=group_id, held=HeldFilter.ENDED)


def customer_checks(state: CustomerBadgeState, at: datetime, zone: ZoneInfo) -> list[LimitCheck]:
    """Return the badge's customer limits for an event at this instant."""
    limits = limit_rules.limits_of("customerConstraints", state.customer_constraints, state.starts_at, zone)
    return limit_rules.checks_of(limits, at, zone)


def badge_checks(state: CustomerBadgeState, at: datetime, zone: ZoneInfo) -> list[LimitCheck]:
    """Return the badge's badge limits for an event at this instant."""
    limits = limit_rules.limits_of("badgeConstraints", state.badge_constraints, state.starts_at, zone)
    return limit_rules.checks_of(limits, at, zone)


def is_available(state: CustomerBadgeState, at: datetime, zone: ZoneInfo) -> bool:
    """Whether a badge earned at this instant would be valid and not conflict with what the customer has.

    The state is that of the same instant and the badge is live, so only a fixed expiry can be over.
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
    """Whether no customer limit is used up. `counted` is as in `limit.rules.first_exceeded`."""
    return limit_rules.first_exceeded(checks, state.earned_count, counted, zone, None) is None


def held_badge_status(holding: HeldBadge, now: datetime) -> HeldBadgeStatus:
    """Return the status of an earned badge at `now`."""
    return _status(holding, now, HeldBadgeStatus.LIVE)


def enrolment_status(holding: HeldBadge, now: datetime) -> HeldBadgeStatus:
    """Return the status of an enrolment at `now`."""
    return _status(holding, now, HeldBadgeStatus.ACTIVE)


def _status(holding: HeldBadge, now: datetime, live: HeldBadgeStatus) -> HeldBadgeStatus:
    if holding.revoked_at is not None:
        return HeldBadgeStatus.REVOKED
    if now < holding.event_at:
        return HeldBadgeStatus.UPCOMING
    return live if now < holding.valid_until else HeldBadgeStatus.EXPIRED


def evaluate_term_rules(
    verdicts: Mapping[TermRule, RequestRejected | None], claims: Sequence[Claim], *, needs_window: bool
) -> list[RuleEvaluation]:
    """Explain rules 4 to 7."""
    active = [f"{claim.owner_type} {claim.reference_id}" for claim in claims if claim.is_active]
    passed = {
        TermRule.ACTIVE: "The badge is active.",
        TermRule.OWNER_ALLOWED: "The owner is one of the badge's owners.",
        TermRule.CLAIMED: f"The badge is claimed by {', '.join(active)}.",
        TermRule.NOT_IN_FUTURE: "The event is at most 24 hours in the future.",
        TermRule.IN_WINDOW: "The event is inside the badge's window.",
        TermRule.EXPIRES_AFTER_EVENT: "The earned badge would expire after the event.",
    }
    findings: list[RuleEvaluation] = []
    for rule, refusal in verdicts.items():
        if refusal is not None:
            finding = RuleEvaluation(
                rule=rule, verdict=RuleResult.REFUSED, message=refusal.text, code=refusal.code
            )
        elif rule is TermRule.IN_WINDOW and not needs_window:
            message = "The badge requires an enrolment, whose window decides."
            finding = RuleEvaluation(rule=rule, verdict=RuleResult.NOT_ASKED, message=message)
        else:
            finding = RuleEvaluation(rule=rule, verdict=RuleResult.PASSED, message=passed[rule])
        findings.append(finding)
    return findings


def evaluate_customer_rules(
    customer: CustomerId, found: EligibilityFacts, rule: EligibilityRules, event_at: datetime
) -> list[RuleEvaluation]:
    """Explain rule 8 completely, including the rules after the first that fails."""
    return [
        _enrolled(customer, found),
        _not_held(found.holders.conflicting, rule),
        *_customer_limits(customer, found, rule, event_at),
        *(
            _limit(
                "BADGE_LIMIT", BadgeLimitReached.code, usage.limit, usage.used, usage.available_from, event_at
            )
            for usage in found.usages
        ),
    ]


def _enrolled(customer: CustomerId, found: EligibilityFacts) -> RuleEvaluation:
    if found.enrolled is None:
        message = "The badge is earned directly."
        return RuleEvaluation(rule="ENROLLED", verdict=RuleResult.NOT_ASKED, message=message)
    enrolled = found.enrolled.get(customer)
    if enrolled is None:
        message = "The customer has no enrolment whose window contains the event."
        return RuleEvaluation(
            rule="ENROLLED", verdict=RuleResult.REFUSED, message=message, code=NotEnrolled.code
        )
    return RuleEvaluation(
        rule="ENROLLED",
        verdict=RuleResult.PASSED,
        message=f"The customer has an enrolment that is valid until {times.iso(enrolled.valid_until)}.",
        enrolment_id=ids.earned_badge_id(enrolled.request_key, enrolled.line),
    )


def _not_held(standing: ConflictingBadges, rule: EligibilityRules) -> RuleEvaluation:
    if rule.allows_multiple:
        message = "A customer can hold several of this badge at the same time."
        return RuleEvaluation(rule="NOT_HELD", verdict=RuleResult.NOT_ASKED, message=message)
    if not len(standing.customers):
        message = "The customer holds no badge that would be valid at the same time."
        return RuleEvaluation(rule="NOT_HELD", verdict=RuleResult.PASSED, message=message)
    begins, ends = (
        times.iso(times.from_microseconds(int(end[0]))) for end in (standing.valid_from, standing.valid_until)
    )
    [earned_badge_id] = ids.earned_badge_ids_at(standing.request_keys, standing.lines)
    return RuleEvaluation(
        rule="NOT_HELD",
        verdict=RuleResult.REFUSED,
        message=f"The customer already holds one that is valid from {begins} until {ends}.",
        code=AlreadyHeld.code,
        earned_badge_id=earned_badge_id,
    )


def _customer_limits(
    customer: CustomerId, found: EligibilityFacts, rule: EligibilityRules, event_at: datetime
) -> list[RuleEvaluation]:
    total, counted = int(found.holders.totals.sum()), found.holders.counted.get(customer, ())
    findings: list[RuleEvaluation] = []
    for check in rule.customer_checks:
        used = limit_rules.used_in(check, total, counted, rule.zone)
        exceeded = limit_rules.first_exceeded([check], total, counted, rule.zone, rule.ends_at)
        again = exceeded.available_from if exceeded else None
        findings.append(
            _limit("CUSTOMER_LIMIT", CustomerLimitReached.code, check.limit, used, again, event_at)
        )
    return findings


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
    again = "never again" if available_from is None else f"available again from {times.iso(available_from)}"
    return RuleEvaluation(
        rule=rule,
        verdict=RuleResult.REFUSED,
        message=f"{used} of {limit.limit} are used; {again}.",
        code=code,
        limit=ExceededLimit(limit.reference, limit.limit, used, available_from),
    )


def cycles_of(
    window: FixedWindow, starts_at: datetime, expires_at: datetime, wanted: Bounds, zone: ZoneInfo
) -> range:
    """Return the numbers of the window's cycles, while the badge is live, that overlap the range."""

    def number(at: datetime) -> int:
        return limit_rules.index_of(window, limit_rules.cycle_at(window, at, zone).last_day)

    first, last = 0, number(expires_at - limit_rules.MICROSECOND)
    if wanted.opens is not None and wanted.opens > starts_at:
        first = number(wanted.opens)
    if wanted.closes is not None:
        if wanted.closes < limit_rules.midnight(window.first_day, zone):
            return range(0)
        last = min(last, number(wanted.closes))
    return range(first, last + 1)
