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
"""Default names of the customer column, case-insensitive."""
REASON_COLUMN = "reason"
"""Additional column in files of lines that were not issued; ignored in uploads."""


class JobState(StrEnum):
    """State of a job."""

    STAGING = "staging"
    """The audience is being uploaded."""
    QUEUED = "queued"
    """Waits for a worker."""
    RUNNING = "running"
    PAUSED = "paused"
    """Until it is resumed."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    """Badges that were issued before remain."""
    FAILED = "failed"
    """An unexpected error occurred. The job can be resumed."""


FINAL_STATES = (JobState.COMPLETED, JobState.CANCELLED)
"""States that never change."""


class AudienceFormat(StrEnum):
    """Media type of an audience."""

    CSV = "text/csv"
    NDJSON = "application/x-ndjson"


PARQUET = "application/vnd.apache.parquet"
"""Converted to CSV before parsing."""


class AudienceLayout(Struct, frozen=True, kw_only=True):
    """The layout of an audience's lines."""

    format: AudienceFormat
    column: str | None = None
    """Column (CSV) or field (NDJSON) of the customer. None: one of CUSTOMER_COLUMNS."""
    identifier: IdentifierKind | None = None
    """Kind of the identifiers in that column. None: customer ids."""
    columns: Sequence[str] = ()
    """Column names of a CSV file. Empty: the file has no header, and customer ids only."""
    delimiter: str = ","
    place: int = 0
    """Index of the customer column in a CSV file."""


class LineErrorKind(IntEnum):
    """Why a line has no known customer; the values are the codes in result files."""

    MALFORMED = 400
    UNKNOWN = 404
    """No customer has this identifier."""


class LineError(Struct, frozen=True, array_like=True, gc=False):
    """A line without a known customer."""

    line: int
    """Index in the chunk."""
    row: int
    """Line number in the file, from 1, including the header and empty lines."""
    kind: LineErrorKind
    value: str
    """The customer as written in the file."""
    message: str


class Chunk(Struct, frozen=True, kw_only=True, eq=False):
    """Consecutive lines of an audience that are stored together and decided in one transaction."""

    numbers: Numbers
    """Customer id of each line; 0 if the line has none."""
    line_errors: Sequence[LineError]
    """Ordered by line."""
    raw_lines: bytes | None
    """Original lines, separated by newlines and deflated. None if they have nothing but the ids."""


class StagedChunk(Struct, frozen=True, kw_only=True, eq=False):
    """A stored chunk."""

    number: int
    first_line: int
    numbers: Numbers
    line_errors: Sequence[LineError]
    raw_lines: bytes | None
    duplicates: Sequence[int]
    """Lines that have the customer of an earlier line of the audience."""
    is_decided: bool
    code: int | None
    """The error code if the whole chunk was rejected."""
    refusals: Sequence[CustomerFailure]


class LineCounts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Number of lines by result so far."""

    issued: int = 0
    failed: Mapping[int, int] = {}
    """By error code."""
    duplicates: int = 0
    malformed: int = 0
    """Known when the upload is complete, like `unknown`."""
    unknown: int = 0


class JobCommand(Struct, frozen=True, kw_only=True):
    """A request that starts a job. The audience is separate."""

    request_id: str
    badge_id: BadgeId | None
    """None if the client sent an invalid badge id."""
    event_at: datetime | None
    """None: now."""
    owner_type: OwnerType
    reference_id: str
    layout: AudienceLayout
    is_dry_run: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """A stored job."""

    job_key: RequestKey
    """Also the key of its request and of everything that it issues."""
    org_id: OrgId
    time_zone: str
    """Time zone of the org."""
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
    """Number of the upload attempt. A new attempt supersedes the earlier ones."""
    layout: AudienceLayout
    lines: int
    """Number of lines in all chunks."""
    chunks: int
    is_deduplicated: bool
    """Whether all duplicates are known."""
    next_chunk: int
    """Number of the first undecided chunk."""
    processed: int
    """Number of lines in decided chunks."""
    counts: LineCounts
    rate: float | None
    """Moving average, in lines per second."""
    error: str | None
    files_retained: bool
    """Whether the uploaded lines are still stored."""


class JobOutcome(Struct, frozen=True, kw_only=True):
    """The outcome of a chunk."""

    issued: int
    failures_by_code: Mapping[int, int] = {}
    """Number of failed customers by error code."""
    code: int | None = None
    """The error code if the whole chunk was rejected."""
    failures: Sequence[CustomerFailure] = ()
    """Ordered by line. The lines are indexes in the chunk."""
    valid_until: datetime | None = None
    """End of the validity of what was issued."""
