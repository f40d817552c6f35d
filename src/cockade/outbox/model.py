"""Types of the outbox."""

from __future__ import annotations

from enum import StrEnum

WHOLE_JOB = -1
"""Instead of a chunk number: the job as a whole."""


class Ledger(StrEnum):
    """The kind of issuance that was revoked."""

    EARNED_BADGE = "earned_badge"
    ENROLMENT = "enrolment"
