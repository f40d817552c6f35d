"""What a storm remembers: every call with its answer, every change, every act of sabotage. The checker reads it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


class Fate(StrEnum):
    """What the caller knows of a call."""

    ACKNOWLEDGED = "acknowledged"
    """200."""
    REFUSED = "refused"
    """4xx: nothing was changed, by the rules."""
    UNAVAILABLE = "unavailable"
    """503 that says that nothing was changed."""
    UNKNOWN = "unknown"
    """The connection broke, or 503 that says that the outcome is unknown."""
    FAULTY = "faulty"
    """Any other answer: one that must not be."""


class Answer(Struct, frozen=True, kw_only=True):
    """How a call ended."""

    fate: Fate
    sent_at: float
    """Epoch seconds, as is the next."""
    answered_at: float
    status: int | None = None
    code: int | None = None
    """The first error's."""
    retry_after: bool = False
    note: str = ""
    """Of an answer that must not be: what it said. Of none: how the connection broke."""


class Badge(Struct, frozen=True, kw_only=True, tag=True):
    """A badge of the storm, as it was made."""

    badge_id: str
    name: str
    fields: dict[str, Any]
    """What was sent to make it."""
    changing: bool = False
    """Whether its limits are changed on the way."""


class Call(Struct, frozen=True, kw_only=True, tag=True):
    """One sending of a request; the same request id may be sent again."""

    request_id: str
    badge_id: str
    audience: list[int]
    event: float | None
    """Epoch seconds; None: no date was sent."""
    answer: Answer
    told: bool = False
    """Not a sending: GET /requests answered this."""
    earned: dict[int, str] = {}
    """Customer to earned badge id, as acknowledged."""
    refused: dict[int, int] = {}
    """Customer to code, as acknowledged."""
    until: float | None = None
    """The end of the validity, as acknowledged."""


class Revocation(Struct, frozen=True, kw_only=True, tag=True):
    """One sending of a revokeEarn."""

    badge_id: str
    customer: int
    earned_id: str
    answer: Answer


class Pause(Struct, frozen=True, kw_only=True, tag=True):
    """A time in which a badge could not be earned: from an answer to the sending of what ended it."""

    badge_id: str
    why: str
    """`switched off` or `unclaimed`."""
    begun_at: float
    ended_at: float
    rows_at_first: int | None
    """The badge's rows in the ledger, read just after it began; None: the database did not answer."""
    rows_at_last: int | None
    """The same, just before it ended."""
    sound: bool = True
    """False where a call that would end it might still have been under way."""


class Cap(Struct, frozen=True, kw_only=True, tag=True):
    """A time in which a badge as a whole had this limit."""

    badge_id: str
    limit: int
    rows_at_first: int | None
    rows_at_last: int | None
    sound: bool = True


class Act(Struct, frozen=True, kw_only=True, tag=True):
    """One act of sabotage."""

    kind: str
    killed: int
    """How many processes it killed."""
    at: float
    back_s: float | None
    """Until all services could serve again; None: they did not within a minute and a half."""


class Storm(Struct, frozen=True, kw_only=True, tag=True):
    """The first entry."""

    seed: int
    org_id: int
    zone: str
    call_s_max: float
    """No answer may take longer."""


Entry = Storm | Badge | Call | Revocation | Pause | Cap | Act


class Diary:
    """All entries, in memory, and on disk as they come where a file is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Entry] = []
        self._file = path.open("wb", buffering=0) if path else None

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")

    def of(self, kind: type[T]) -> list[T]:
        """All entries of a kind."""
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def copy(self) -> Diary:
        """Another diary with the same entries, in memory."""
        other = Diary()
        other.entries = list(self.entries)
        return other


def read(path: Path) -> Diary:
    """A diary from its file."""
    diary = Diary()
    decode = msgspec.json.Decoder(Entry).decode
    diary.entries = [decode(line) for line in path.read_bytes().splitlines()]
    return diary
