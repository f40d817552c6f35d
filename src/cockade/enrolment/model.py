"""Enrolments, and requests to revoke them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from cockade.ids import BadgeId, CustomerId, RequestKey


class Enrolled(Struct, frozen=True, kw_only=True):
    """An unrevoked enrolment."""

    request_key: RequestKey
    line: int
    valid_until: datetime


class Enrollee(Struct, frozen=True, kw_only=True):
    """A customer who was ever enrolled in the badge, from one snapshot of the ledger."""

    last_ordinal: int
    """The highest ordinal that the customer ever had."""
    standing: Enrolled | None
    """The unrevoked enrolment that overlaps the new window; if there are several, the one that ends last."""


class RevokeIssue(Struct, frozen=True, kw_only=True):
    """The enrolments to revoke."""

    badge_id: BadgeId | None
    """None if the value sent is not a valid badge id."""
    customers: list[CustomerId]
    """All active enrolments of these customers. Each once, in the order sent."""
    issuals: list[tuple[CustomerId, str]]
    """Single enrolments. Each once, in the order sent."""


class RevokedIssue(Struct, frozen=True):
    """The result for one customer or enrolment."""

    customer: CustomerId
    issue_id: str | None
    """The enrolment, or the id that was sent. None if the customer has no enrolment."""
    is_revoked: bool
