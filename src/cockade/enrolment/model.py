"""What enrolling works with."""

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
    """A customer who was ever enrolled in the badge, as the ledger stood when it was read."""

    last_ordinal: int
    """The highest ordinal that she ever had."""
    standing: Enrolled | None
    """The unrevoked one that has an instant in common with the window asked about: of several, the one that ends last."""


class RevokeIssue(Struct, frozen=True, kw_only=True):
    """Which enrolments to end."""

    badge_id: BadgeId | None
    """None where the caller sent what cannot be a badge id."""
    customers: list[CustomerId]
    """All active enrolments of these, each once, in the order sent."""
    issuals: list[tuple[CustomerId, str]]
    """And these enrolments, each once, in the order sent."""


class RevokedIssue(Struct, frozen=True):
    """What became of one of them."""

    customer: CustomerId
    issue_id: str | None
    """The enrolment, or what was sent for one, or None where she has none."""
    is_revoked: bool
