"""Types of the outbox."""

from __future__ import annotations

from enum import StrEnum

WHOLE_JOB = -1
"""Chunk number of the row that reports the end of the whole job."""


class Ledger(StrEnum):
    """Table of a revoked entry."""

    EARNED_BADGE = "earned_badge"
    ENROLMENT = "enrolment"
