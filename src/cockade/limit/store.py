"""One typed function per statement on the tally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from cockade.ids import BadgeKey
from cockade.limit.model import Piece
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def add(tx: Tx, earned: Mapping[tuple[BadgeKey, datetime], int]) -> None:
    """So many more (or fewer) of these badges at these instants. Only with the badges held exclusively."""
    await tx.execute(
        SQL["add_to_tally"],
        [badge_key for badge_key, _ in earned],
        [at for _, at in earned],
        list(earned.values()),
    )


async def sum_windows(tx: Tx, badge_key: BadgeKey, pieces: Sequence[Piece]) -> dict[int, int]:
    """What was earned in each window of which there are pieces; a window without any is left out."""
    rows = await tx.rows(
        SQL["sum_windows"],
        badge_key,
        [piece.window for piece in pieces],
        [piece.grain_s for piece in pieces],
        [piece.opens for piece in pieces],
        [piece.closes for piece in pieces],
    )
    return {row[0]: row[1] for row in rows}


async def list_instants(
    tx: Tx, badge_key: BadgeKey, after: datetime, until: datetime
) -> list[tuple[datetime, int]]:
    """How many were earned at each instant in `(after, until]`, ascending."""
    return [(row[0], row[1]) for row in await tx.rows(SQL["list_instants"], badge_key, after, until)]


async def find_nth(
    tx: Tx, badge_key: BadgeKey, after: datetime, until: datetime, number: int
) -> datetime | None:
    """The event date of the `number`th (from 1) that was earned in `(after, until]`, or None where there are fewer."""
    return await tx.value(SQL["find_nth"], badge_key, after, until, number)


async def build(tx: Tx, badge_key: BadgeKey) -> None:
    """Add up the ledger of a badge that gets its first limit as a whole."""
    await clear(tx, badge_key)
    await tx.execute(SQL["build_tally"], badge_key)


async def clear(tx: Tx, badge_key: BadgeKey) -> None:
    """Forget the tally of a badge that has no limit as a whole any longer."""
    await tx.execute(SQL["clear_tally"], badge_key)
