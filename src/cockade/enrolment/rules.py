"""Pure decisions about enrolments (docs/reference/api/enrolments.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cockade import ids
from cockade.enrolment.model import Enrollee
from cockade.ids import CustomerId
from cockade.request.model import CustomerFailure, FailureReason


def decide(
    audience: Sequence[CustomerId], enrollees: Mapping[CustomerId, Enrollee]
) -> tuple[list[tuple[CustomerId, int, int]], list[CustomerFailure]]:
    """Return the enrolled customers as (customer, ordinal, line), in ascending order, and the failures by
    line.
    """
    entries: list[tuple[CustomerId, int, int]] = []
    refusals: list[CustomerFailure] = []
    for line, customer in enumerate(audience):
        enrollee = enrollees.get(customer)
        if enrollee is None or enrollee.standing is None:
            entries.append((customer, enrollee.last_ordinal + 1 if enrollee else 1, line))
        else:
            standing = enrollee.standing
            issue_id = ids.earned_badge_id(standing.request_key, standing.line)
            refusals.append(CustomerFailure(line, FailureReason.ALREADY_HELD, issue_id))
    entries.sort()
    return entries, refusals
