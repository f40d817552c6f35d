"""Statements on badge limit counters, one function each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from cockade.ids import BadgeKey
from cockade.limit import rules
from cockade.limit.model import Span
from cockade.storage.database import Tx
from cockade.storage.sql import load

SQL = load(__package__)


async def add_counts(tx: Tx, earned: Mapping[tuple[BadgeKey, datetime], int]) -> None:
    """Add to (or subtract from) the counters of these badges at these instants. Requires the exclusive locks."""
    await tx.execute(
        SQL["add_counts"],
        [badge_key for badge_key, _ in earned],
        [at for _, at in earned],
        list(earned.values()),
    )


async def sum_windows(tx: Tx, spans: Sequence[Span]) -> list[int]:
    """Return the number of earned badges in each window, in the same order."""
    if not spans:
        return []
    pieces = [
        (place, span.badge_key, piece.bucket_s, piece.opens, piece.closes)
        for place, span in enumerate(spans)
        for piece in rules.ranges_of(span.opens, span.closes)
    ]
    columns = [list(column) for column in zip(*pieces, strict=True)]
    sums: dict[int, int] = {row[0]: row[1] for row in await tx.rows(SQL["sum_windows"], *columns)}
    return [sums.get(place, 0) for place in range(len(spans))]


async def list_instants(
    tx: Tx, ranges: Sequence[tuple[BadgeKey, datetime, datetime]]
) -> dict[BadgeKey, list[tuple[datetime, int]]]:
    """Return the number of earned badges at each instant of each badge's range `(after, until]`, ascending."""
    rows = await tx.rows(
        SQL["list_instants"],
        [badge_key for badge_key, _, _ in ranges],
        [after for _, after, _ in ranges],
        [until for _, _, until in ranges],
    )
    found: dict[BadgeKey, list[tuple[datetime, int]]] = {}
    for badge_key, at, earned in rows:
        found.setdefault(BadgeKey(badge_key), []).append((at, earned))
    return found


async def find_nth(
    tx: Tx, badge_key: BadgeKey, after: datetime, until: datetime, number: int
) -> datetime | None:
    """Return the event date of the `number`th badge (from 1) earned in `(after, until]`, or None if there are
    fewer.
    """
    return await tx.value(SQL["find_nth"], badge_key, after, until, number)


async def rebuild(tx: Tx, badge_key: BadgeKey) -> None:
    """Build the counters of a badge that gets its first badge limit from its issuances."""
    await clear(tx, badge_key)
    await tx.execute(SQL["rebuild"], badge_key)


async def clear(tx: Tx, badge_key: BadgeKey) -> None:
    """Delete the counters of a badge that no longer has a badge limit."""
    await tx.execute(SQL["clear"], badge_key)
