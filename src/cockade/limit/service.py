"""The usage of badge limits, read from the counters while the badge is locked exclusively."""

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
    """Return the usage of each limit in the fullest window that contains the event of its check.

    `asked` is the number of badges to earn at once; `ends_at` is the instant from which the badge cannot be
    earned. The number of statements per limit is fixed.
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
    """Return the usage of the fullest window among that which ends at the event and those which end at a
    later counted event but contain it.
    """
    event_at = check.closes
    latest = rules.window_after(window, event_at, zone) + rules.CLAMP
    later = (await store.list_instants(tx, [(badge_key, event_at, latest)])).get(badge_key, [])
    opens_of = {end: rules.window_before(window, end, zone) for end, _ in later}
    beginnings = [check.opens, *(opens for opens in opens_of.values() if opens < event_at)]
    # All these windows contain the time between their latest start and the event; they differ at both ends.
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
    """Return when the full window has room for all requested badges again, or None if it never has."""
    if used + asked <= window.limit:
        return None
    too_many = max(used - window.limit, 0) + 1
    oldest = await store.find_nth(tx, badge_key, check.opens, check.closes, too_many)
    return rules.window_after(window, oldest or check.closes, zone)


async def used_of_many(
    tx: Tx, asked: Mapping[BadgeKey, Sequence[LimitCheck]], zone: ZoneInfo
) -> dict[BadgeKey, list[int]]:
    """Return the usage of each limit of these badges, in the fullest window that contains the event of its
    check.

    For reads, at the current time: three statements for any number of badges, if few events are later than a
    check's event.
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
    """For each badge with rolling windows, return the range of counted events that can end a window which
    contains the check's event.
    """
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
