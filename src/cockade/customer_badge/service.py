"""Views of customers' badges and of a badge's holders. Read-only: nothing here takes a lock."""

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
    WindowCycle,
)
from cockade.earning import rules as earning_rules
from cockade.earning.issuing import find_facts
from cockade.errors import BadgeNotFound
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit import service as limit_service
from cockade.limit import store as limit_store
from cockade.limit.model import FixedWindow, LimitCheck, Span
from cockade.request.model import OwnerType
from cockade.storage.database import Database, Tx

HOLDINGS_MAX = 1000
EXPLAINED_MAX = 100
"""Maximum number of earned badges and of enrolments that are listed, newest first."""


class Usages(Struct, frozen=True):
    """The limits of a badge with their usage, in the order of its constraints."""

    customer: list[tuple[LimitCheck, int]]
    badge: list[tuple[LimitCheck, int]]


class ManagedBadgeDetail(Struct, frozen=True, kw_only=True):
    """One badge for one customer."""

    badge: Badge
    live_count: int
    counts: BadgeCounts | None
    """The customer's counts. Like the next fields, only if statistics are requested."""
    badge_counts: BadgeCounts | None
    usages: Usages | None
    earned: list[HeldBadge]
    enrolments: list[HeldBadge]


class CycleFilter(Struct, frozen=True, kw_only=True):
    """Selects cycles of a badge's fixed windows."""

    customers: bool
    """Windows of customer constraints."""
    badges: bool
    """Windows of badge constraints."""
    reference_id: str | None
    """Only this window."""
    within: Bounds
    """Only cycles that overlap this range, both ends included."""
    counts_badge: bool
    """Whether to count what was earned in each."""
    counted_customer: CustomerId | None
    """Whether to count what this customer earned in each."""


class CustomerBadgeService:
    """Use cases of `customer_badge`. Each one is a read-only transaction as of `now`."""

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
        """Return a page of the badges of this type, and their total number."""
        wanted = rules.page_filter(badge_type, include_expired=include_expired, group_id=group_id)
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> tuple[list[BadgeWithState], int]:
            if badge_type is not BadgeType.AVAILABLE:
                return await _page(tx, caller, customer, now, wanted, sort, 1, page, size)
            states, _ = await store.list_states(
                tx, caller.org_id, customer, now, wanted, sort=sort, sign=1, limit=None
            )
            is_open = await _open(
                tx, customer, [state for state in states if now < state.expires_at], now, zone
            )
            shown = [state for state in states if state.badge_key in is_open or state.expires_at <= now]
            return await _shown(tx, caller, shown[page * size : (page + 1) * size]), len(shown)

        return await self._database.transaction("customer_badge.page", body)

    async def list_all(
        self,
        caller: Caller,
        customer: CustomerId,
        wanted: StateFilter,
        now: datetime,
        *,
        sort: ListSort | None,
        order: Order,
        page: int,
        size: int,
    ) -> tuple[list[BadgeWithState], int]:
        """Return a page of the org's badges with the customer's issuances, and their total number."""
        sign = 1 if order is Order.DESC else -1
        return await self._database.transaction(
            "customer_badge.list",
            lambda tx: _page(tx, caller, customer, now, wanted, sort, sign, page, size),
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
        """Return one badge for one customer. Raises BadgeNotFound."""
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> ManagedBadgeDetail:
            badge = await _found(tx, caller, badge_id)
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
                usages=await usages(tx, badge, customer, earned, now, zone),
                earned=await store.list_earned(tx, caller.org_id, key, customer, HOLDINGS_MAX),
                enrolments=await store.list_enrolments(tx, caller.org_id, key, customer, HOLDINGS_MAX),
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
        """Evaluate every rule of issuing for this customer's event. Raises BadgeNotFound.

        Without an `owner` and reference, any active claim of the badge's owners is used.
        """
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> Explanation:
            badge = await _found(tx, caller, badge_id)
            key = badge.badge_key
            asking, reference_id = owner or _some_owner(badge)
            terms = await badge_store.earn_terms(tx, key, asking, reference_id)
            kind = badge_rules.earning_validity(terms)
            valid_from, valid_until, verdicts = badge_rules.evaluate_terms(
                terms, asking, event_at, now, zone, kind
            )
            rule = earning_rules.eligibility_rules(terms, valid_from, now, zone)
            found = await find_facts(tx, key, [customer], rule, valid_from, valid_until)
            return Explanation(
                event_at=valid_from,
                valid_until=valid_until,
                evaluations=rules.evaluate_term_rules(verdicts, badge.claims, needs_window=kind.needs_window)
                + rules.evaluate_customer_rules(customer, found, rule, valid_from),
                earned=await store.list_earned(tx, caller.org_id, key, customer, EXPLAINED_MAX),
                enrolments=await store.list_enrolments(tx, caller.org_id, key, customer, EXPLAINED_MAX),
            )

        return await self._database.transaction("customer_badge.explain", body)

    async def list_cycles(
        self,
        caller: Caller,
        badge_id: BadgeId,
        wanted: CycleFilter,
        now: datetime,
        *,
        page: int,
        size: int,
    ) -> tuple[list[WindowCycle], int]:
        """Return a page of the cycles of a badge's fixed windows, and their total number. Raises
        BadgeNotFound.
        """
        zone = ZoneInfo(caller.time_zone)

        async def body(tx: Tx) -> tuple[list[WindowCycle], int]:
            badge = await _found(tx, caller, badge_id)
            numbered = _numbered_cycles(badge, wanted, zone)
            total = sum(len(numbers) for _, _, numbers in numbered)
            chosen: list[tuple[FixedWindow, bool, int]] = []
            skip = page * size
            for window, is_customers, numbers in numbered:
                part = numbers[skip : skip + size - len(chosen)]
                chosen += [(window, is_customers, number) for number in part]
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
            if wanted.counted_customer is not None or wanted.counts_badge:
                cycles = await _counted_cycles(tx, badge, wanted, cycles, zone)
            return cycles, total

        return await self._database.transaction("customer_badge.cycles", body)

    async def cycle_counts(self, caller: Caller, badge: Badge, now: datetime) -> dict[str, int]:
        """Return the number earned in the current cycle of each fixed badge limit, by its id."""
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
        """Return the holders of the badge after this position, by customer and ordinal. Raises BadgeNotFound."""

        async def body(tx: Tx) -> list[HeldBadge]:
            badge = await _found(tx, caller, badge_id)
            return await store.list_holders(tx, caller.org_id, badge.badge_key, after, statuses, now, size)

        return await self._database.transaction("customer_badge.holders", body)


async def usages(
    tx: Tx, badge: Badge, customer: CustomerId, earned: int, at: datetime, zone: ZoneInfo
) -> Usages:
    """Return the usage of each of the badge's limits in the window that contains an event at this instant."""
    draft = badge.draft

    def checks(field: str) -> list[LimitCheck]:
        constraints = (
            draft.customer_constraints if field == "customerConstraints" else draft.badge_constraints
        )
        return limit_rules.checks_of(
            limit_rules.limits_of(field, constraints, draft.starts_at, zone), at, zone
        )

    mine, caps = checks("customerConstraints"), checks("badgeConstraints")
    reach = limit_rules.lookback(mine, zone)
    counted: list[datetime] = []
    if reach is not None:
        found = await store.list_counted(tx, customer, [(badge.badge_key, *reach)])
        counted = found.get(badge.badge_key, [])
    used = await limit_service.used_of_many(tx, {badge.badge_key: caps}, zone) if caps else {}
    return Usages(
        [(check, limit_rules.used_in(check, earned, counted, zone)) for check in mine],
        list(zip(caps, used.get(badge.badge_key, []), strict=True)),
    )


def _some_owner(badge: Badge) -> tuple[OwnerType, str]:
    """Return an owner with a claim on the badge, or the first owner."""
    owners = badge.draft.owners
    for claim in badge.claims:
        if claim.is_active and claim.owner_type in owners:
            return claim.owner_type, claim.reference_id
    return owners[0], ""


def _numbered_cycles(
    badge: Badge, wanted: CycleFilter, zone: ZoneInfo
) -> list[tuple[FixedWindow, bool, range]]:
    """Return the selected windows, whether they count per customer, and the numbers of their cycles."""
    draft = badge.draft
    numbered: list[tuple[FixedWindow, bool, range]] = []
    for field, constraints, is_wanted in (
        ("customerConstraints", draft.customer_constraints, wanted.customers),
        ("badgeConstraints", draft.badge_constraints, wanted.badges),
    ):
        for window in limit_rules.limits_of(field, constraints, draft.starts_at, zone) if is_wanted else []:
            if isinstance(window, FixedWindow) and wanted.reference_id in (None, window.reference_id):
                numbers = rules.cycles_of(window, draft.starts_at, draft.expires_at, wanted.within, zone)
                numbered.append((window, field == "customerConstraints", numbers))
    return numbered


async def _counted_cycles(
    tx: Tx, badge: Badge, wanted: CycleFilter, cycles: list[WindowCycle], zone: ZoneInfo
) -> list[WindowCycle]:
    """Return the cycles with the number earned in each, in two statements."""
    bounds = [limit_rules.bounds(each.cycle, zone) for each in cycles]
    sums = await limit_store.sum_windows(tx, [Span(badge.badge_key, *span) for span in bounds])
    counted: list[datetime] = []
    mine = [span for span, each in zip(bounds, cycles, strict=True) if each.is_customers]
    if mine and wanted.counted_customer is not None:
        reach = (badge.badge_key, min(opens for opens, _ in mine), max(closes for _, closes in mine))
        found = await store.list_counted(tx, wanted.counted_customer, [reach])
        counted = found.get(badge.badge_key, [])
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


async def _open(
    tx: Tx, customer: CustomerId, states: Sequence[CustomerBadgeState], now: datetime, zone: ZoneInfo
) -> set[BadgeKey]:
    """Return those of the badges that rule 8 lets the customer earn now, in a fixed number of statements."""
    free = [state for state in states if rules.is_available(state, now, zone)]
    checks = {
        state.badge_key: rules.customer_checks(state, now, zone) for state in free if state.earned_count
    }
    reaches = [
        (badge_key, *reach)
        for badge_key, asked in checks.items()
        if (reach := limit_rules.lookback(asked, zone)) is not None
    ]
    counted = await store.list_counted(tx, customer, reaches) if reaches else {}
    roomy = [
        state
        for state in free
        if rules.has_capacity(checks.get(state.badge_key, []), state, counted.get(state.badge_key, []), zone)
    ]
    caps = {state.badge_key: asked for state in roomy if (asked := rules.badge_checks(state, now, zone))}
    used = await limit_service.used_of_many(tx, caps, zone)
    full = {
        badge_key
        for badge_key, asked in caps.items()
        if any(count >= check.limit.limit for check, count in zip(asked, used[badge_key], strict=True))
    }
    return {state.badge_key for state in roomy} - full


async def _page(
    tx: Tx,
    caller: Caller,
    customer: CustomerId,
    now: datetime,
    wanted: StateFilter,
    sort: PageSort | ListSort | None,
    sign: int,
    page: int,
    size: int,
) -> tuple[list[BadgeWithState], int]:
    async def ask(limit: int, offset: int) -> tuple[list[CustomerBadgeState], int]:
        return await store.list_states(
            tx, caller.org_id, customer, now, wanted, sort=sort, sign=sign, limit=limit, offset=offset
        )

    states, total = await ask(size, page * size)
    if not states and page > 0:
        _, total = await ask(1, 0)
    return await _shown(tx, caller, states), total


async def _shown(tx: Tx, caller: Caller, states: Sequence[CustomerBadgeState]) -> list[BadgeWithState]:
    badges = (
        await badge_store.find_many(tx, caller.org_id, [state.badge_key for state in states])
        if states
        else {}
    )
    return [BadgeWithState(badges[state.badge_key], state) for state in states]


async def _found(tx: Tx, caller: Caller, badge_id: BadgeId) -> Badge:
    badge = await badge_store.find(tx, caller.org_id, badge_id)
    if badge is None:
        raise BadgeNotFound
    return badge
