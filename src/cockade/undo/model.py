"""Types of undo."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey


class Lines(Struct, frozen=True, kw_only=True):
    """Lines of one request that are revoked in one transaction, as three parallel lists.

    Lines that issued nothing, because they failed or the customer was erased, may be included. They are
    ignored.
    """

    request_key: RequestKey
    is_enrolling: bool
    """Whether the request issued enrolments instead of earned badges."""
    badge_keys: Sequence[BadgeKey]
    customers: Sequence[CustomerId]
    """The current customers, which differ from those in the request after a merge."""
    lines: Sequence[int]


class UndoResult(Struct, frozen=True, kw_only=True):
    """Number of earned badges or enrolments that were revoked."""

    revoked: int = 0
    already_revoked: int = 0
    """Revoked earlier, by any operation."""

    def __add__(self, other: UndoResult) -> UndoResult:
        return UndoResult(
            revoked=self.revoked + other.revoked, already_revoked=self.already_revoked + other.already_revoked
        )


class UndoState(StrEnum):
    """State of an undo in the background."""

    QUEUED = "queued"
    """Waiting for a worker."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """Failed with an internal error. A new request to undo continues it."""


class UndoTask(Struct, frozen=True, kw_only=True):
    """Undo of a request with too many lines for a single API request. Acts as the `Changer` in audit entries."""

    request_key: RequestKey
    """Key of the request to undo."""
    org_id: OrgId
    username: str
    """The user who requested the undo."""
    request_id: str
    state: UndoState
    batches: int
    next_batch: int
    """The first batch that is not revoked yet."""
    revoked: int
    already_revoked: int
    error: str | None
    """Why it failed. The next request to undo returns it once more and clears it."""
