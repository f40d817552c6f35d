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
    FINAL_STATES,
    Job,
    JobOutcome,
    JobState,
    LineCounts,
    LineErrorKind,
    Numbers,
    StagedChunk,
)

MAX_LINES_PER_PASS = 2_000_000
"""Maximum number of lines compared in one deduplication pass; they take about 100 MB."""
DUPLICATE_CODE = 409
RATE_WEIGHT = 0.2
"""Weight of the latest chunk in the moving average of the rate."""

_ERRORS: tuple[type[RequestRejected], ...] = (
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
MESSAGES: Mapping[int, str] = {kind.code: kind.message for kind in _ERRORS}
"""Messages of failed customers, by code. A whole chunk can only fail with one of the first six."""
DUPLICATE_MESSAGE = "An earlier line has the same customer."


def failures(counts: LineCounts) -> dict[int, int]:
    """Return the number of lines that were not issued, by code."""
    line_failures = {
        DUPLICATE_CODE: counts.duplicates,
        LineErrorKind.MALFORMED.value: counts.malformed,
        LineErrorKind.UNKNOWN.value: counts.unknown,
    }
    return dict(Counter(counts.failed) + Counter(line_failures))


def deduplication_passes(lines: int) -> int:
    """Return the number of passes over the audience for deduplication. Each pass compares a part of the
    customers.
    """
    return max(1, math.ceil(lines / MAX_LINES_PER_PASS))


def find_duplicates(customers: Numbers, lines: Numbers) -> Numbers:
    """Return those of these ascending lines that have the customer of an earlier one."""
    ascending = np.sort(customers)
    if not (ascending[1:] == ascending[:-1]).any():
        return lines[:0]
    order = np.argsort(customers, kind="stable")
    duplicate = np.flatnonzero(customers[order][1:] == customers[order][:-1]) + 1
    return np.sort(lines[order[duplicate]])


def pending_lines(chunk: StagedChunk) -> Numbers:
    """Return the lines of a chunk that have a customer and are not duplicates."""
    is_pending = chunk.numbers > 0
    is_pending[list(chunk.duplicates)] = False
    return np.flatnonzero(is_pending)


def issued_lines(chunk: StagedChunk) -> Numbers:
    """Return the lines of a chunk that were issued; none if the chunk is not decided."""
    if not chunk.is_decided or chunk.code is not None:
        return np.empty(0, dtype=np.int64)
    failed = [failure.line for failure in chunk.refusals]
    return np.setdiff1d(pending_lines(chunk), failed, assume_unique=True)


def _add_counts(counts: LineCounts, chunk: StagedChunk, outcome: JobOutcome) -> LineCounts:
    """Add the counts of a decided chunk."""
    failed = Counter(counts.failed) + Counter(outcome.failures_by_code)
    duplicates = int((chunk.numbers > 0).sum()) - len(pending_lines(chunk))
    return msgspec.structs.replace(
        counts,
        issued=counts.issued + outcome.issued,
        failed=failed,
        duplicates=counts.duplicates + duplicates,
    )


def with_progress(job: Job, chunk: StagedChunk, outcome: JobOutcome, now: datetime) -> Job:
    """Return the job after its next chunk. The rate is measured since the last update."""
    lines = len(chunk.numbers)
    latest = lines / max((now - job.updated_at).total_seconds(), 1e-3)
    return msgspec.structs.replace(
        job,
        next_chunk=job.next_chunk + 1,
        processed=job.processed + lines,
        counts=_add_counts(job.counts, chunk, outcome),
        rate=latest if job.rate is None else job.rate + RATE_WEIGHT * (latest - job.rate),
        updated_at=now,
    )


def with_completion(job: Job, now: datetime) -> Job:
    """Return the completed job."""
    return msgspec.structs.replace(job, state=JobState.COMPLETED, finished_at=now, updated_at=now, rate=None)


def percentage(job: Job) -> float:
    """Return the decided percentage, rounded down: 100 means that all lines are decided."""
    if job.state is JobState.COMPLETED:
        return 100.0
    return math.floor(1000 * job.processed / job.lines) / 10 if job.lines else 0.0


def seconds_left(job: Job) -> float | None:
    """Return the estimated remaining time in seconds, or None if it is unknown."""
    if job.state is not JobState.RUNNING or not job.rate:
        return None
    return (job.lines - job.processed) / job.rate


def after_pause(state: JobState) -> JobState | None:
    """Return the state after a pause, or None if the job cannot be paused."""
    return JobState.PAUSED if state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED) else None


def after_resume(state: JobState) -> JobState | None:
    """Return the state after resuming, or None if the job cannot be resumed."""
    if state in (JobState.PAUSED, JobState.FAILED):
        return JobState.QUEUED
    return state if state in (JobState.QUEUED, JobState.RUNNING) else None


def after_cancel(state: JobState) -> JobState | None:
    """Return the state after cancelling, or None if the job cannot be cancelled."""
    return None if state is JobState.COMPLETED else JobState.CANCELLED


def is_over(state: JobState) -> bool:
    """Whether the state is final."""
    return state in FINAL_STATES


def line_results(job: Job, chunk: StagedChunk) -> dict[int, tuple[int | None, str]]:
    """Return the code and message of each line that was not issued. Other lines were issued."""
    lines: dict[int, tuple[int | None, str]] = {}
    if not chunk.is_decided:
        message = "Not decided: the job was cancelled." if is_over(job.state) else "Not decided yet."
        lines = dict.fromkeys(pending_lines(chunk).tolist(), (None, message))
    elif chunk.code is not None:
        lines = dict.fromkeys(pending_lines(chunk).tolist(), (chunk.code, MESSAGES[chunk.code]))
    for failure in chunk.refusals:
        lines[failure.line] = (failure.reason.value, MESSAGES[failure.reason.value])
    lines |= {line: (DUPLICATE_CODE, DUPLICATE_MESSAGE) for line in chunk.duplicates if chunk.numbers[line]}
    lines |= {
        line_error.line: (line_error.kind.value, f"Line {line_error.row}: {line_error.message}")
        for line_error in chunk.line_errors
    }
    return lines
