"""The answer of an earnBulk is written out as text: it is the documented shape all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from cockade import ids
from cockade.errors import Exceeded
from cockade.http.earnings import (
    REFUSALS,
    AnswerShape,
    EarnBulkAnswer,
    IssuedBadge,
    IssuedStatus,
    answer_outcome,
)
from cockade.http.wire import UNSET, Envelope, ErrorDetail, LimitDetails
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.request.model import (
    EarnedStatus,
    OwnerType,
    Refusal,
    RefusalReason,
    RequestKind,
    RequestOutcome,
)

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
KEY = ids.request_key(4_000_000_000, 2**32 - 1)
STANDING = ids.earned_badge_id(ids.request_key(1_700_000_000, 5), 9)
LIMIT = Exceeded("customerConstraints[1].rollForDays", 2, 3, NOW)
REFUSED = [
    Refusal(1, RefusalReason.ALREADY_HELD, STANDING, EarnedStatus.EXPIRED),
    Refusal(2, RefusalReason.CUSTOMER_LIMIT, exceeded=LIMIT),
    Refusal(3, RefusalReason.NOT_ENROLLED),
]


def answered(kind: RequestKind, *, valid_from: datetime, refusals: list[Refusal]) -> list[IssuedBadge]:
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
        decided_at=NOW,
        audience=[CustomerId(customer) for customer in (2**63 - 1, 2, 3, 4, 5)],
        refusals=refusals,
    )
    response = answer_outcome(outcome, AnswerShape.ISSUED, [])
    answer = msgspec.json.decode(cast("bytes", response.content), type=Envelope[EarnBulkAnswer]).data
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
def test_whoever_earned_has_an_id_and_a_status(valid_from: datetime, status: IssuedStatus) -> None:
    entries = answered(RequestKind.EARN_BULK, valid_from=valid_from, refusals=[])
    assert entries == [
        IssuedBadge(customer, ids.earned_badge_id(KEY, line), status)
        for line, customer in enumerate((2**63 - 1, 2, 3, 4, 5))
    ]


def test_whoever_was_refused_has_the_reason() -> None:
    entries = answered(RequestKind.EARN_BULK, valid_from=NOW, refusals=REFUSED)
    details = LimitDetails(2, 3, NOW.timestamp(), "2026-02-03T04:05:06Z")

    def error(
        reason: RefusalReason, reference: str | None = None, told: LimitDetails | None = None
    ) -> ErrorDetail:
        return ErrorDetail(reason, REFUSALS[reason], reference, told or UNSET)

    assert [entry.error for entry in entries] == [
        UNSET,
        error(RefusalReason.ALREADY_HELD),
        error(RefusalReason.CUSTOMER_LIMIT, LIMIT.reference, details),
        error(RefusalReason.NOT_ENROLLED),
        UNSET,
    ]
    assert [(entry.issued_id, entry.status) for entry in entries[1:4]] == [
        (STANDING, IssuedStatus.EXPIRED),
        (None, None),
        (None, None),
    ]


def test_an_enrolment_is_active() -> None:
    refused = [Refusal(1, RefusalReason.ALREADY_HELD, STANDING)]
    entries = answered(RequestKind.ISSUE_BULK, valid_from=NOW - timedelta(days=3), refusals=refused)
    assert {entry.status for entry in entries} == {IssuedStatus.ACTIVE}
