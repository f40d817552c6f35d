"""Pure rules for undo (`docs/reference/api/earning.md`)."""

from __future__ import annotations

import math

import msgspec

from cockade.undo.model import UndoResult, UndoState, UndoTask


def advanced(task: UndoTask, result: UndoResult) -> UndoTask:
    """Return the task after its next batch with this result."""
    next_lot = task.next_batch + 1
    return msgspec.structs.replace(
        task,
        state=UndoState.COMPLETED if next_lot >= task.batches else UndoState.RUNNING,
        next_batch=next_lot,
        revoked=task.revoked + result.revoked,
        already_revoked=task.already_revoked + result.already_revoked,
    )


def percentage(task: UndoTask) -> float:
    """Return the percentage of revoked batches, rounded down, so that 100 means all."""
    return math.floor(1000 * task.next_batch / task.batches) / 10
