"""What the outbox refers to."""

from __future__ import annotations

from enum import StrEnum

WHOLE_JOB = -1
"""In the place of a part's number: the job as a whole."""


class Ledger(StrEnum):
    """Where an entry stands that was revoked."""

    EARNED_BADGE = "earned_badge"
    ENROLMENT = "enrolment"
