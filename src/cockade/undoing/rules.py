"""Pure decisions about undoing (`docs/api/earning.md`)."""

from __future__ import annotations

import math

import msgspec

from cockade.undoing.model import Undoing, UndoingState, Undone


def advanced(undoing: Undoing, undone: Undone) -> Undoing:
    """The undoing after its next lot, which came to this."""
    next_lot = undoing.next_lot + 1
    return msgspec.structs.replace(
        undoing,
        state=UndoingState.COMPLETED if next_lot >= undoing.lots else UndoingState.RUNNING,
        next_lot=next_lot,
        revoked=undoing.revoked + undone.revoked,
        already_revoked=undoing.already_revoked + undone.already_revoked,
    )


def percentage(undoing: Undoing) -> float:
    """How many of its lots are taken back; rounded down, so that 100 is all of them."""
    return math.floor(1000 * undoing.next_lot / undoing.lots) / 10
