"""Pure decisions about jobs (`docs/api/jobs.md`)."""

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
"""So many lines of an audience are compared at a time; they take some 100 MB."""
REPEATED = 409
RATE_WEIGHT = 0.2
"""How much the latest chunk counts in the rate."""

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
"""What a customer can be refused for, by code; a chunk as a whole by the first six."""
REPEATED_MESSAGE = "The customer stands in an earlier line, too."


def failures(counts: LineCounts) -> dict[int, int]:
    """How many lines earned nothing, by code."""
    flawed = {
        REPEATED: counts.duplicates,
        LineErrorKind.MALFORMED.value: counts.malformed,
        LineErrorKind.UNKNOWN.value: counts.unknown,
    }
    return dict(Counter(counts.failed) + Counter(flawed))


def passes(lines: int) -> int:
    """Into how many parts an audience is divided, by customer, to look for repeated ones."""
    return max(1, math.ceil(lines / DEDUPLICATED_LINES_MAX))


def repeated(customers: Numbers, lines: Numbers) -> Numbers:
    """Of these lines, which ascend, those whose customer stands in an earlier one."""
    ascending = np.sort(customers)
    if not (ascending[1:] == ascending[:-1]).any():
        return lines[:0]
    order = np.argsort(customers, kind="stable")
    again = np.flatnonzero(customers[order][1:] == customers[order][:-1]) + 1
    return np.sort(lines[order[again]])


def open_lines(chunk: StagedChunk) -> Numbers:
    """The lines of a chunk that name somebody who is still to be decided about."""
    is_open = chunk.numbers > 0
    is_open[list(chunk.duplicates)] = False
    return np.flatnonzero(is_open)


def issued_lines(chunk: StagedChunk) -> Numbers:
    """The lines of a chunk whose customers earned; none of one that is not decided."""
    if not chunk.is_decided or chunk.code is not None:
        return np.empty(0, dtype=np.int64)
    refused = [refusal.line for refusal in chunk.refusals]
    return np.setdiff1d(open_lines(chunk), refused, assume_unique=True)


def added(counts: LineCounts, chunk: StagedChunk, outcome: JobOutcome) -> LineCounts:
    """The counts with those of a chunk that has been decided."""
    refused = Counter(counts.failed) + Counter(outcome.failed_code)
    repeats = int((chunk.numbers > 0).sum()) - len(open_lines(chunk))
    return msgspec.structs.replace(
        counts, issued=counts.issued + outcome.issued, failed=refused, duplicates=counts.duplicates + repeats
    )


def advanced(job: Job, chunk: StagedChunk, outcome: JobOutcome, now: datetime) -> Job:
    """The job after its next chunk; its rate from how long it has been since the one before."""
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
    """The job when all of it is decided."""
    return msgspec.structs.replace(job, state=JobState.COMPLETED, finished_at=now, updated_at=now, rate=None)


def percentage(job: Job) -> float:
    """How much of it is decided; rounded down, so that 100 is all of it."""
    if job.state is JobState.COMPLETED:
        return 100.0
    return math.floor(1000 * job.processed / job.lines) / 10 if job.lines else 0.0


def seconds_left(job: Job) -> float | None:
    """How long it still takes at its rate; None where nobody knows."""
    if job.state is not JobState.RUNNING or not job.rate:
        return None
    return (job.lines - job.processed) / job.rate


def after_pause(state: JobState) -> JobState | None:
    """The state after pausing; None where that cannot be."""
    return JobState.PAUSED if state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED) else None


def after_resume(state: JobState) -> JobState | None:
    """The state after resuming; None where that cannot be."""
    if state in (JobState.PAUSED, JobState.FAILED):
        return JobState.QUEUED
    return state if state in (JobState.QUEUED, JobState.RUNNING) else None


def after_cancel(state: JobState) -> JobState | None:
    """The state after cancelling; None where that cannot be."""
    return None if state is JobState.COMPLETED else JobState.CANCELLED


def is_over(state: JobState) -> bool:
    """Whether nothing more will become of it by itself."""
    return state in ENDED


def line_results(job: Job, chunk: StagedChunk) -> dict[int, tuple[int | None, str]]:
    """Who of a chunk did not earn, by line: a code and a message; whoever is not among them has earned."""
    lines: dict[int, tuple[int | None, str]] = {}
    if not chunk.is_decided:
        message = "Not decided: the job was cancelled." if is_over(job.state) else "Not decided yet."
        lines = dict.fromkeys(open_lines(chunk).tolist(), (None, message))
    elif chunk.code is not None:
        lines = dict.fromkeys(open_lines(chunk).tolist(), (chunk.code, MESSAGES[chunk.code]))
    for refusal in chunk.refusals:
        lines[refusal.line] = (refusal.reason.value, MESSAGES[refusal.reason.value])
    lines |= {line: (REPEATED, REPEATED_MESSAGE) for line in chunk.duplicates if chunk.numbers[line]}
    lines |= {flaw.line: (flaw.kind.value, f"Line {flaw.row}: {flaw.message}") for flaw in chunk.line_errors}
    return lines
