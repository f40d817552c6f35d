"""The earnBulk response, which is encoded as text, has the documented shape."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from cockade import ids
from cockade.api.earning.schemas import (
    REFUSALS,
    EarnBulkResponse,
    IssuedBadge,
    IssuedStatus,
    ResponseShape,
    outcome_response,
)
from cockade.errors import ExceededLimit
from cockade.http.envelope import UNSET, Envelope, ErrorDetail, LimitDetails
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.request.model import (
    CustomerFailure,
    EarnedStatus,
    FailureReason,
    OwnerType,
    RequestKind,
    RequestOutcome,
)

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY = ids.request_key(4_000_000_000, 2**32 - 1)
STANDING = ids.earned_badge_id(ids.request_key(1_700_000_000, 5), 9)
LIMIT = ExceededLimit("customerConstraints[1].rollForDays", 2, 3, NOW)
REFUSED = [
    CustomerFailure(1, FailureReason.ALREADY_HELD, STANDING, EarnedStatus.EXPIRED),
    CustomerFailure(2, FailureReason.CUSTOMER_LIMIT, exceeded=LIMIT),
    CustomerFailure(3, FailureReason.NOT_ENROLLED),
]


def entries_of(
    kind: RequestKind, *, valid_from: datetime, refusals: list[CustomerFailure]
) -> list[IssuedBadge]:
    outcome = RequestOutcome(
        request_id='a "quoted" id\n',
        request_key=KEY,
        kind=kind,
        badge_key=BadgeKey(1),
        badge_id=BadgeId("653de334b3cda7078c7c68eb"),
        owner_type=OwnerType.LOYALTY,
        reference_id='"',
        event_at=valid_from,
        valid_until=valid_from + timedelta(days=1),
        completed_at=NOW,
        customer_ids=[CustomerId(customer) for customer in (2**63 - 1, 2, 3, 4, 5)],
        failures=refusals,
    )
    response = outcome_response(outcome, ResponseShape.ISSUED, [])
    answer = msgspec.json.decode(cast("bytes", response.content), type=Envelope[EarnBulkResponse]).data
    assert (answer.request_id, answer.total_count, answer.failed_count) == (
        outcome.request_id,
        5,
        len(refusals),
    )
    return answer.issued_badges


@pytest.mark.parametrize(
    ("valid_from", "status"),
    [
        (NOW, IssuedStatus.LIVE),
        (NOW + timedelta(hours=1), IssuedStatus.UPCOMING),
        (NOW - timedelta(days=1), IssuedStatus.EXPIRED),
    ],
)
def test_issued_entry_has_id_and_status(valid_from: datetime, status: IssuedStatus) -> None:
    entries = entries_of(RequestKind.EARN_BULK, valid_from=valid_from, refusals=[])
    assert entries == [
        IssuedBadge(customer, ids.earned_badge_id(KEY, line), status)
        for line, customer in enumerate((2**63 - 1, 2, 3, 4, 5))
    ]


def test_failed_entry_has_its_reason() -> None:
    entries = entries_of(RequestKind.EARN_BULK, valid_from=NOW, refusals=REFUSED)
    details = LimitDetails(2, 3, NOW.timestamp(), "2026-02-03T04:05:06Z")

    def error(
        reason: FailureReason, reference: str | None = None, limit_details: LimitDetails | None = None
    ) -> ErrorDetail:
        return ErrorDetail(reason, REFUSALS[reason], reference, limit_details or UNSET)

    assert [entry.error for entry in entries] == [
        UNSET,
        error(FailureReason.ALREADY_HELD),
        error(FailureReason.CUSTOMER_LIMIT, LIMIT.reference, details),
        error(FailureReason.NOT_ENROLLED),
        UNSET,
    ]
    assert [(entry.issued_id, entry.status) for entry in entries[1:4]] == [
        (STANDING, IssuedStatus.EXPIRED),
        (None, None),
        (None, None),
    ]


def test_enrolment_entry_is_active() -> None:
    refused = [CustomerFailure(1, FailureReason.ALREADY_HELD, STANDING)]
    entries = entries_of(RequestKind.ISSUE_BULK, valid_from=NOW - timedelta(days=3), refusals=refused)
    assert {entry.status for entry in entries} == {IssuedStatus.ACTIVE}
