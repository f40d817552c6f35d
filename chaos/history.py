"""The history of a run: every request with its response, every configuration change and every injected fault.

The checker compares it with the database.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")
InactiveState = Literal["deactivated", "unclaimed"]


class Outcome(StrEnum):
    """The outcome of a request, as far as the client knows it."""

    ACKNOWLEDGED = "acknowledged"
    """200."""
    REJECTED = "rejected"
    """4xx: nothing was changed."""
    UNAVAILABLE = "unavailable"
    """503 with the message that nothing was changed."""
    UNKNOWN = "unknown"
    """The connection broke, or 503 with the message that the outcome is unknown."""
    UNEXPECTED = "unexpected"
    """Any other response. The checker reports it as a violation."""


class Response(Struct, frozen=True, kw_only=True):
    """The response to a request, or the error of its connection."""

    outcome: Outcome
    sent_at: float
    """Epoch seconds."""
    received_at: float
    """Epoch seconds."""
    status: int | None = None
    """None: the connection broke."""
    error_code: int | None = None
    """Code of the first error."""
    has_retry_after: bool = False
    detail: str = ""
    """The body of an unexpected response, or the exception that broke the connection."""


class Badge(Struct, frozen=True, kw_only=True, tag=True):
    """A badge of the run, as it was created."""

    badge_id: str
    name: str
    body: dict[str, Any]
    """The request body that created it."""
    has_changing_limit: bool = False
    """Whether an admin client changes its limit during the run."""


class Attempt(Struct, frozen=True, kw_only=True, tag=True):
    """One attempt to send a request that issues a badge, or a lookup of its result.

    A request id can have several attempts.
    """

    request_id: str
    badge_id: str
    audience: list[int]
    event_at: float | None
    """Epoch seconds. None: no event date was sent."""
    response: Response
    is_lookup: bool = False
    """Whether this is a GET /requests."""
    earned: dict[int, str] = {}
    """Earned badge id by customer, as acknowledged."""
    failed: dict[int, int] = {}
    """Error code by customer, as acknowledged."""
    valid_until: float | None = None
    """End of the validity in epoch seconds, as acknowledged."""


class Revocation(Struct, frozen=True, kw_only=True, tag=True):
    """One attempt to revoke an earned badge (revokeEarn)."""

    badge_id: str
    customer_id: int
    earned_badge_id: str
    response: Response


class InactiveInterval(Struct, frozen=True, kw_only=True, tag=True):
    """An interval in which a badge could not be earned.

    It starts when the response to the request that made the badge inactive was received, and ends when the
    request that makes it active again is sent.
    """

    badge_id: str
    state: InactiveState
    started_at: float
    ended_at: float
    rows_at_start: int | None
    """Ledger rows of the badge just after the start. None: the database did not respond."""
    rows_at_end: int | None
    """Ledger rows of the badge just before the end. None: the database did not respond."""
    is_conclusive: bool = True
    """False if an earlier request of unknown outcome may have ended the interval early."""


class LimitInterval(Struct, frozen=True, kw_only=True, tag=True):
    """An interval in which a badge as a whole had this limit."""

    badge_id: str
    limit: int
    rows_at_start: int | None
    rows_at_end: int | None
    is_conclusive: bool = True
    """False if a request of unknown outcome may have changed the limit in the interval."""


class Fault(Struct, frozen=True, kw_only=True, tag=True):
    """An injected fault."""

    kind: str
    killed: int
    """Number of killed processes."""
    injected_at: float
    recovery_s: float | None
    """Seconds until all services were ready again. None: they were not ready before the time limit."""


class Run(Struct, frozen=True, kw_only=True, tag=True):
    """Parameters of the run. The first entry of a history."""

    seed: int
    org_id: int
    time_zone: str
    max_response_s: float
    """A response that takes longer is a violation."""


Entry = Run | Badge | Attempt | Revocation | InactiveInterval | LimitInterval | Fault


class History:
    """All entries of a run, in memory and, if a path is given, in a file that is written as they are added."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self._file = path.open("wb", buffering=0) if path else None

    def append(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")

    def of_type(self, kind: type[T]) -> list[T]:
        """Return all entries of a type, in the order in which they were added."""
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def copy(self) -> History:
        """Return an in-memory copy."""
        other = History()
        other.entries = list(self.entries)
        return other


def read_history(path: Path) -> History:
    """Read a history from its file."""
    history = History()
    decode = msgspec.json.Decoder(Entry).decode
    history.entries = [decode(line) for line in path.read_bytes().splitlines()]
    return history
