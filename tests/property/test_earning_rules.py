"""Properties of earning: each customer is decided exactly once, in an order that cannot deadlock."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from cockade import ids
from cockade.badge import rules as badge_rules
from cockade.badge.model import (
    BadgeExpiry,
    EarnTerms,
    EarnType,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    RelativeExpiry,
)
from cockade.earning import rules
from cockade.earning.model import Decision, EligibilityFacts
from cockade.errors import EventInFuture, EventOutsideBadge, NotClaimed, NotLive, OwnerNotAllowed
from cockade.ids import CustomerId, RequestKey
from cockade.request.model import FailureReason, OwnerType
from tests.holders import Holder, Standing, entries_of, holders_of
from tests.property.laws import instants_between, law

ZONE = ZoneInfo("Europe/Berlin")
instants = instants_between("1970-01-03", "2800-01-01")
expiries = st.one_of(
    st.builds(RelativeExpiry, st.sampled_from(ExpiryUnit), st.integers(1, 1_200)),
    st.builds(FixedExpiry, instants),
    st.just(BadgeExpiry()),
    st.just(NeverExpiry()),
)


@st.composite
def windows(draw: st.DrawFn) -> tuple[datetime, datetime]:
    first, second = sorted(draw(st.tuples(instants, instants).filter(lambda pair: pair[0] != pair[1])))
    return first, second


@st.composite
def terms(draw: st.DrawFn) -> EarnTerms:
    starts_at, expires_at = draw(windows())
    return EarnTerms(
        is_active=draw(st.booleans()),
        starts_at=starts_at,
        expires_at=expires_at,
        earn_type=draw(st.sampled_from(EarnType)),
        earned_expiry=draw(expiries),
        owners=draw(st.lists(st.sampled_from(OwnerType), unique=True, max_size=3)),
        holds_several=draw(st.booleans()),
        issued_expiry=None,
        customer_constraints=[],
        badge_constraints=[],
        is_claimed=draw(st.booleans()),
    )


@st.composite
def holders(draw: st.DrawFn) -> Holder:
    standing = None
    if draw(st.booleans()):
        valid_from, valid_until = draw(windows())
        standing = Standing(
            request_key=RequestKey(draw(st.integers(-(2**63), 2**63 - 1))),
            line=draw(st.integers(0, 99_999)),
            valid_from=valid_from,
            valid_until=valid_until,
        )
    return Holder(last_ordinal=draw(st.integers(1, 2**31 - 2)), standing=standing)


def decide(
    audience: list[CustomerId], held: dict[CustomerId, Holder], given_terms: EarnTerms, now: datetime
) -> Decision:
    """Decide rule 8 for an event at `now` of customers without enrolments."""
    rule = rules.eligibility_rules(given_terms, now, now, ZONE)
    facts = EligibilityFacts(enrolled={} if rule.needs_enrolment else None, holders=holders_of(held))
    return rules.decide(audience, facts, rule)


customers = st.integers(1, 2**63 - 1).map(CustomerId) | st.integers(1, 20).map(CustomerId)
audiences = st.lists(customers, unique=True, min_size=1, max_size=20)


@law
@given(audiences, st.data(), terms(), instants)
def test_each_customer_earns_or_fails_exactly_once(
    audience: list[CustomerId], data: st.DataObject, given_terms: EarnTerms, now: datetime
) -> None:
    held = data.draw(st.dictionaries(st.sampled_from(audience), holders()))
    decision = decide(audience, held, given_terms, now)
    entries = entries_of(decision)
    lines = [entry.line for entry in entries] + [refusal.line for refusal in decision.failures]
    assert sorted(lines) == list(range(len(audience)))
    assert all(audience[entry.line] == entry.customer_id for entry in entries)


@law
@given(audiences, st.data(), terms(), instants)
def test_entries_are_sorted_by_customer_and_failures_by_line(
    audience: list[CustomerId], data: st.DataObject, given_terms: EarnTerms, now: datetime
) -> None:
    held = data.draw(st.dictionaries(st.sampled_from(audience), holders()))
    decision = decide(audience, held, given_terms, now)
    entered = [entry.customer_id for entry in entries_of(decision)]
    refused = [refusal.line for refusal in decision.failures]
    assert entered == sorted(entered)
    assert refused == sorted(refused)


@law
@given(audiences, st.data(), terms(), instants)
def test_earned_badge_has_the_next_ordinal(
    audience: list[CustomerId], data: st.DataObject, given_terms: EarnTerms, now: datetime
) -> None:
    held = data.draw(st.dictionaries(st.sampled_from(audience), holders()))
    for entry in entries_of(decide(audience, held, given_terms, now)):
        holder = held.get(entry.customer_id)
        assert entry.ordinal == (1 if holder is None else holder.last_ordinal + 1)


@law
@given(audiences, st.data(), terms(), instants)
def test_customer_fails_exactly_if_a_rule_fails(
    audience: list[CustomerId], data: st.DataObject, given_terms: EarnTerms, now: datetime
) -> None:
    held = data.draw(st.dictionaries(st.sampled_from(audience), holders()))
    refusals = {refusal.line: refusal for refusal in decide(audience, held, given_terms, now).failures}
    for line, customer in enumerate(audience):
        holder = held.get(customer)
        standing = None if holder is None else holder.standing
        if given_terms.earn_type is EarnType.ISSUE_EARN:
            assert refusals[line].reason is FailureReason.NOT_ENROLLED
            assert (refusals[line].conflicting_id, refusals[line].conflicting_status) == (None, None)
        elif standing is not None and not given_terms.holds_several:
            assert refusals[line].reason is FailureReason.ALREADY_HELD
            assert refusals[line].conflicting_id == ids.earned_badge_id(standing.request_key, standing.line)
            status = rules.earned_status(standing.valid_from, standing.valid_until, now)
            assert refusals[line].conflicting_status is status
        else:
            assert line not in refusals


@law
@given(terms(), st.sampled_from(OwnerType), st.none() | instants, instants)
def test_validity_is_never_empty_and_begins_with_the_event(
    given_terms: EarnTerms, owner: OwnerType, event_at: datetime | None, now: datetime
) -> None:
    try:
        kind = badge_rules.earning_validity(given_terms)
        valid_from, valid_until = badge_rules.validity(given_terms, owner, event_at, now, ZONE, kind)
    except (NotLive, OwnerNotAllowed, NotClaimed, EventInFuture, EventOutsideBadge):
        return
    assert valid_from == (event_at or now)
    assert valid_from < valid_until
    assert valid_from <= now + badge_rules.EVENT_AHEAD_MAX
    if given_terms.earn_type is EarnType.EARN:
        assert given_terms.starts_at <= valid_from < given_terms.expires_at
