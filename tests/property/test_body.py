"""Property of bodies: every input results in a command or a list of errors, never in another exception."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from cockade.api.badge.schemas import BadgeBody, to_draft
from cockade.api.earning.schemas import EarnBulkBody, to_command
from cockade.badge.model import BadgeDraft, ConstraintType
from cockade.config import Config
from cockade.errors import FIELD_ERRORS_MAX, FieldError, InvalidInput
from cockade.http import decoding as body
from cockade.http.context import RequestContext
from cockade.ids import CUSTOMER_ID_MAX
from cockade.request.model import IssueCommand
from tests.property.laws import instants_between, law

S = TypeVar("S", bound=Struct)
C = TypeVar("C")

CONFIG = Config(max_customers_per_request=8)
ARRIVED_AT = datetime(2026, 1, 1, tzinfo=UTC)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["", "0", "5", "5\n", "\0", "2026-01-01T00:00:00Z", "2026-01-01", "1700000000", "Loyalty"]
    ),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def fields(**sound: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with mostly valid fields; some are random, missing or unknown."""
    near = {name: st.one_of(value, value, value, anything) for name, value in sound.items()}
    return st.fixed_dictionaries({}, optional={**near, "unknown": anything})


def whole(**sound: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with all fields, each of them valid."""
    return st.fixed_dictionaries(sound)


times = st.one_of(
    instants_between("1971-01-01", "2999-01-01").map(datetime.isoformat),
    st.integers(0, 3 * 10**10),
    st.floats(0, 3e10),
    st.integers(0, 3 * 10**10).map(str),
)
owners = st.sampled_from(["Loyalty", "Journeys", "Rewards_Catalog"])
customer = st.integers(1, CUSTOMER_ID_MAX) | st.integers(1, CUSTOMER_ID_MAX).map(str)
sound_customers = st.lists(customer, min_size=1, max_size=8)
near_customers = st.lists(customer | anything, max_size=10)
triggered_by = {"ownerType": owners, "referenceId": st.text("abc123", min_size=1, max_size=5)}
earn_bulks = fields(
    badgeMetaId=st.text("0123456789abcdefABCDEF", min_size=24, max_size=24),
    customerIds=sound_customers | near_customers,
    requestId=st.text("abc123", min_size=1, max_size=9) | st.integers(),
    triggeredBy=fields(**triggered_by) | whole(**triggered_by),
    earnEventDate=times,
    earnEventDateISO=times,
    earnEvenrDate=times,
    issueEventDateISO=times,
)
sound_earn_bulks = whole(
    badgeMetaId=st.text("0123456789abcdefABCDEF", min_size=1, max_size=30),
    customerIds=sound_customers,
    requestId=st.none() | st.text("abc123", min_size=1, max_size=9) | st.integers(),
    triggeredBy=whole(**triggered_by),
    earnEventDate=st.none() | times,
)
expiry = {
    "expiryType": st.sampled_from(["RELATIVE", "ABSOLUTE", "NEVER"]),
    "relativeExpirytype": st.sampled_from(["DAYS", "WEEKS", "MONTHS"]),
    "value": st.integers(1, 2_000),
    "type": st.sampled_from(["FIXED_DATE", "WITH_BADGE_META"]),
    "expiresOn": times,
    "expireWithBadgeMeta": st.booleans(),
}
constraint = fields(
    constraintType=st.sampled_from(list(ConstraintType)),
    maxEarnLimit=st.integers(0, 3),
    maxEarnForDays=st.integers(0, 3),
    rollForDays=st.integers(0, 3),
    rollType=st.just("DAYS"),
    startDayOfTheWeek=st.integers(1, 7) | st.just("MONDAY"),
)
badges = fields(
    name=st.text("abc", min_size=1, max_size=9),
    startOn=times,
    startOnISO=times,
    expiresOn=times,
    earnType=st.sampled_from(["EARN", "ISSUE_EARN"]),
    earnedBadgeExpiry=fields(**expiry) | whole(**expiry),
    issuedBadgeExpiry=fields(**expiry),
    ownership=fields(restrictedToOwners=st.lists(owners, max_size=3), claims=anything),
    description=st.text(max_size=5),
    customerConstraints=st.lists(constraint | anything, max_size=3),
    badgeConstraints=st.lists(constraint, max_size=3),
    images=st.lists(fields(name=st.text(), tag=st.sampled_from(["EARNED", "UN_EARNED"])), max_size=3),
    benefits=st.lists(
        fields(
            benefitType=st.sampled_from(["COUPON", "LOYALTY_POINTS"]),
            seriesId=st.integers() | st.text(),
            points=st.floats(0, 9),
        ),
        max_size=12,
    ),
    tags=st.lists(fields(name=st.text("abc", min_size=1), value=anything) | anything, max_size=3),
    badgeGroupId=st.text("0123456789abcdef", min_size=24, max_size=24),
    badgeRank=st.integers(0, 9),
    customFields=st.dictionaries(st.text(max_size=4), anything, max_size=3),
    defaultTillId=st.integers(0, 9),
    active=st.booleans(),
    isActive=st.booleans(),
    overlapPolicy=st.sampled_from(["ALLOW", "REJECT"]),
)


def read_earn_bulk(raw: bytes) -> IssueCommand | list[FieldError]:
    context = RequestContext("header", ARRIVED_AT)
    return read(raw, EarnBulkBody, lambda wire, field_errors: to_command(wire, context, CONFIG, field_errors))


def read_badge(raw: bytes) -> BadgeDraft | list[FieldError]:
    return read(raw, BadgeBody, to_draft)


def read(raw: bytes, shape: type[S], convert: Callable[[S, body.FieldErrors], C]) -> C | list[FieldError]:
    """Return the command or its errors. Any other exception fails the test."""
    try:
        return body.read(raw, shape, convert)
    except InvalidInput as error:
        return error.field_errors()


def assert_told_in_full(field_errors: list[FieldError]) -> None:
    assert 1 <= len(field_errors) <= FIELD_ERRORS_MAX
    assert all(
        field_error.code >= 400 and field_error.message and field_error.reference != ""
        for field_error in field_errors
    )


@law
@given(earn_bulks | anything)
def test_earn_bulk_is_a_command_or_a_list_of_errors(sent: object) -> None:
    command = read_earn_bulk(json.dumps(sent).encode())
    if isinstance(command, list):
        assert_told_in_full(command)
        assert not isinstance(sent, dict) or all(field_error.reference for field_error in command)
    else:
        assert 1 <= len(command.customers) <= CONFIG.max_customers_per_request
        assert len(set(command.customers)) == len(command.customers)
        assert all(1 <= customer <= CUSTOMER_ID_MAX for customer in command.customers)
        assert 1 <= len(command.request_id) <= 255
        assert command.reference_id


@law
@given(sound_earn_bulks)
def test_valid_earn_bulk_has_no_errors(sent: dict[str, Any]) -> None:
    command = read_earn_bulk(json.dumps(sent).encode())
    assert isinstance(command, IssueCommand)
    assert command.customers == list(dict.fromkeys(map(int, sent["customerIds"])))
    assert command.request_id == ("header" if sent["requestId"] is None else str(sent["requestId"]))
    trigger = {"ownerType": command.owner_type.value, "referenceId": command.reference_id}
    assert trigger == sent["triggeredBy"]
    assert (command.event_at is None) == (sent["earnEventDate"] is None)


@law
@given(earn_bulks, st.binary(max_size=6), st.integers(0, 400))
def test_damaged_body_is_a_command_or_a_list_of_errors(
    sent: dict[str, Any], damage: bytes, place: int
) -> None:
    raw = json.dumps(sent).encode()
    command = read_earn_bulk(raw[:place] + damage + raw[place + 1 :])
    if isinstance(command, list):
        assert_told_in_full(command)


@law
@given(badges | anything)
def test_badge_is_a_draft_or_a_list_of_errors(sent: object) -> None:
    draft = read_badge(json.dumps(sent).encode())
    if isinstance(draft, list):
        assert_told_in_full(draft)
        assert not isinstance(sent, dict) or all(field_error.reference for field_error in draft)
    else:
        assert draft.name
        assert draft.owners
