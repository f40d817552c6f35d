"""Types of undo."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey


class Lines(Struct, frozen=True, kw_only=True):
    """Lines of one request that are revoked in one transaction. The three lists are parallel.

    A line that issued nothing, because it failed or its customer was erased, has nothing to revoke.
    """

    request_key: RequestKey
    is_enrolling: bool
    """Whether the request enrolled customers, instead of issuing earned badges."""
    badge_keys: Sequence[BadgeKey]
    customers: Sequence[CustomerId]
    """The current customers, which differ from the request's if customers were merged."""
    lines: Sequence[int]


class UndoResult(Struct, frozen=True, kw_only=True):
    """The result: earned badges, or enrolments if the request enrolled."""

    revoked: int = 0
    already_revoked: int = 0
    """Number that was revoked before, in any way."""

    def __add__(self, other: UndoResult) -> UndoResult:
        return UndoResult(
            revoked=self.revoked + other.revoked, already_revoked=self.already_revoked + other.already_revoked
        )


class UndoState(StrEnum):
    """The state of an undo in the background."""

    QUEUED = "queued"
    """Waiting for a worker, at the start or after a failure."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """Failed by an error in the service. The next undo request continues it."""


class UndoTask(Struct, frozen=True, kw_only=True):
    """The undo of a request that is too large for one transaction. For the audit trail, it is the requesting
    user.
    """

    request_key: RequestKey
    """The request to undo."""
    org_id: OrgId
    username: str
    """The user who requested the undo."""
    request_id: str
    state: UndoState
    batches: int
    next_batch: int
    """The first batch that is not revoked."""
    revoked: int
    already_revoked: int
    error: str | None
    """Why it failed. It is reported once, to the next undo request."""
