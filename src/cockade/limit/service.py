"""How much of a badge's limits as a whole is used: read from the tally, with the badge held exclusively."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

from cockade.badge import store as badge_store
from cockade.badge.model import Counts
from cockade.ids import BadgeKey
from cockade.limit import rules, store
from cockade.limit.model import Check, FixedValue, FixedWindow, RollingWindow, Usage
from cockade.storage.database import Tx


async def badge_usage(
    tx: Tx,
    badge_key: BadgeKey,
    checks: Sequence[Check],
    zone: ZoneInfo,
    *,
    asked: int,
    ends_at: datetime | None,
) -> list[Usage]:
    """How much of each limit is used in the fullest window that the event of the checks falls into.

    `asked`: so many are about to be earned at once; `ends_at`: the instant from which on the badge can no longer be
    earned. A fixed number of statements for each limit.
    """
    usages: list[Usage] = []
    for check in checks:
        match check.limit:
            case FixedValue():
                counts = (await badge_store.counts(tx, [badge_key])).get(badge_key, Counts())
                usage = Usage(limit=check.limit, used=counts.earned, available_from=None)
            case FixedWindow():
                usage = await _cycle_usage(tx, badge_key, check.limit, check, zone)
            case RollingWindow():
                usage = await _rolling_usage(tx, badge_key, check.limit, check, zone, asked)
        if usage.available_from is not None and ends_at is not None and usage.available_from >= ends_at:
            usage = Usage(limit=usage.limit, used=usage.used, available_from=None)
        usages.append(usage)
    return usages


async def _cycle_usage(
    tx: Tx, badge_key: BadgeKey, window: FixedWindow, check: Check, zone: ZoneInfo
) -> Usage:
    opens, closes = rules.bounds(rules.next_cycle(window, rules.cycle_at(window, check.opens, zone)), zone)
    sums = await store.sum_windows(
        tx,
        badge_key,
        rules.pieces_of(0, check.opens, check.closes) + rules.pieces_of(1, opens, closes),
    )
    has_room = sums.get(1, 0) < window.limit
    return Usage(limit=window, used=sums.get(0, 0), available_from=opens if has_room else closes)


async def _rolling_usage(
    tx: Tx, badge_key: BadgeKey, window: RollingWindow, check: Check, zone: ZoneInfo, asked: int
) -> Usage:
    """Of the window that ends at the event, and of those that end at a counted event after it and hold it."""
    event_at = check.closes
    latest = rules.window_after(window, event_at, zone) + rules.CLAMP
    later = await store.list_instants(tx, badge_key, event_at, latest)
    opens_of = {end: rules.window_before(window, end, zone) for end, _ in later}
    beginnings = [check.opens, *(opens for opens in opens_of.values() if opens < event_at)]
    # All these windows hold what lies between the last of their beginnings and the event; they differ at the edges.
    inner = max(beginnings)
    in_all = await _sum(tx, badge_key, inner, event_at)
    edge = await store.list_instants(tx, badge_key, min(beginnings), inner) if len(beginnings) > 1 else []
    edge_at = [at for at, _ in edge]
    edge_sum = [0, *accumulate(earned for _, earned in edge)]

    def in_edge(opens: datetime) -> int:
        return edge_sum[-1] - edge_sum[bisect_right(edge_at, opens)]

    used = in_all + in_edge(check.opens)
    after_event = 0
    for end, earned in later:
        after_event += earned
        if opens_of[end] < event_at:
            used = max(used, in_all + in_edge(opens_of[end]) + after_event)
    return Usage(
        limit=window,
        used=used,
        available_from=await _room_again(tx, badge_key, window, check, zone, used, asked),
    )


async def _room_again(
    tx: Tx,
    badge_key: BadgeKey,
    window: RollingWindow,
    check: Check,
    zone: ZoneInfo,
    used: int,
    asked: int,
) -> datetime | None:
    """When the window that is full lets go of enough of what it holds; None where there is room for all that is asked."""
    if used + asked <= window.limit:
        return None
    too_many = max(used - window.limit, 0) + 1
    oldest = await store.find_nth(tx, badge_key, check.opens, check.closes, too_many)
    return rules.window_after(window, oldest or check.closes, zone)


async def _sum(tx: Tx, badge_key: BadgeKey, after: datetime, until: datetime) -> int:
    """What was earned in `(after, until]`."""
    microsecond = timedelta(microseconds=1)
    pieces = rules.pieces_of(0, after + microsecond, until + microsecond)
    return (await store.sum_windows(tx, badge_key, pieces)).get(0, 0)
