"""Pure rules for jobs (`docs/reference/api/jobs.md`)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import msgspec
import numpy as np

from cockade import errors
from cockade.errors import RequestRejected
from cockade.job.model import (
    ENDED,
    Job,
    JobOutcome,
    JobState,
    LineCounts,
    LineErrorKind,
    Numbers,
    StagedChunk,
)

DEDUPLICATED_LINES_MAX = 2_000_000
"""Maximum number of lines that are deduplicated at a time; they need about 100 MB."""
REPEATED = 409
RATE_WEIGHT = 0.2
"""Weight of the latest chunk in the average rate."""

_REFUSALS: tuple[type[RequestRejected], ...] = (
    errors.BadgeNotFound,
    errors.NotLive,
    errors.OwnerNotAllowed,
    errors.NotClaimed,
    errors.EventInFuture,
    errors.EventOutsideBadge,
    errors.NotEnrolled,
    errors.AlreadyHeld,
    errors.CustomerLimitReached,
    errors.BadgeLimitReached,
)
MESSAGES: Mapping[int, str] = {kind.code: kind.message for kind in _REFUSALS}
"""Messages by code for customers that fail. The first six can apply to a whole chunk."""
REPEATED_MESSAGE = "The customer occurs in an earlier line."


def failures(counts: LineCounts) -> dict[int, int]:
    """Return the number of failed lines by code."""
    flawed = {
        REPEATED: counts.duplicates,
        LineErrorKind.MALFORMED.value: counts.malformed,
        LineErrorKind.UNKNOWN.value: counts.unknown,
    }
    return dict(Counter(counts.failed) + Counter(flawed))


def passes(lines: int) -> int:
    """Return the number of parts into which the customers are divided to find repeated ones."""
    return max(1, math.ceil(lines / DEDUPLICATED_LINES_MAX))


def repeated(customers: Numbers, lines: Numbers) -> Numbers:
    """Return those of these ascending lines whose customer occurs in an earlier one."""
    ascending = np.sort(customers)
    if not (ascending[1:] == ascending[:-1]).any():
        return lines[:0]
    order = np.argsort(customers, kind="stable")
    again = np.flatnonzero(customers[order][1:] == customers[order][:-1]) + 1
    return np.sort(lines[order[again]])


def open_lines(chunk: StagedChunk) -> Numbers:
    """Return the lines of a chunk with a customer that is not yet decided."""
    is_open = chunk.numbers > 0
    is_open[list(chunk.duplicates)] = False
    return np.flatnonzero(is_open)


def issued_lines(chunk: StagedChunk) -> Numbers:
    """Return the lines of a decided chunk whose customers earned."""
    if not chunk.is_decided or chunk.code is not None:
        return np.empty(0, dtype=np.int64)
    refused = [refusal.line for refusal in chunk.refusals]
    return np.setdiff1d(open_lines(chunk), refused, assume_unique=True)


def added(counts: LineCounts, chunk: StagedChunk, outcome: JobOutcome) -> LineCounts:
    """Add the counts of a decided chunk."""
    refused = Counter(counts.failed) + Counter(outcome.failed_code)
    repeats = int((chunk.numbers > 0).sum()) - len(open_lines(chunk))
    return msgspec.structs.replace(
        counts, issued=counts.issued + outcome.issued, failed=refused, duplicates=counts.duplicates + repeats
    )


def advanced(job: Job, chunk: StagedChunk, outcome: JobOutcome, now: datetime) -> Job:
    """Return the job after its next chunk. The rate includes the time since the previous chunk."""
    lines = len(chunk.numbers)
    latest = lines / max((now - job.updated_at).total_seconds(), 1e-3)
    return msgspec.structs.replace(
        job,
        next_chunk=job.next_chunk + 1,
        processed=job.processed + lines,
        counts=added(job.counts, chunk, outcome),
        rate=latest if job.rate is None else job.rate + RATE_WEIGHT * (latest - job.rate),
        updated_at=now,
    )


def with_completion(job: Job, now: datetime) -> Job:
    """Return the completed job."""
    return msgspec.structs.replace(job, state=JobState.COMPLETED, finished_at=now, updated_at=now, rate=None)


def percentage(job: Job) -> float:
    """Return the percentage of processed lines, rounded down, so that 100 means all."""
    if job.state is JobState.COMPLETED:
        return 100.0
    return math.floor(1000 * job.processed / job.lines) / 10 if job.lines else 0.0


def seconds_left(job: Job) -> float | None:
    """Return the estimated seconds left, or None if unknown."""
    if job.state is not JobState.RUNNING or not job.rate:
        return None
    return (job.lines - job.processed) / job.rate


def after_pause(state: JobState) -> JobState | None:
    """Return the state after a pause, or None if it cannot be paused."""
    return JobState.PAUSED if state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED) else None


def after_resume(state: JobState) -> JobState | None:
    """Return the state after a resume, or None if it cannot be resumed."""
    if state in (JobState.PAUSED, JobState.FAILED):
        return JobState.QUEUED
    return state if state in (JobState.QUEUED, JobState.RUNNING) else None


def after_cancel(state: JobState) -> JobState | None:
    """Return the state after a cancellation, or None if it cannot be cancelled."""
    return None if state is JobState.COMPLETED else JobState.CANCELLED


def is_over(state: JobState) -> bool:
    """Whether the state is final."""
    return state in ENDED


def line_results(job: Job, chunk: StagedChunk) -> dict[int, tuple[int | None, str]]:
    """Return the failed lines of a chunk with their codes and messages. All other lines have earned."""
    lines: dict[int, tuple[int | None, str]] = {}
    if not chunk.is_decided:
        message = "Not processed: the job was cancelled." if is_over(job.state) else "Not processed yet."
        lines = dict.fromkeys(open_lines(chunk).tolist(), (None, message))
    elif chunk.code is not None:
        lines = dict.fromkeys(open_lines(chunk).tolist(), (chunk.code, MESSAGES[chunk.code]))
    for refusal in chunk.refusals:
        lines[refusal.line] = (refusal.reason.value, MESSAGES[refusal.reason.value])
    lines |= {line: (REPEATED, REPEATED_MESSAGE) for line in chunk.duplicates if chunk.numbers[line]}
    lines |= {flaw.line: (flaw.kind.value, f"Line {flaw.row}: {flaw.message}") for flaw in chunk.line_errors}
    return lines
