"""What undoing works with and comes to."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from cockade.ids import BadgeKey, CustomerId, OrgId, RequestKey


class Lines(Struct, frozen=True, kw_only=True):
    """Lines of one request that are taken back in one transaction: the three lists run side by side.

    What a line did not give, because it was refused or its customer has been erased, is nothing to take back.
    """

    request_key: RequestKey
    is_enrolling: bool
    """Whether it gave enrolments, and not earned badges."""
    badge_keys: Sequence[BadgeKey]
    customers: Sequence[CustomerId]
    """Whose it is now, which differs from who was sent where customers were merged."""
    lines: Sequence[int]


class UndoResult(Struct, frozen=True, kw_only=True):
    """How much was taken back: earned badges, or enrolments where the request enrolled."""

    revoked: int = 0
    already_revoked: int = 0
    """Those that had been revoked before, in whatever way."""

    def __add__(self, other: UndoResult) -> UndoResult:
        return UndoResult(
            revoked=self.revoked + other.revoked, already_revoked=self.already_revoked + other.already_revoked
        )


class UndoState(StrEnum):
    """How far an undoing in the background is."""

    QUEUED = "queued"
    """Nobody has begun with it yet, or nobody has taken it up again."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """A fault of ours; it goes on when it is asked for again."""


class UndoTask(Struct, frozen=True, kw_only=True):
    """The undoing of a request that gave more than one call takes back. To the audit trail it is who asked for it."""

    request_key: RequestKey
    """Of the request that is undone."""
    org_id: OrgId
    username: str
    """Who asked for it."""
    request_id: str
    state: UndoState
    batches: int
    next_batch: int
    """The first that is not taken back."""
    revoked: int
    already_revoked: int
    error: str | None
    """Why it has failed; whoever asks for it again is told so once."""
