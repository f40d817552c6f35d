"""Rules 4 to 8 of earnBulk: which ones reject a request, which ones fail a customer, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cockade import ids
from cockade.api.earning.schemas import REFUSALS
from cockade.badge import rules as badge_rules
from cockade.badge.model import (
    BadgeExpiry,
    Constraint,
    ConstraintType,
    EarnTerms,
    EarnType,
    Expiry,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    RelativeExpiry,
)
from cockade.earning import rules
from cockade.earning.model import Decision, EligibilityFacts
from cockade.enrolment.model import Enrolled
from cockade.errors import (
    CockadeError,
    EventInFuture,
    EventOutsideBadge,
    ExceededLimit,
    NotClaimed,
    NotLive,
    OwnerNotAllowed,
)
from cockade.ids import CustomerId
from cockade.limit.model import FixedValue, LimitUsage
from cockade.request.model import CustomerFailure, EarnedStatus, FailureReason, OwnerType
from tests.holders import Entry, Holder, Standing, entries_of, holders_of

BERLIN = ZoneInfo("Europe/Berlin")
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(hours=24)
NOW = datetime(2026, 6, 15, 9, tzinfo=UTC)
STARTS = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRES = datetime(2027, 1, 1, tzinfo=UTC)
SOUND = EarnTerms(
    is_active=True,
    starts_at=STARTS,
    expires_at=EXPIRES,
    earn_type=EarnType.EARN,
    earned_expiry=RelativeExpiry(ExpiryUnit.DAYS, 1),
    owners=[OwnerType.JOURNEYS, OwnerType.LOYALTY],
    holds_several=False,
    issued_expiry=None,
    customer_constraints=[],
    badge_constraints=[],
    is_claimed=True,
)


def terms(**changes: object) -> EarnTerms:
    return msgspec.structs.replace(SOUND, **changes)


def asked(given: EarnTerms, event_at: datetime | None, now: datetime = NOW) -> tuple[datetime, datetime]:
    return badge_rules.validity(
        given, OwnerType.LOYALTY, event_at, now, BERLIN, badge_rules.earning_validity(given)
    )


# In order of precedence. Each row also violates the rules of all rows below it, so a rule that is checked too
# late would result in another code. The badge is not live now, so that the window is violated with and
# without an event date.
INACTIVE, UNOWNED, UNCLAIMED = {"is_active": False}, {"owners": [OwnerType.JOURNEYS]}, {"is_claimed": False}
OVER = {"expires_at": NOW - DAY}
ENDED: dict[str, object] = {"earned_expiry": FixedExpiry(STARTS)}
FAR = NOW + DAY + MICROSECOND
PRECEDENCE = [
    ({**INACTIVE, **UNOWNED, **UNCLAIMED, **OVER, **ENDED}, FAR, NotLive),
    ({**UNOWNED, **UNCLAIMED, **OVER, **ENDED}, FAR, OwnerNotAllowed),
    ({**UNCLAIMED, **OVER, **ENDED}, FAR, NotClaimed),
    ({**OVER, **ENDED}, FAR, EventInFuture),
    ({**OVER, **ENDED}, None, NotLive),
    ({**OVER, **ENDED}, NOW, EventOutsideBadge),
    (ENDED, NOW, EventOutsideBadge),
]


@pytest.mark.parametrize(("changes", "event_at", "expected"), PRECEDENCE)
def test_first_violated_rule_rejects_the_request(
    changes: dict[str, object], event_at: datetime | None, expected: type[CockadeError]
) -> None:
    with pytest.raises(expected) as caught:
        asked(terms(**changes), event_at)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("changes", "event_at", "expected"),
    [
        (INACTIVE, NOW, (815, None)),
        (UNOWNED, NOW, (714, "triggeredBy.ownerType")),
        ({"owners": []}, NOW, (714, "triggeredBy.ownerType")),
        (UNCLAIMED, NOW, (810, None)),
        ({}, FAR, (750, "earnEventDate")),
        (OVER, None, (815, None)),
        (OVER, NOW, (816, "earnEventDate")),
        ({"starts_at": NOW + MICROSECOND}, None, (815, None)),
        ({"starts_at": NOW + MICROSECOND}, NOW, (816, "earnEventDate")),
        (ENDED, NOW, (816, "earnEventDate")),
        (ENDED, None, (816, "earnEventDate")),
    ],
)
def test_each_rule_alone_rejects_the_request(
    changes: dict[str, object], event_at: datetime | None, expected: tuple[int, str | None]
) -> None:
    with pytest.raises(CockadeError) as caught:
        asked(terms(**changes), event_at)
    assert (caught.value.code, caught.value.reference) == expected


@pytest.mark.parametrize(
    ("event_at", "expected"),
    [
        (STARTS - MICROSECOND, 816),
        (STARTS, None),
        (EXPIRES - MICROSECOND, None),
        (EXPIRES, 816),
        (EXPIRES + MICROSECOND, 816),
    ],
)
def test_badge_window_is_half_open_for_events(event_at: datetime, expected: int | None) -> None:
    assert refusal_code(SOUND, event_at, EXPIRES) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [(STARTS - MICROSECOND, 815), (STARTS, None), (EXPIRES - MICROSECOND, None), (EXPIRES, 815)],
)
def test_without_event_date_the_badge_must_be_live_now(now: datetime, expected: int | None) -> None:
    assert refusal_code(SOUND, None, now) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"), [(DAY - MICROSECOND, None), (DAY, None), (DAY + MICROSECOND, 750)]
)
def test_event_is_at_most_24_hours_in_the_future(ahead: timedelta, expected: int | None) -> None:
    assert refusal_code(SOUND, NOW + ahead, NOW) == expected


@pytest.mark.parametrize(
    ("expiry", "expected"),
    [
        (FixedExpiry(NOW), 816),
        (FixedExpiry(NOW - MICROSECOND), 816),
        (FixedExpiry(NOW + MICROSECOND), None),
    ],
)
def test_expiry_must_be_after_the_event(expiry: Expiry, expected: int | None) -> None:
    assert refusal_code(terms(earned_expiry=expiry), NOW, NOW) == expected
    assert refusal_code(terms(earned_expiry=expiry, earn_type=EarnType.ISSUE_EARN), NOW, NOW) == expected


@pytest.mark.parametrize(
    ("event_at", "expected"),
    [
        (None, None),
        (EXPIRES + DAY, None),
        (STARTS - 100 * DAY, None),
        (EXPIRES + 200 * DAY, None),
        (EXPIRES + 200 * DAY + DAY + MICROSECOND, 750),
    ],
)
def test_window_is_not_checked_for_issue_earn_badges(event_at: datetime | None, expected: int | None) -> None:
    assert refusal_code(terms(earn_type=EarnType.ISSUE_EARN), event_at, EXPIRES + 200 * DAY) == expected


def refusal_code(given: EarnTerms, event_at: datetime | None, now: datetime) -> int | None:
    try:
        asked(given, event_at, now)
    except CockadeError as error:
        return error.code
    return None


@pytest.mark.parametrize(
    ("expiry", "event_at", "expected"),
    [
        (RelativeExpiry(ExpiryUnit.DAYS, 2), None, (NOW, NOW + 2 * DAY)),
        (RelativeExpiry(ExpiryUnit.DAYS, 2), STARTS, (STARTS, STARTS + 2 * DAY)),
        (RelativeExpiry(ExpiryUnit.MONTHS, 1), NOW, (NOW, datetime(2026, 7, 15, 9, tzinfo=UTC))),
        (RelativeExpiry(ExpiryUnit.MONTHS, 6), NOW, (NOW, datetime(2026, 12, 15, 10, tzinfo=UTC))),
        (BadgeExpiry(), NOW, (NOW, EXPIRES)),
        (FixedExpiry(EXPIRES + DAY), NOW, (NOW, EXPIRES + DAY)),
        (NeverExpiry(), NOW, (NOW, datetime(2126, 6, 15, 9, tzinfo=UTC))),
    ],
)
def test_validity_starts_with_the_event(
    expiry: Expiry, event_at: datetime | None, expected: tuple[datetime, datetime]
) -> None:
    assert asked(terms(earned_expiry=expiry), event_at) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (STARTS - MICROSECOND, EarnedStatus.UPCOMING),
        (STARTS, EarnedStatus.LIVE),
        (EXPIRES - MICROSECOND, EarnedStatus.LIVE),
        (EXPIRES, EarnedStatus.EXPIRED),
    ],
)
def test_validity_of_an_earned_badge_is_half_open(now: datetime, expected: EarnedStatus) -> None:
    assert rules.earned_status(STARTS, EXPIRES, now) is expected


KEY = ids.request_key(1_700_000_000, 3)
HELD = Standing(request_key=KEY, line=4, valid_from=STARTS, valid_until=EXPIRES)
HELD_ID = ids.earned_badge_id(KEY, 4)
ALICE = CustomerId(7)
ENROL_FIRST = terms(earn_type=EarnType.ISSUE_EARN)
SEVERAL = terms(holds_several=True)


@pytest.mark.parametrize(
    ("given", "holder", "expected"),
    [
        (SOUND, None, Entry(ALICE, 1, 0)),
        (SOUND, Holder(last_ordinal=4, standing=None), Entry(ALICE, 5, 0)),
        (SEVERAL, None, Entry(ALICE, 1, 0)),
        (SEVERAL, Holder(last_ordinal=4, standing=None), Entry(ALICE, 5, 0)),
        (SEVERAL, Holder(last_ordinal=4, standing=HELD), Entry(ALICE, 5, 0)),
        (ENROL_FIRST, None, FailureReason.NOT_ENROLLED),
        (ENROL_FIRST, Holder(last_ordinal=4, standing=None), FailureReason.NOT_ENROLLED),
        # Two rules fail: the first one in precedence is reported.
        (ENROL_FIRST, Holder(last_ordinal=4, standing=HELD), FailureReason.NOT_ENROLLED),
        (SOUND, Holder(last_ordinal=4, standing=HELD), FailureReason.ALREADY_HELD),
    ],
)
def test_customer_earns_or_fails(
    given: EarnTerms, holder: Holder | None, expected: Entry | FailureReason
) -> None:
    decision = decide([ALICE], {} if holder is None else {ALICE: holder}, given, NOW)
    if isinstance(expected, Entry):
        assert (entries_of(decision), decision.failures) == ([expected], [])
    else:
        assert entries_of(decision) == []
        assert [(refusal.line, refusal.reason) for refusal in decision.failures] == [(0, expected)]


def decide(
    audience: list[CustomerId],
    holders: dict[CustomerId, Holder],
    given: EarnTerms,
    now: datetime,
    **facts: Any,
) -> Decision:
    """Decide rule 8 for an event at `now` of customers without enrolments."""
    rule = rules.eligibility_rules(given, now, now, BERLIN)
    all_facts: dict[str, Any] = {"enrolled": {} if rule.needs_enrolment else None, **facts}
    return rules.decide(audience, EligibilityFacts(holders=holders_of(holders), **all_facts), rule)


REASONS_AND_FAILURES = [
    (ENROL_FIRST, CustomerFailure(0, FailureReason.NOT_ENROLLED, None, None)),
    (SOUND, CustomerFailure(0, FailureReason.ALREADY_HELD, HELD_ID, EarnedStatus.LIVE)),
]


@pytest.mark.parametrize(("given", "expected"), REASONS_AND_FAILURES)
def test_each_failure_has_its_details(given: EarnTerms, expected: CustomerFailure) -> None:
    holders = {ALICE: Holder(last_ordinal=1, standing=HELD)}
    assert decide([ALICE], holders, given, NOW).failures == [expected]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (STARTS - DAY, EarnedStatus.UPCOMING),
        (NOW, EarnedStatus.LIVE),
        (EXPIRES, EarnedStatus.EXPIRED),
    ],
)
def test_conflicting_badge_has_its_current_status(now: datetime, expected: EarnedStatus) -> None:
    holders = {ALICE: Holder(last_ordinal=1, standing=HELD)}
    assert decide([ALICE], holders, SOUND, now).failures[0].conflicting_status is expected


def test_entries_are_sorted_by_customer_and_keep_their_line() -> None:
    audience = [CustomerId(customer) for customer in (30, 10, 40, 20)]
    fresh = decide(audience, {}, SOUND, NOW)
    assert [(entry.customer_id, entry.line) for entry in entries_of(fresh)] == [
        (10, 1),
        (20, 3),
        (30, 0),
        (40, 2),
    ]
    holders = {
        CustomerId(40): Holder(last_ordinal=2, standing=HELD),
        CustomerId(20): Holder(last_ordinal=2, standing=None),
    }
    mixed = decide(audience, holders, SOUND, NOW)
    assert [(entry.customer_id, entry.ordinal, entry.line) for entry in entries_of(mixed)] == [
        (10, 1, 1),
        (20, 3, 3),
        (30, 1, 0),
    ]
    assert [refusal.line for refusal in mixed.failures] == [2]


FULL = LimitUsage(limit=FixedValue(reference="badgeConstraints[0]", limit=3), used=3, available_from=None)
TWICE = Constraint(constraint_type=ConstraintType.CUSTOMER_BADGE_FIXED_VALUE, max_earn_limit=2)
LIMITED = terms(holds_several=True, customer_constraints=[TWICE])


def test_customer_limit_failure_has_the_usage() -> None:
    holders = {ALICE: Holder(last_ordinal=3, total=2)}
    exceeded = ExceededLimit("customerConstraints[0]", 2, 2, None)
    assert decide([ALICE], holders, LIMITED, NOW, usages=[FULL]).failures == [
        CustomerFailure(0, FailureReason.CUSTOMER_LIMIT, exceeded=exceeded)
    ]
    below_limit = {ALICE: Holder(last_ordinal=3, total=1)}
    assert entries_of(decide([ALICE], below_limit, LIMITED, NOW)) == [Entry(ALICE, 4, 0)]


def test_remaining_badge_limit_goes_to_the_first_customers_in_request_order() -> None:
    audience = [CustomerId(customer) for customer in (50, 10, 40, 20, 30)]
    left = LimitUsage(
        limit=FixedValue(reference="badgeConstraints[1]", limit=5), used=3, available_from=EXPIRES
    )
    standing = {CustomerId(10): Holder(last_ordinal=1, standing=HELD)}
    decision = decide(audience, standing, SOUND, NOW, usages=[left])
    assert [(entry.customer_id, entry.line) for entry in entries_of(decision)] == [(40, 2), (50, 0)]
    exceeded = ExceededLimit("badgeConstraints[1]", 5, 5, EXPIRES)
    assert [(refusal.line, refusal.reason, refusal.exceeded) for refusal in decision.failures] == [
        (1, FailureReason.ALREADY_HELD, None),
        (3, FailureReason.BADGE_LIMIT, exceeded),
        (4, FailureReason.BADGE_LIMIT, exceeded),
    ]


def test_limits_are_checked_in_the_order_of_the_badge() -> None:
    wide = LimitUsage(limit=FixedValue(reference="badgeConstraints[0]", limit=9), used=3, available_from=None)
    narrow = LimitUsage(
        limit=FixedValue(reference="badgeConstraints[1]", limit=4), used=4, available_from=None
    )
    [refusal] = decide([ALICE], {}, SOUND, NOW, usages=[wide, narrow, FULL]).failures
    assert refusal.exceeded is not None
    assert refusal.exceeded.reference == "badgeConstraints[1]"


def test_first_failed_rule_is_reported() -> None:
    """811, then 1040, then 817, then 818."""
    held = {ALICE: Holder(last_ordinal=1, standing=HELD, total=2)}
    enrolled = {ALICE: Enrolled(request_key=KEY, line=0, valid_until=EXPIRES)}
    both = [TWICE]
    rejects = terms(earn_type=EarnType.ISSUE_EARN, holds_several=False, customer_constraints=both)
    allows = terms(earn_type=EarnType.ISSUE_EARN, holds_several=True, customer_constraints=both)
    fresh = {ALICE: Holder(last_ordinal=1)}
    decisions = [
        decide([ALICE], held, rejects, NOW, usages=[FULL]),
        decide([ALICE], held, rejects, NOW, usages=[FULL], enrolled=enrolled),
        decide([ALICE], held, allows, NOW, usages=[FULL], enrolled=enrolled),
        decide([ALICE], fresh, allows, NOW, usages=[FULL], enrolled=enrolled),
    ]
    assert [decision.failures[0].reason for decision in decisions] == [811, 1040, 817, 818]
    assert entries_of(decide([ALICE], fresh, allows, NOW, enrolled=enrolled)) == [Entry(ALICE, 2, 0)]


def test_every_reason_has_a_message() -> None:
    assert set(REFUSALS) == set(FailureReason)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (FailureReason.NOT_ENROLLED, (811, "Badge issue is mandatory before earn.")),
        (FailureReason.ALREADY_HELD, (1040, "An active issue for the badge already exists.")),
        (FailureReason.CUSTOMER_LIMIT, (817, "Customer earn limit reached.")),
        (FailureReason.BADGE_LIMIT, (818, "Badge earn limit reached.")),
    ],
)
def test_messages_of_reasons_are_those_of_the_contract(
    reason: FailureReason, expected: tuple[int, str]
) -> None:
    assert (int(reason), REFUSALS[reason]) == expected
