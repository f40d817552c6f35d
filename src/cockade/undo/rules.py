"""Pure decisions about undoing (`docs/api/earning.md`)."""

from __future__ import annotations

import math

import msgspec

from cockade.undo.model import UndoResult, UndoState, UndoTask


def advanced(task: UndoTask, result: UndoResult) -> UndoTask:
    """The undoing after its next lot, which came to this."""
    next_lot = task.next_batch + 1
    return msgspec.structs.replace(
        task,
        state=UndoState.COMPLETED if next_lot >= task.batches else UndoState.RUNNING,
        next_batch=next_lot,
        revoked=task.revoked + result.revoked,
        already_revoked=task.already_revoked + result.already_revoked,
    )


def percentage(task: UndoTask) -> float:
    """How many of its lots are taken back; rounded down, so that 100 is all of them."""
    return math.floor(1000 * task.next_batch / task.batches) / 10
