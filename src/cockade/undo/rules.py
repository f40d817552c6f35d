"""Pure rules of undo (`docs/reference/api/earning.md`)."""

from __future__ import annotations

import math

import msgspec

from cockade.undo.model import UndoResult, UndoState, UndoTask


def advanced(task: UndoTask, result: UndoResult) -> UndoTask:
    """Return the task after its next batch had this result."""
    next_batch = task.next_batch + 1
    return msgspec.structs.replace(
        task,
        state=UndoState.COMPLETED if next_batch >= task.batches else UndoState.RUNNING,
        next_batch=next_batch,
        revoked=task.revoked + result.revoked,
        already_revoked=task.already_revoked + result.already_revoked,
    )


def percentage(task: UndoTask) -> float:
    """Return the percentage of revoked batches, rounded down to one decimal, so that 100 means all."""
    return math.floor(1000 * task.next_batch / task.batches) / 10
