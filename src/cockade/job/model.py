"""Jobs and their audiences."""

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
"""Names of the customer column if the request does not name it, in any case."""
REASON_COLUMN = "reason"
"""The column that is added to the file of refused lines."""


class JobState(StrEnum):
    """The state of a job."""

    STAGING = "staging"
    """The audience is being uploaded."""
    QUEUED = "queued"
    """Waiting for a worker, at the start or after a resume."""
    RUNNING = "running"
    PAUSED = "paused"
    """Until it is resumed."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """Issued badges stay."""
    FAILED = "failed"
    """Failed by an error in the service. The job can be resumed."""


ENDED = (JobState.COMPLETED, JobState.CANCELLED)
"""The final states of a job."""


class AudienceFormat(StrEnum):
    """The format of an audience."""

    CSV = "text/csv"
    NDJSON = "application/x-ndjson"


PARQUET = "application/vnd.apache.parquet"
"""Converted to CSV before it is parsed."""


class AudienceLayout(Struct, frozen=True, kw_only=True):
    """How to parse the lines of an audience."""

    format: AudienceFormat
    column: str | None = None
    """The column or field with the customer. None: see `CUSTOMER_COLUMNS`."""
    identifier: IdentifierKind | None = None
    """The type of the identifier. None: the customer id."""
    columns: Sequence[str] = ()
    """Columns of a CSV file, as in its header. Empty if each line has only a customer."""
    delimiter: str = ","
    place: int = 0
    """Index of the customer column of a CSV file."""


class LineErrorKind(IntEnum):
    """Why a line has no valid customer, by the code in results."""

    MALFORMED = 400
    UNKNOWN = 404
    """No customer has the identifier."""


class LineError(Struct, frozen=True, array_like=True, gc=False):
    """A line without a valid customer."""

    line: int
    """Index of the line in the chunk, from 0."""
    row: int
    """Line number in the file, from 1, including the header and empty lines."""
    kind: LineErrorKind
    value: str
    """The value in the place of the customer."""
    message: str


class Chunk(Struct, frozen=True, kw_only=True, eq=False):
    """Lines of an audience that are staged together and decided in one transaction."""

    numbers: Numbers
    """Customer id of each line, or 0 if it has none."""
    line_errors: Sequence[LineError]
    """Errors by line."""
    raw_lines: bytes | None
    """The lines as sent, joined by newlines and deflated. None if the customer ids are all there is."""


class StagedChunk(Struct, frozen=True, kw_only=True, eq=False):
    """A stored chunk."""

    number: int
    first_line: int
    numbers: Numbers
    line_errors: Sequence[LineError]
    raw_lines: bytes | None
    duplicates: Sequence[int]
    """Lines whose customer occurs in an earlier line of the audience."""
    is_decided: bool
    code: int | None
    """The code with which the whole chunk failed."""
    refusals: Sequence[CustomerFailure]


class LineCounts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counts of lines by outcome."""

    issued: int = 0
    failed: Mapping[int, int] = {}
    """By code."""
    duplicates: int = 0
    malformed: int = 0
    """Known when the upload is complete, like the next field."""
    unknown: int = 0


class JobCommand(Struct, frozen=True, kw_only=True):
    """A request to start a job. The audience is passed separately."""

    request_id: str
    badge_id: BadgeId | None
    """None if the request's value cannot be a badge id."""
    event_at: datetime | None
    """None means now."""
    owner_type: OwnerType
    reference_id: str
    layout: AudienceLayout
    is_dry_run: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """A stored job."""

    job_key: RequestKey
    """Request key of the job and of everything that it issues."""
    org_id: OrgId
    time_zone: str
    """The org's time zone."""
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
    """Number of the upload attempt. A new attempt ends the previous ones."""
    layout: AudienceLayout
    lines: int
    """Lines in all chunks."""
    chunks: int
    is_deduplicated: bool
    """Whether repeated customers have been marked."""
    next_chunk: int
    """Number of the first undecided chunk."""
    processed: int
    """Lines in decided chunks."""
    counts: LineCounts
    rate: float | None
    """Lines per second, recent average."""
    error: str | None
    files_retained: bool
    """Whether the uploaded lines are still stored."""


class JobOutcome(Struct, frozen=True, kw_only=True):
    """The outcome of a chunk."""

    issued: int
    failed_code: Mapping[int, int] = {}
    """By code."""
    code: int | None = None
    """The code with which the whole chunk failed."""
    failures: Sequence[CustomerFailure] = ()
    """By line of the chunk."""
    valid_until: datetime | None = None
    """End of the validity of what was issued."""
