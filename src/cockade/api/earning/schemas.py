"""Requests that issue badges, and their responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, cast

import msgspec
from litestar import Response
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from cockade import errors, ids, times
from cockade.api.schemas import CustomerNumber, Time, TriggeredBy
from cockade.config import Config
from cockade.earning.issuing import FAILURE_ERRORS
from cockade.earning.rules import earned_status
from cockade.errors import ExceededLimit
from cockade.http.context import RequestContext, request_id_of
from cockade.http.decoding import ERROR_MESSAGE, FieldErrors
from cockade.http.envelope import DRY_RUN, Envelope, ErrorDetail, json_name, limit_details
from cockade.http.response import JsonResponse
from cockade.ids import CustomerId
from cockade.request.model import (
    FailureReason,
    IssueCommand,
    OwnerType,
    RequestKind,
    RequestOutcome,
)

REPEATS_NAMED_MAX = 20
"""Number of ids that the warning about duplicates lists."""

NO_CUSTOMER = f"A customer id must be an integer between 1 and {ids.CUSTOMER_ID_MAX}."

REFUSALS = {reason: kind.message for reason, kind in FAILURE_ERRORS.items()}
"""The contract's message for each reason for which a customer can fail."""

Customer = Annotated[CustomerNumber, Meta(extra={ERROR_MESSAGE: NO_CUSTOMER})]


class ResponseShape(StrEnum):
    """The shape of an earnBulk response."""

    ISSUED = "issued"
    """One list with an entry per customer."""
    EARNED = "earned"
    """Customers who earned and customers who failed in separate lists."""


class IssuedStatus(StrEnum):
    """The status of the issued badge or enrolment, or of the conflicting one."""

    UPCOMING = "UPCOMING"
    LIVE = "LIVE"
    EXPIRED = "EXPIRED"
    ACTIVE = "ACTIVE"
    """An enrolment."""


class EventBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The badge, the owner, and the date of the earn event."""

    badge_meta_id: Annotated[
        str, Meta(description="The badge's id.", examples=["653de334b3cda7078c7c68eb"], min_length=1)
    ]
    triggered_by: TriggeredBy
    request_id: Annotated[
        str | int | None,
        Meta(
            description="A unique id for this request, 1 to 255 characters. Generated if absent.",
            examples=["1234"],
        ),
    ] = None
    earn_event_date: Annotated[Time | None, Meta(description="The date of the earn event. Default: now.")] = (
        None
    )
    earn_event_date_iso: Annotated[Time | None, Meta(description="Takes precedence over earnEventDate.")] = (
        None
    )
    earn_evenr_date: Annotated[Time | None, Meta(description="Alternative spelling of earnEventDate.")] = None
    earn_evenr_date_iso: Annotated[Time | None, Meta(description="Takes precedence over earnEvenrDate.")] = (
        None
    )
    issue_event_date: Annotated[Time | None, Meta(description="Alternative spelling of earnEventDate.")] = (
        None
    )
    issue_event_date_iso: Annotated[
        Time | None, Meta(description="Takes precedence over issueEventDate.")
    ] = None


class EarnBulkBody(EventBody, frozen=True, kw_only=True, rename=json_name):
    """A badge for many customers."""

    customer_ids: Annotated[
        list[Customer],
        Meta(
            description="The customer ids. Numeric strings are accepted; duplicates count once.", min_length=1
        ),
    ]


class EarnBody(EventBody, frozen=True, kw_only=True, rename=json_name):
    """A badge for one customer."""

    customer_id: Annotated[Customer, Meta(description="The customer id. A numeric string is accepted.")]


class RevokeEarnBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The earned badge to revoke."""

    badge_meta_id: Annotated[str, Meta(description="The badge's id.", min_length=1)]
    customer_id: Customer
    earned_badge_id: Annotated[str, Meta(description="The `issuedId` of earnBulk.", min_length=1)]


class EarnResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The earned badge."""

    badge_meta_id: str
    customer_id: int
    earned_badge_id: str
    expires_on: Annotated[float, Meta(description="End of the validity in epoch seconds.")]
    expires_on_iso: str
    request_id: str
    issued_id: Annotated[str | None, Meta(description="The enrolment it was earned through, or null.")] = None


class RevokeEarnResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The revoked badge."""

    badge_meta_id: str
    customer_id: int
    earned_badge_id: str
    is_active: bool


class IssuedBadge(Struct, frozen=True, rename=json_name):
    """The result for one customer."""

    customer_id: Annotated[int, Meta(examples=[553162563])]
    issued_id: Annotated[
        str | None,
        Meta(
            description="The earned badge. With error 1040: the conflicting one. Null in a dry run.",
            examples=["661681a535bc684e9e72553a"],
        ),
    ]
    status: Annotated[IssuedStatus | None, Meta(description="The status of that badge, or null.")]
    error: Annotated[ErrorDetail | UnsetType, Meta(description="Present only if the customer failed.")] = (
        UNSET
    )


class EarnBulkResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The outcome, with one entry per distinct customer in the order sent."""

    badge_meta_id: str
    triggered_by: TriggeredBy
    expires_on: Annotated[float, Meta(description="End of the validity in epoch seconds.")]
    expires_on_iso: str
    issued_badges: list[IssuedBadge]
    total_count: Annotated[int, Meta(description="Number of distinct customers.")]
    earned_count: int
    failed_count: int
    request_id: str


class EarnedBadgeEntry(Struct, frozen=True, rename=json_name):
    """A customer who earned."""

    customer_id: int
    earned_badge_id: Annotated[str | None, Meta(description="Null in a dry run.")]


class FailedEntry(Struct, frozen=True, rename=json_name):
    """A customer who failed."""

    customer_id: int
    error_code: int
    error_message: str


class EarnBulkEarnedResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The outcome as two lists, each in the order sent."""

    badge_meta_id: str
    triggered_by: TriggeredBy
    expires_on: Annotated[float, Meta(description="End of the validity in epoch seconds.")]
    expires_on_iso: str
    earned_badges_list: list[EarnedBadgeEntry]
    failed_earn_badge_error_list: list[FailedEntry]
    total_count: Annotated[int, Meta(description="Number of distinct customers.")]
    earned_count: int
    failed_count: int
    request_id: str


EXAMPLE = {
    "badgeMetaId": "653de334b3cda7078c7c68eb",
    "customerIds": [62090013, 553162563],
    "requestId": "1234",
    "earnEventDate": "2023-11-03T21:51:00.192Z",
    "triggeredBy": {"ownerType": "Loyalty", "referenceId": "123457"},
}
EXAMPLE_EARN = {
    "badgeMetaId": "653de334b3cda7078c7c68eb",
    "customerId": 62090013,
    "requestId": "1235",
    "triggeredBy": {"ownerType": "Loyalty", "referenceId": "123457"},
}
EXAMPLE_REVOKE = {
    "badgeMetaId": "653de334b3cda7078c7c68eb",
    "customerId": 62090013,
    "earnedBadgeId": "661681a535bc684e9e72553a",
}
EXAMPLE_RESPONSE = EarnBulkResponse(
    badge_meta_id="653de334b3cda7078c7c68eb",
    triggered_by=TriggeredBy(OwnerType.LOYALTY, "123457"),
    expires_on=1717935013.121711,
    expires_on_iso="2024-06-09T12:10:13Z",
    issued_badges=[
        IssuedBadge(62090013, "661681a535bc684e9e72553a", IssuedStatus.LIVE),
        IssuedBadge(
            553162563,
            "661681a535bc684e9e72553b",
            IssuedStatus.LIVE,
            ErrorDetail(1040, REFUSALS[FailureReason.ALREADY_HELD]),
        ),
    ],
    total_count=2,
    earned_count=1,
    failed_count=1,
    request_id="1234",
)


def outcome_response(
    outcome: RequestOutcome, shape: ResponseShape, warnings: list[ErrorDetail]
) -> Response[Envelope[EarnBulkResponse | EarnBulkEarnedResponse]]:
    """Return the outcome in the given shape, encoded once."""
    data = earned_shape(outcome) if shape is ResponseShape.EARNED else issued_shape(outcome)
    if outcome.is_dry_run:
        warnings = [*warnings, DRY_RUN]
    return JsonResponse(msgspec.json.encode(Envelope(data, [], warnings)))


def earn_response(outcome: RequestOutcome) -> EarnResponse:
    """Return the outcome of an earn, whose customer has earned."""
    return EarnResponse(
        badge_meta_id=outcome.badge_id,
        customer_id=outcome.customer_ids[0],
        earned_badge_id=ids.earned_badge_id(outcome.request_key, 0),
        expires_on=times.epoch(outcome.valid_until),
        expires_on_iso=times.iso(outcome.valid_until),
        request_id=outcome.request_id,
        issued_id=outcome.enrolment_id,
    )


def to_command(
    body: EarnBulkBody, context: RequestContext, config: Config, field_errors: FieldErrors
) -> IssueCommand:
    """Return the command for the body. Invalid fields are None."""
    return issue_command(
        body,
        distinct_customers(body.customer_ids or [], config.max_customers_per_request, field_errors),
        context,
        field_errors,
    )


def issue_command(
    body: EventBody, customers: list[CustomerId], context: RequestContext, field_errors: FieldErrors
) -> IssueCommand:
    owner = body.triggered_by
    return IssueCommand(
        request_id=request_id_of(context, body.request_id, field_errors),
        badge_id=ids.badge_id(body.badge_meta_id or ""),
        customers=customers,
        event_at=_event_at(body, field_errors),
        owner_type=owner and owner.owner_type,
        reference_id=owner and owner.reference_id,
    )


def distinct_customers(
    sent: list[int | str],
    max_customers_per_request: int,
    field_errors: FieldErrors,
    name: str = "customerIds",
) -> list[CustomerId]:
    """Return the customer ids of the field without duplicates, in the order sent."""
    if len(sent) > max_customers_per_request:
        field_errors.add(
            name,
            f"{name} has {len(sent)} entries, the maximum is {max_customers_per_request} (COCKADE_MAX_CUSTOMERS_PER_REQUEST). Send the rest in further requests.",
        )
        return []
    if set(map(type, sent)) <= {int}:
        return cast("list[CustomerId]", list(dict.fromkeys(sent)))
    for place, customer in enumerate(sent):
        if isinstance(customer, str):
            _check_digits(customer, f"{name}[{place}]", field_errors)
    once = dict.fromkeys(map(int, filter(None, sent)))
    return [CustomerId(customer) for customer in once]


def one_customer(
    sent: int | str | None, field_errors: FieldErrors, reference: str = "customerId"
) -> list[CustomerId]:
    """Return a list with the customer id, or an empty list if it is invalid."""
    if not sent:
        return []
    if isinstance(sent, str):
        _check_digits(sent, reference, field_errors)
    return [CustomerId(int(sent))]


def _check_digits(sent: str, reference: str, field_errors: FieldErrors) -> None:
    """The schema checks that these are digits, but not their value."""
    if not 1 <= int(sent) <= ids.CUSTOMER_ID_MAX:
        field_errors.add(reference, NO_CUSTOMER)


def _event_at(body: EventBody, field_errors: FieldErrors) -> datetime | None:
    """Return the event date, in any of its spellings. Two that differ are an error."""
    spellings = {
        "earnEventDate": (body.earn_event_date, body.earn_event_date_iso),
        "earnEvenrDate": (body.earn_evenr_date, body.earn_evenr_date_iso),
        "issueEventDate": (body.issue_event_date, body.issue_event_date_iso),
    }
    found: dict[str, datetime] = {}
    for name, (plain, iso) in spellings.items():
        reference, value = (name, plain) if iso is None else (f"{name}ISO", iso)
        if value is None:
            continue
        try:
            found[reference] = times.read_instant(value)
        except ValueError as error:
            field_errors.add(reference, str(error))
    if len(set(found.values())) > 1:
        field_errors.add(list(found)[-1], f"{' and '.join(found)} differ; send one of them.")
    return next(iter(found.values()), None)


def issued_shape(outcome: RequestOutcome) -> EarnBulkResponse:
    """Return the outcome in the default shape."""
    total, failed = len(outcome.customer_ids), len(outcome.failures)
    return EarnBulkResponse(
        badge_meta_id=outcome.badge_id,
        triggered_by=TriggeredBy(outcome.owner_type, outcome.reference_id),
        expires_on=times.epoch(outcome.valid_until),
        expires_on_iso=times.iso(outcome.valid_until),
        issued_badges=cast("list[IssuedBadge]", msgspec.Raw(_issued_badges(outcome))),
        total_count=total,
        earned_count=total - failed,
        failed_count=failed,
        request_id=outcome.request_id,
    )


def _issued_badges(outcome: RequestOutcome) -> str:
    """Return the list of `IssuedBadge` as JSON text. Building a struct per customer would take four times as
    long.

    Nothing needs escaping: all values are digits and enum values.
    """
    is_enrolment = outcome.kind is RequestKind.ISSUE_BULK
    status = (
        IssuedStatus.ACTIVE
        if is_enrolment
        else earned_status(outcome.event_at, outcome.valid_until, outcome.completed_at)
    )
    if outcome.is_dry_run:
        entries = [f'{customer},"issuedId":null,"status":"{status}"' for customer in outcome.customer_ids]
    else:
        earned_ids = ids.earned_badge_ids(outcome.request_key, len(outcome.customer_ids))
        entries = [
            f'{customer},"issuedId":"{earned_id}","status":"{status}"'
            for customer, earned_id in zip(outcome.customer_ids, earned_ids, strict=True)
        ]
    for line, reason, standing_id, standing_status, exceeded in map(astuple, outcome.failures):
        if is_enrolment:
            standing_status = IssuedStatus.ACTIVE
        entries[line] = (
            f'{outcome.customer_ids[line]},"issuedId":{_text(standing_id)},"status":{_text(standing_status)}'
            f',"error":{_error(reason, exceeded)}'
        )
    return '[{"customerId":' + '},{"customerId":'.join(entries) + "}]"


def _text(word: str | None) -> str:
    return "null" if word is None else f'"{word}"'


@lru_cache(maxsize=1000)
def _error(reason: FailureReason, exceeded: ExceededLimit | None) -> str:
    detail = ErrorDetail(reason, REFUSALS[reason], exceeded and exceeded.reference, limit_details(exceeded))
    return msgspec.json.encode(detail).decode()


def earned_shape(outcome: RequestOutcome) -> EarnBulkEarnedResponse:
    """Return the outcome as two lists."""
    refused = {refusal.line: refusal.reason for refusal in outcome.failures}
    earned_ids: Sequence[str | None] = (
        [None] * len(outcome.customer_ids)
        if outcome.is_dry_run
        else ids.earned_badge_ids(outcome.request_key, len(outcome.customer_ids))
    )
    earned = [
        EarnedBadgeEntry(customer, earned_id)
        for line, (customer, earned_id) in enumerate(zip(outcome.customer_ids, earned_ids, strict=True))
        if line not in refused
    ]
    failed = [
        FailedEntry(outcome.customer_ids[line], reason, REFUSALS[reason]) for line, reason in refused.items()
    ]
    return EarnBulkEarnedResponse(
        badge_meta_id=outcome.badge_id,
        triggered_by=TriggeredBy(outcome.owner_type, outcome.reference_id),
        expires_on=times.epoch(outcome.valid_until),
        expires_on_iso=times.iso(outcome.valid_until),
        earned_badges_list=earned,
        failed_earn_badge_error_list=failed,
        total_count=len(outcome.customer_ids),
        earned_count=len(earned),
        failed_count=len(failed),
        request_id=outcome.request_id,
    )


def duplicate_warnings(
    sent: list[int | str], once: list[CustomerId], name: str = "customerIds"
) -> list[ErrorDetail]:
    """Return a warning that lists ids that were sent more than once."""
    if len(once) == len(sent):
        return []
    counts = Counter(map(int, filter(None, sent)))
    repeated = [customer for customer, count in counts.items() if count > 1]
    named = ", ".join(map(str, repeated[:REPEATS_NAMED_MAX]))
    more = f" and {len(repeated) - REPEATS_NAMED_MAX} more" if len(repeated) > REPEATS_NAMED_MAX else ""
    message = f"These ids were sent more than once and count once: {named}{more}."
    return [ErrorDetail(errors.MALFORMED, message, name)]
