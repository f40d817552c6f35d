"""How much of a badge's limits as a whole is used: read from the tally, with the badge held exclusively."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from zoneinfo import ZoneInfo

from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts
from cockade.ids import BadgeKey
from cockade.limit import rules, store
from cockade.limit.model import FixedValue, FixedWindow, LimitCheck, LimitUsage, RollingWindow, Span
from cockade.storage.database import Tx


async def badge_usage(
    tx: Tx,
    badge_key: BadgeKey,
    checks: Sequence[LimitCheck],
    zone: ZoneInfo,
    *,
    asked: int,
    ends_at: datetime | None,
) -> list[LimitUsage]:
    """How much of each limit is used in the fullest window that the event of the checks falls into.

    `asked`: so many are about to be earned at once; `ends_at`: the instant from which on the badge can no longer be
    earned. A fixed number of statements for each limit.
    """
    usages: list[LimitUsage] = []
    for check in checks:
        match check.limit:
            case FixedValue():
                counts = (await badge_store.counts(tx, [badge_key])).get(badge_key, BadgeCounts())
                usage = LimitUsage(limit=check.limit, used=counts.earned, available_from=None)
            case FixedWindow():
                usage = await _cycle_usage(tx, badge_key, check.limit, check, zone)
            case RollingWindow():
                usage = await _rolling_usage(tx, badge_key, check.limit, check, zone, asked)
        if usage.available_from is not None and ends_at is not None and usage.available_from >= ends_at:
            usage = LimitUsage(limit=usage.limit, used=usage.used, available_from=None)
        usages.append(usage)
    return usages


async def _cycle_usage(
    tx: Tx, badge_key: BadgeKey, window: FixedWindow, check: LimitCheck, zone: ZoneInfo
) -> LimitUsage:
    opens, closes = rules.bounds(rules.next_cycle(window, rules.cycle_at(window, check.opens, zone)), zone)
    used, following = await store.sum_windows(
        tx, [rules.span_of(badge_key, check), Span(badge_key, opens, closes)]
    )
    has_room = following < window.limit
    return LimitUsage(limit=window, used=used, available_from=opens if has_room else closes)


async def _rolling_usage(
    tx: Tx, badge_key: BadgeKey, window: RollingWindow, check: LimitCheck, zone: ZoneInfo, asked: int
) -> LimitUsage:
    """Of the window that ends at the event, and of those that end at a counted event after it and hold it."""
    event_at = check.closes
    latest = rules.window_after(window, event_at, zone) + rules.CLAMP
    later = (await store.list_instants(tx, [(badge_key, event_at, latest)])).get(badge_key, [])
    opens_of = {end: rules.window_before(window, end, zone) for end, _ in later}
    beginnings = [check.opens, *(opens for opens in opens_of.values() if opens < event_at)]
    # All these windows hold what lies between the last of their beginnings and the event; they differ at the edges.
    inner = max(beginnings)
    [in_all] = await store.sum_windows(tx, [rules.span_upto(badge_key, inner, event_at)])
    edge = (
        (await store.list_instants(tx, [(badge_key, min(beginnings), inner)])).get(badge_key, [])
        if len(beginnings) > 1
        else []
    )
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
    return LimitUsage(
        limit=window,
        used=used,
        available_from=await _available_from_range(tx, badge_key, window, check, zone, used, asked),
    )


async def _available_from_range(
    tx: Tx,
    badge_key: BadgeKey,
    window: RollingWindow,
    check: LimitCheck,
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


async def used_of_many(
    tx: Tx, asked: Mapping[BadgeKey, Sequence[LimitCheck]], zone: ZoneInfo
) -> dict[BadgeKey, list[int]]:
    """How much of each limit of these badges is used, in the fullest window that the event of its check falls into.

    For reads, as of now: three statements whatever the number of badges, and few events later than that of a check.
    """
    if not asked:
        return {}
    counts = await badge_store.counts(tx, list(asked))
    later = await store.list_instants(tx, _later_ranges(asked, zone))
    spans: list[Span] = []
    places: list[tuple[BadgeKey, int]] = []
    used = {badge_key: [0] * len(checks) for badge_key, checks in asked.items()}
    for badge_key, checks in asked.items():
        for place, check in enumerate(checks):
            if isinstance(check.limit, FixedValue):
                used[badge_key][place] = counts.get(badge_key, BadgeCounts()).earned
                continue
            spans.append(rules.span_of(badge_key, check))
            places.append((badge_key, place))
            if isinstance(check.limit, FixedWindow):
                continue
            for end, _ in later.get(badge_key, []):
                opens = rules.window_before(check.limit, end, zone)
                if opens < check.closes < end:
                    spans.append(rules.span_upto(badge_key, opens, end))
                    places.append((badge_key, place))
    for (badge_key, place), earned in zip(places, await store.sum_windows(tx, spans), strict=True):
        used[badge_key][place] = max(used[badge_key][place], earned)
    return used


def _later_ranges(
    asked: Mapping[BadgeKey, Sequence[LimitCheck]], zone: ZoneInfo
) -> list[tuple[BadgeKey, datetime, datetime]]:
    """Of each badge with rolling windows, from when until when a counted event can end one that holds the check's."""
    ranges: list[tuple[BadgeKey, datetime, datetime]] = []
    for badge_key, checks in asked.items():
        ends = [
            (check.closes, rules.window_after(check.limit, check.closes, zone) + rules.CLAMP)
            for check in checks
            if isinstance(check.limit, RollingWindow)
        ]
        if ends:
            ranges.append((badge_key, min(start for start, _ in ends), max(end for _, end in ends)))
    return ranges
