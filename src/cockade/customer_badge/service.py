"""Read-only queries: badges of a customer, holders of a badge, explanations, window cycles. Takes no locks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from cockade.auth.model import Caller
from cockade.badge import rules as badge_rules
from cockade.badge import store as badge_store
from cockade.badge.model import Badge, BadgeCounts
from cockade.customer_badge import rules, store
from cockade.customer_badge.model import (
    BadgeType,
    BadgeWithState,
    Bounds,
    CustomerBadgeState,
    Explanation,
    HeldBadge,
    HeldBadgeStatus,
    ListSort,
    Order,
    PageSort,
    StateFilter,
    StateQuery,
    WindowCycle,
)
from cockade.earning import rules as earning_rules
from cockade.earning.issuing import find_facts
from cockade.errors import BadgeNotFound
from cockade.ids import BadgeId, BadgeKey, CustomerId, OrgId
from cockade.limit import rules as limit_rules
from cockade.limit import service as limit_service
from cockade.limit import store as limit_store
from cockade.limit.model import FixedWindow, LimitCheck, Span
from cockade.request.model import OwnerType
from cockade.storage.database import Database, Tx

LISTED_MAX = 1000
"""Maximum number of earned badges, and of enrolments, in the details of a badge: the newest are returned."""
EXPLAINED_MAX = 100
"""The same for an explanation."""


class Usages(Struct, frozen=True):
    """The usage of each limit of a badge, in the order of its constraints."""

    customer: list[tuple[LimitCheck, int]]
    badge: list[tuple[LimitCheck, int]]


class ManagedBadgeDetail(Struct, frozen=True, kw_only=True):
    """One badge and one customer's state in it."""

    badge: Badge
    live_count: int
    counts: BadgeCounts | None
    """Counts of this customer. This and the following fields are filled only if statistics are requested."""
    badge_counts: BadgeCounts | None
    usages: Usages | None
    earned: list[HeldBadge]
    enrolments: list[HeldBadge]


class CycleFilter(Struct, frozen=True, kw_only=True):
    """Filter of the cycles of a badge's fixed windows."""

    customers: bool
    """Whether to include windows per customer."""
    badges: bool
    """Whether to include windows that count all customers."""
    reference_id: str | None
    """Only cycles of the window with this reference id."""
    within: Bounds
    """Only cycles that overlap with this range, both ends included."""
    counts_badge: bool
    """Whether to count the earned badges in each cycle."""
    counted_customer: CustomerId | None
    """The customer whose earned badges are counted in windows per customer."""


class CustomerBadgeService:
    """Queries of customers' badges. Each is one transaction that only reads, as of `now`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(
        self,
        caller: Caller,
        customer: CustomerId,
        badge_type: BadgeType,
        now: datetime,
        *,
        include_expired: bool,
        group_id: str | None,
        sort: PageSort | None,
        page: int,
        size: int,
    ) -> tuple[list[BadgeWithState], int]:
        """Return a page of the customer's badges of this type, and the number on all pages."""
        filters = rules.page_filter(badge_type, include_expired=include_expired, group_id=group_id)
        query = StateQuery(org_id=caller.org_id, customer=customer, now=now, filters=filters, sort=sort)
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> tuple[list[BadgeWithState], int]:
            if badge_type is not BadgeType.AVAILABLE:
                return await _page(tx, query, page, size)
            states, _ = await store.list_states(tx, query, limit=None)
            live = [state for state in states if now < state.expires_at]
            available = await _available(tx, customer, live, now, zone)
            listed = [state for state in states if state.badge_key in available or state.expires_at <= now]
            return await _with_badges(tx, caller.org_id, listed[page * size : (page + 1) * size]), len(listed)

        return await self._database.transaction("customer_badge.page", body)

    async def list_all(
        self,
        caller: Caller,
        customer: CustomerId,
        filters: StateFilter,
        now: datetime,
        *,
        sort: ListSort | None,
        order: Order,
        page: int,
        size: int,
    ) -> tuple[list[BadgeWithState], int]:
        """Return a page of the org's badges with the customer's state, and the number on all pages."""
        query = StateQuery(
            org_id=caller.org_id, customer=customer, now=now, filters=filters, sort=sort, order=order
        )
        return await self._database.transaction(
            "customer_badge.list", lambda tx: _page(tx, query, page, size)
        )

    async def get(
        self,
        caller: Caller,
        customer: CustomerId,
        badge_id: BadgeId,
        now: datetime,
        *,
        include_statistics: bool,
    ) -> ManagedBadgeDetail:
        """Return one badge with the customer's state. Raises BadgeNotFound."""
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> ManagedBadgeDetail:
            badge = await _find_badge(tx, caller, badge_id)
            key = badge.badge_key
            earned, live, issued = await store.count_states(tx, key, customer, now)
            if not include_statistics:
                return ManagedBadgeDetail(
                    badge=badge,
                    live_count=live,
                    counts=None,
                    badge_counts=None,
                    usages=None,
                    earned=[],
                    enrolments=[],
                )
            counts = BadgeCounts(issued, earned)
            return ManagedBadgeDetail(
                badge=badge,
                live_count=live,
                counts=counts,
                badge_counts=(await badge_store.counts(tx, [key])).get(key, BadgeCounts()),
                usages=await _usages(tx, badge, customer, earned, now, zone),
                earned=await store.list_earned(tx, caller.org_id, key, customer, LISTED_MAX),
                enrolments=await store.list_enrolments(tx, caller.org_id, key, customer, LISTED_MAX),
            )

        return await self._database.transaction("customer_badge.get", body)

    async def explain(
        self,
        caller: Caller,
        badge_id: BadgeId,
        customer: CustomerId,
        now: datetime,
        *,
        event_at: datetime | None,
        owner: tuple[OwnerType, str] | None,
    ) -> Explanation:
        """Return the result of every issuing rule for an event of this customer. Raises BadgeNotFound.

        Without `owner` (owner type and reference id), any active claim of the badge's owners is used.
        """
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> Explanation:
            badge = await _find_badge(tx, caller, badge_id)
            key = badge.badge_key
            owner_type, reference_id = owner or _owner(badge)
            terms = await badge_store.earn_terms(tx, key, owner_type, reference_id)
            kind = badge_rules.earning_validity(terms)
            valid_from, valid_until, verdicts = badge_rules.evaluate_terms(
                terms, owner_type, event_at, now, zone, kind
            )
            rule = earning_rules.eligibility_rules(terms, valid_from, now, zone)
            facts = await find_facts(tx, key, [customer], rule, valid_from, valid_until)
            return Explanation(
                event_at=valid_from,
                valid_until=valid_until,
                evaluations=rules.evaluate_term_rules(verdicts, badge.claims, needs_window=kind.needs_window)
                + rules.evaluate_customer_rules(customer, facts, rule, valid_from),
                earned=await store.list_earned(tx, caller.org_id, key, customer, EXPLAINED_MAX),
                enrolments=await store.list_enrolments(tx, caller.org_id, key, customer, EXPLAINED_MAX),
            )

        return await self._database.transaction("customer_badge.explain", body)

    async def list_cycles(
        self,
        caller: Caller,
        badge_id: BadgeId,
        cycle_filter: CycleFilter,
        now: datetime,
        *,
        page: int,
        size: int,
    ) -> tuple[list[WindowCycle], int]:
        """Return a page of the cycles of a badge's fixed windows, and the total. Raises BadgeNotFound."""
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> tuple[list[WindowCycle], int]:
            badge = await _find_badge(tx, caller, badge_id)
            numbered = _numbered_cycles(badge, cycle_filter, zone)
            total = sum(len(numbers) for _, _, numbers in numbered)
            chosen: list[tuple[FixedWindow, bool, int]] = []
            skip = page * size
            for window, is_customers, numbers in numbered:
                on_page = numbers[skip : skip + size - len(chosen)]
                chosen += [(window, is_customers, number) for number in on_page]
                skip = max(0, skip - len(numbers))
            cycles = [
                WindowCycle(
                    window=window,
                    cycle=(cycle := limit_rules.nth_cycle(window, number)),
                    status=limit_rules.cycle_status(cycle, now, zone),
                    is_customers=is_customers,
                    earned=None,
                )
                for window, is_customers, number in chosen
            ]
            if cycle_filter.counted_customer is not None or cycle_filter.counts_badge:
                cycles = await _counted_cycles(tx, badge, cycle_filter, cycles, zone)
            return cycles, total

        return await self._database.transaction("customer_badge.cycles", body)

    async def cycle_counts(self, caller: Caller, badge: Badge, now: datetime) -> dict[str, int]:
        """Return the count in the current cycle of each fixed window for all customers, by reference id."""
        zone, draft = ZoneInfo(caller.time_zone), badge.draft
        windows = {
            window.reference_id: _current_span(badge, window, now, zone)
            for window in limit_rules.limits_of(
                "badgeConstraints", draft.badge_constraints, draft.starts_at, zone
            )
            if isinstance(window, FixedWindow) and window.reference_id is not None
        }

        async def body(tx: Tx) -> dict[str, int]:
            sums = await limit_store.sum_windows(tx, list(windows.values()))
            return dict(zip(windows, sums, strict=True))

        return await self._database.transaction("customer_badge.cycle_counts", body)

    async def list_holders(
        self,
        caller: Caller,
        badge_id: BadgeId,
        after: tuple[int, int],
        statuses: Sequence[HeldBadgeStatus] | None,
        now: datetime,
        size: int,
    ) -> list[HeldBadge]:
        """Return earned badges after the position `after` (customer, ordinal). Raises BadgeNotFound."""

        async def body(tx: Tx) -> list[HeldBadge]:
            badge = await _find_badge(tx, caller, badge_id)
            return await store.list_holders(tx, caller.org_id, badge.badge_key, after, statuses, now, size)

        return await self._database.transaction("customer_badge.holders", body)


async def _usages(
    tx: Tx, badge: Badge, customer: CustomerId, earned: int, at: datetime, zone: ZoneInfo
) -> Usages:
    """Return how much of each limit is used in the window that contains an event at this time."""
    draft = badge.draft

    def checks(field: str) -> list[LimitCheck]:
        constraints = (
            draft.customer_constraints if field == "customerConstraints" else draft.badge_constraints
        )
        return limit_rules.checks_of(
            limit_rules.limits_of(field, constraints, draft.starts_at, zone), at, zone
        )

    customer_checks, badge_checks = checks("customerConstraints"), checks("badgeConstraints")
    lookback = limit_rules.lookback(customer_checks, zone)
    counted: list[datetime] = []
    if lookback is not None:
        dates = await store.list_counted(tx, customer, [(badge.badge_key, *lookback)])
        counted = dates.get(badge.badge_key, [])
    used = await limit_service.used_of_many(tx, {badge.badge_key: badge_checks}, zone) if badge_checks else {}
    return Usages(
        [(check, limit_rules.used_in(check, earned, counted, zone)) for check in customer_checks],
        list(zip(badge_checks, used.get(badge.badge_key, []), strict=True)),
    )


def _owner(badge: Badge) -> tuple[OwnerType, str]:
    """Return an owner with an active claim, or the badge's first owner without a reference id."""
    owners = badge.draft.owners
    for claim in badge.claims:
        if claim.is_active and claim.owner_type in owners:
            return claim.owner_type, claim.reference_id
    return owners[0], ""


def _numbered_cycles(
    badge: Badge, cycle_filter: CycleFilter, zone: ZoneInfo
) -> list[tuple[FixedWindow, bool, range]]:
    """Return the matching windows, whether each is per customer, and the indexes of their cycles."""
    draft = badge.draft
    numbered: list[tuple[FixedWindow, bool, range]] = []
    for field, constraints, is_included in (
        ("customerConstraints", draft.customer_constraints, cycle_filter.customers),
        ("badgeConstraints", draft.badge_constraints, cycle_filter.badges),
    ):
        for window in limit_rules.limits_of(field, constraints, draft.starts_at, zone) if is_included else []:
            if isinstance(window, FixedWindow) and cycle_filter.reference_id in (None, window.reference_id):
                numbers = rules.cycles_of(
                    window, draft.starts_at, draft.expires_at, cycle_filter.within, zone
                )
                numbered.append((window, field == "customerConstraints", numbers))
    return numbered


async def _counted_cycles(
    tx: Tx, badge: Badge, cycle_filter: CycleFilter, cycles: list[WindowCycle], zone: ZoneInfo
) -> list[WindowCycle]:
    """Return the cycles with their counts. Runs two statements."""
    bounds = [limit_rules.bounds(each.cycle, zone) for each in cycles]
    sums = await limit_store.sum_windows(tx, [Span(badge.badge_key, *span) for span in bounds])
    counted: list[datetime] = []
    per_customer = [span for span, each in zip(bounds, cycles, strict=True) if each.is_customers]
    if per_customer and cycle_filter.counted_customer is not None:
        opens, closes = min(opens for opens, _ in per_customer), max(closes for _, closes in per_customer)
        dates = await store.list_counted(
            tx, cycle_filter.counted_customer, [(badge.badge_key, opens, closes)]
        )
        counted = dates.get(badge.badge_key, [])
    return [
        msgspec.structs.replace(
            each,
            earned=bisect_left(counted, closes) - bisect_left(counted, opens)
            if each.is_customers
            else earned,
        )
        for each, (opens, closes), earned in zip(cycles, bounds, sums, strict=True)
    ]


def _current_span(badge: Badge, window: FixedWindow, now: datetime, zone: ZoneInfo) -> Span:
    """Return the current cycle of the window."""
    draft = badge.draft
    cycle, _ = limit_rules.current_cycle(window, draft.starts_at, draft.expires_at, now, zone)
    return Span(badge.badge_key, *limit_rules.bounds(cycle, zone))


async def _available(
    tx: Tx, customer: CustomerId, states: Sequence[CustomerBadgeState], now: datetime, zone: ZoneInfo
) -> set[BadgeKey]:
    """Return the badges that pass rule 8 now. The number of statements does not depend on the number of
    badges.
    """
    candidates = [state for state in states if rules.is_available(state, now, zone)]
    customer_checks = {
        state.badge_key: rules.customer_checks(state, now, zone) for state in candidates if state.earned_count
    }
    ranges = [
        (badge_key, *lookback)
        for badge_key, checks in customer_checks.items()
        if (lookback := limit_rules.lookback(checks, zone)) is not None
    ]
    counted = await store.list_counted(tx, customer, ranges) if ranges else {}
    candidates = [
        state
        for state in candidates
        if rules.has_capacity(
            customer_checks.get(state.badge_key, []), state, counted.get(state.badge_key, []), zone
        )
    ]
    badge_checks = {
        state.badge_key: checks for state in candidates if (checks := rules.badge_checks(state, now, zone))
    }
    used = await limit_service.used_of_many(tx, badge_checks, zone)
    exhausted = {
        badge_key
        for badge_key, checks in badge_checks.items()
        if any(count >= check.limit.limit for check, count in zip(checks, used[badge_key], strict=True))
    }
    return {state.badge_key for state in candidates} - exhausted


async def _page(tx: Tx, query: StateQuery, page: int, size: int) -> tuple[list[BadgeWithState], int]:
    states, total = await store.list_states(tx, query, limit=size, offset=page * size)
    if not states and page > 0:
        _, total = await store.list_states(tx, query, limit=1)
    return await _with_badges(tx, query.org_id, states), total


async def _with_badges(tx: Tx, org_id: OrgId, states: Sequence[CustomerBadgeState]) -> list[BadgeWithState]:
    badges = await badge_store.find_many(tx, org_id, [state.badge_key for state in states]) if states else {}
    return [BadgeWithState(badges[state.badge_key], state) for state in states]


async def _find_badge(tx: Tx, caller: Caller, badge_id: BadgeId) -> Badge:
    badge = await badge_store.find(tx, caller.org_id, badge_id)
    if badge is None:
        raise BadgeNotFound
    return badge
