"""The history of a run: every request with its response, every change and every fault. The checker reads it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class Outcome(StrEnum):
    """What the client knows about a request."""

    ACKNOWLEDGED = "acknowledged"
    """200."""
    REFUSED = "refused"
    """4xx: rejected by the rules, nothing was changed."""
    UNAVAILABLE = "unavailable"
    """503 that reports that nothing was changed."""
    UNKNOWN = "unknown"
    """The connection broke, or 503 that reports an unknown outcome."""
    FAULTY = "faulty"
    """Any other response, which is an error of the service."""


class Answer(Struct, frozen=True, kw_only=True):
    """How a request ended."""

    outcome: Outcome
    sent_at: float
    """Epoch seconds, also answered_at."""
    answered_at: float
    status: int | None = None
    code: int | None = None
    """The code of the first error."""
    retry_after: bool = False
    note: str = ""
    """For a faulty response: its text. Without a response: how the connection broke."""


class Badge(Struct, frozen=True, kw_only=True, tag=True):
    """A badge of the run, as it was created."""

    badge_id: str
    name: str
    fields: dict[str, Any]
    """The body that created it."""
    changing: bool = False
    """Whether its limits change during the run."""


class Call(Struct, frozen=True, kw_only=True, tag=True):
    """One attempt to send a request. A request id may have several."""

    request_id: str
    badge_id: str
    audience: list[int]
    event: float | None
    """Epoch seconds. None: no date was sent."""
    answer: Answer
    looked_up: bool = False
    """Whether this is the response of GET /requests instead of an attempt."""
    earned: dict[int, str] = {}
    """Earned badge id by customer, as acknowledged."""
    failed: dict[int, int] = {}
    """Error code by customer, as acknowledged."""
    until: float | None = None
    """End of the validity, as acknowledged."""


class Revocation(Struct, frozen=True, kw_only=True, tag=True):
    """One attempt to send a revokeEarn."""

    badge_id: str
    customer: int
    earned_id: str
    answer: Answer


class InactiveInterval(Struct, frozen=True, kw_only=True, tag=True):
    """An interval in which a badge could not be earned: from the response until the request that ended it was
    sent.
    """

    badge_id: str
    why: str
    """`switched off` or `unclaimed`."""
    begun_at: float
    ended_at: float
    rows_at_first: int | None
    """Ledger rows of the badge at the beginning. None: the database did not respond."""
    rows_at_last: int | None
    """Ledger rows just before the end."""
    sound: bool = True
    """False if a request that would end it might have been running."""


class LimitInterval(Struct, frozen=True, kw_only=True, tag=True):
    """An interval in which a badge as a whole had this limit."""

    badge_id: str
    limit: int
    rows_at_first: int | None
    rows_at_last: int | None
    sound: bool = True


class InjectedFault(Struct, frozen=True, kw_only=True, tag=True):
    """An injected fault."""

    kind: str
    killed: int
    """Number of killed processes."""
    at: float
    recovery_s: float | None
    """Seconds until all services were ready again. None: not within a minute and a half."""


class RunInfo(Struct, frozen=True, kw_only=True, tag=True):
    """The first entry."""

    seed: int
    org_id: int
    zone: str
    request_timeout_s: float
    """Maximum duration of a response."""


Entry = RunInfo | Badge | Call | Revocation | InactiveInterval | LimitInterval | InjectedFault


class History:
    """All entries, in memory and, if a file is given, on disk as they are added."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self._file = path.open("wb", buffering=0) if path else None

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")

    def of(self, kind: type[T]) -> list[T]:
        """Return all entries of a type."""
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def copy(self) -> History:
        """Return a copy in memory."""
        other = History()
        other.entries = list(self.entries)
        return other


def read(path: Path) -> History:
    """Read a history from its file."""
    history = History()
    decode = msgspec.json.Decoder(Entry).decode
    history.entries = [decode(line) for line in path.read_bytes().splitlines()]
    return history
