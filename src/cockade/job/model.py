"""What a job is, and what its audience is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cockade.customer.model import IdentifierKind
from cockade.ids import BadgeId, OrgId, RequestKey
from cockade.request.model import CustomerFailure, OwnerType

Numbers = NDArray[np.int64]

CUSTOMER_COLUMNS = ("customerId", "id")
"""What the column of customers is called where nobody has said it, in any case."""
REASON_COLUMN = "reason"
"""What stands beside the lines of a file of refused ones."""


class JobState(StrEnum):
    """How far a job is."""

    STAGING = "staging"
    """Its audience is arriving."""
    QUEUED = "queued"
    """Nobody has begun with it yet, or nobody has taken it up again."""
    RUNNING = "running"
    PAUSED = "paused"
    """Until somebody resumes it."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """What was issued until then stays."""
    FAILED = "failed"
    """A fault of ours; it can be resumed."""


ENDED = (JobState.COMPLETED, JobState.CANCELLED)
"""The states that a job stays in."""


class AudienceFormat(StrEnum):
    """What an audience is written in."""

    CSV = "text/csv"
    NDJSON = "application/x-ndjson"


PARQUET = "application/vnd.apache.parquet"
"""What is sent like this is unpacked to CSV before it is read."""


class AudienceLayout(Struct, frozen=True, kw_only=True):
    """How the lines of an audience are to be read."""

    format: AudienceFormat
    column: str | None = None
    """The column, or field, that names the customer; None: see `CUSTOMER_COLUMNS`."""
    identifier: IdentifierKind | None = None
    """What it names her by; None: by her id."""
    columns: Sequence[str] = ()
    """Of CSV, as its first line has them; what it lacks is a customer on each line, and nothing else."""
    delimiter: str = ","
    place: int = 0
    """Of CSV: which of the columns it is."""


class LineErrorKind(IntEnum):
    """Why a line names nobody who could be decided about, by the code that results tell."""

    MALFORMED = 400
    UNKNOWN = 404
    """An identifier that no customer has."""


class LineError(Struct, frozen=True, array_like=True, gc=False):
    """One line that names nobody."""

    line: int
    """Its place in the chunk, from 0."""
    row: int
    """Its number in the file, from 1, the line of columns and empty ones included."""
    kind: LineErrorKind
    value: str
    """What it says where the customer should be."""
    message: str


class Chunk(Struct, frozen=True, kw_only=True, eq=False):
    """Some lines of an audience, staged together and decided in one transaction."""

    numbers: Numbers
    """The customer of each line; 0: nobody."""
    line_errors: Sequence[LineError]
    """By line."""
    raw_lines: bytes | None
    """The lines as they were sent, one below the other and deflated; None where the numbers say it all."""


class StagedChunk(Struct, frozen=True, kw_only=True, eq=False):
    """A chunk as it is stored."""

    number: int
    first_line: int
    numbers: Numbers
    line_errors: Sequence[LineError]
    raw_lines: bytes | None
    duplicates: Sequence[int]
    """Lines whose customer stands in an earlier line of the audience."""
    is_decided: bool
    code: int | None
    """All of it was refused with this code."""
    refusals: Sequence[CustomerFailure]


class LineCounts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the lines so far."""

    issued: int = 0
    failed: Mapping[int, int] = {}
    """By code."""
    duplicates: int = 0
    malformed: int = 0
    """Known once the audience is there, as is the next."""
    unknown: int = 0


class JobCommand(Struct, frozen=True, kw_only=True):
    """One call that begins a job; its audience comes apart."""

    request_id: str
    badge_id: BadgeId | None
    """None where the caller sent what cannot be a badge id."""
    event_at: datetime | None
    """None means now."""
    owner_type: OwnerType
    reference_id: str
    layout: AudienceLayout
    is_dry_run: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """A job as it is stored."""

    job_key: RequestKey
    """Its request's, and so that of all that it issues."""
    org_id: OrgId
    time_zone: str
    """The org's."""
    request_id: str
    badge_id: BadgeId
    owner_type: OwnerType
    reference_id: str
    event_at: datetime
    is_dry_run: bool
    state: JobState
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    upload_attempt: int
    """Which attempt to send the audience it is; a new one ends those before."""
    layout: AudienceLayout
    lines: int
    """In all chunks."""
    chunks: int
    is_deduplicated: bool
    """Whether repeated customers are known."""
    next_chunk: int
    """The first that is not decided."""
    processed: int
    """Lines of decided chunks."""
    counts: LineCounts
    rate: float | None
    """Lines a second, lately."""
    error: str | None
    files_retained: bool
    """Whether what was sent is still kept."""


class JobOutcome(Struct, frozen=True, kw_only=True):
    """What became of a chunk."""

    issued: int
    failed_code: Mapping[int, int] = {}
    """By code."""
    code: int | None = None
    """With which all of it was refused."""
    failures: Sequence[CustomerFailure] = ()
    """By line of the chunk."""
    valid_until: datetime | None = None
    """When what was issued ends."""
