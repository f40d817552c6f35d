"""Property of enrolling: enrolments of a customer never overlap, whatever the order of requests."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cockade import ids
from cockade.enrolment import rules
from cockade.enrolment.model import Enrolled, Enrollee
from cockade.ids import CustomerId, RequestKey
from cockade.request.model import FailureReason
from tests.property.laws import instants_between, law

customers = st.integers(1, 6).map(CustomerId)
requests = st.lists(
    st.tuples(
        st.lists(customers, unique=True, min_size=1),
        instants_between("2026-01-01", "2026-02-01"),
        st.timedeltas(timedelta(hours=1), timedelta(days=9)),
    ),
    max_size=12,
)
Row = tuple[int, RequestKey, int, datetime, datetime]
"""Ordinal, request key, line, start and end of the window."""


def read(
    ledger: dict[CustomerId, list[Row]], audience: list[CustomerId], opens: datetime, closes: datetime
) -> dict[CustomerId, Enrollee]:
    """Return the rows that the store would find."""
    enrollees: dict[CustomerId, Enrollee] = {}
    for customer in audience:
        if rows := ledger.get(customer):
            inside = [row for row in rows if row[3] < closes and row[4] > opens]
            last = max(inside, key=lambda row: (row[4], row[0]), default=None)
            standing = last and Enrolled(request_key=last[1], line=last[2], valid_until=last[4])
            enrollees[customer] = Enrollee(last_ordinal=max(row[0] for row in rows), standing=standing)
    return enrollees


@law
@given(requests)
def test_windows_of_a_customer_never_overlap_and_failures_name_the_conflict(
    sent: list[tuple[list[CustomerId], datetime, timedelta]],
) -> None:
    ledger: dict[CustomerId, list[Row]] = {}
    for number, (audience, opens, length) in enumerate(sent):
        closes, key = opens + length, RequestKey(number)
        entries, refusals = rules.decide(audience, read(ledger, audience, opens, closes))
        lines = [line for _, _, line in entries] + [refusal.line for refusal in refusals]
        assert sorted(lines) == list(range(len(audience)))
        assert entries == sorted(entries)
        for refusal in refusals:
            assert refusal.reason is FailureReason.ALREADY_HELD
            rows = ledger[audience[refusal.line]]
            [standing] = [
                row for row in rows if ids.earned_badge_id(row[1], row[2]) == refusal.conflicting_id
            ]
            assert standing[3] < closes
            assert standing[4] > opens
        for customer, ordinal, line in entries:
            rows = ledger.setdefault(customer, [])
            assert ordinal == len(rows) + 1
            assert all(closes <= row[3] or opens >= row[4] for row in rows)
            rows.append((ordinal, key, line, opens, closes))
