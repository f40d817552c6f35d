"""Response schemas of customers' badges, and their filters."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from msgspec import UNSET, Meta, Struct, UnsetType

from cockade import errors, times
from cockade.api.badge.constraints import ConstraintResponse, constraint_answers
from cockade.api.badge.expiries import ExpiryFields, expiry_fields
from cockade.api.badge.schemas import ActivationFilter, Ownership
from cockade.badge import rules as badge_rules
from cockade.badge.model import BadgeStatus, EarnType
from cockade.customer_badge import rules
from cockade.customer_badge.model import BadgeWithState, Bounds, HeldBadge, HeldBadgeStatus
from cockade.customer_badge.service import ManagedBadgeDetail
from cockade.errors import FieldError, InvalidInput
from cockade.http.envelope import Pagination, json_name, time_fields
from cockade.limit.model import LimitCheck, RollingWindow
from cockade.request.model import OwnerType

OPERATORS = {
    "lt": "lt", "lte": "lte", "gt": "gt", "gte": "gte", "eq": "eq",
    "LESS_THAN": "lt", "LESS_THAN_EQUAL": "lte", "GREATER_THAN": "gt", "GREATER_THAN_EQUAL": "gte", "EQUAL": "eq",
}  # fmt: skip
"""Comparison operators before a time in a filter, followed by a colon."""
_COMPARISON = re.compile(rf"({'|'.join(OPERATORS)}):(.*)", re.DOTALL)
_MICROSECOND = timedelta(microseconds=1)


class CustomerBadge(Struct, frozen=True, kw_only=True, rename=json_name):
    """A badge with the customer's issuances."""

    badge_meta_id: str
    org_id: int
    name: str
    description: str | None
    start_on: float
    start_on_iso: str
    expires_on: float
    expires_on_iso: str
    images: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    badge_group_id: str | None
    badge_group_name: str | None
    badge_rank: int | None
    ownership: Ownership
    earn_type: EarnType
    benefits: list[dict[str, Any]]
    customer_constraints: list[ConstraintResponse]
    badge_constraints: list[ConstraintResponse]
    custom_fields: dict[str, Any]
    active: bool
    earned_count: Annotated[
        int, Meta(description="Number of the customer's unrevoked earned badges of this badge.")
    ]
    last_earned_on_date: Annotated[
        float | None, Meta(description="When the last of them was recorded, to the second.")
    ]
    last_earned_on_date_iso: str | None
    last_earn_event_date: Annotated[float | None, Meta(description="The latest event date among them.")]
    last_earn_event_date_iso: str | None


class CustomerPage(Struct, frozen=True, rename=json_name):
    """One page of a customer's badges."""

    badges: list[CustomerBadge]
    pagination: Pagination


class ManagedBadge(Struct, frozen=True, kw_only=True, rename=json_name):
    """A badge of the org with the customer's issuances."""

    badge_meta_id: str
    name: str
    description: str | None
    badge_type: EarnType
    badge_group_id: str | None
    badge_group_name: str | None
    badge_rank: int | None
    created_on: float
    created_on_iso: str
    last_updated_on: float
    last_updated_on_iso: str
    images: list[dict[str, Any]]
    badge_status: BadgeStatus
    last_earned_on: Annotated[
        float | None, Meta(description="When the customer's last one was recorded, to the second.")
    ]
    last_earned_on_iso: str | None
    starts_on: float
    starts_on_iso: str
    expires_on: float
    expires_on_iso: str
    earn_count: Annotated[
        int, Meta(description="Number of the customer's unrevoked earned badges of this badge.")
    ]
    ownership: Ownership
    issue_status: Annotated[
        HeldBadgeStatus | None,
        Meta(description="The best status of the customer's enrolments; null without enrolments."),
    ]
    active: bool


class ManagedPage(Struct, frozen=True, rename=json_name):
    """One page of the managed list."""

    customer_badges: list[ManagedBadge]
    pagination: Pagination


class ConstraintUse(ConstraintResponse, frozen=True, kw_only=True, rename=json_name, omit_defaults=True):
    """A constraint with its current usage."""

    current_earn_count: int
    current_earn_count_for_days: int | None = None
    current_earn_count_for_weeks: int | None = None
    current_earn_count_for_months: int | None = None


class ConstraintUses(Struct, frozen=True, rename=json_name):
    """All constraints of the badge with their current usage."""

    customer_constraints: list[ConstraintUse]
    badge_constraints: list[ConstraintUse]


class Issual(Struct, frozen=True, kw_only=True, rename=json_name):
    """One enrolment."""

    issue_id: str
    issued_on: float
    issued_on_iso: str
    issued_status: HeldBadgeStatus
    issue_expires_on: float
    issue_expires_on_iso: str
    issue_event_date: float
    issue_event_date_iso: str
    owner_type: OwnerType | None
    owner_reference_id: str | None
    revoked_on: float | None
    revoked_on_iso: str | None


class IssualDetails(Struct, frozen=True, rename=json_name):
    """Enrolments, newest first. The count excludes revoked ones."""

    issued_count: int
    issuals: list[Issual]


class Earn(Struct, frozen=True, kw_only=True, rename=json_name):
    """One earned badge."""

    earned_badge_id: str
    earned_on: float
    earned_on_iso: str
    earn_event_date: float
    earn_event_date_iso: str
    expires_on: float
    expires_on_iso: str
    status: HeldBadgeStatus
    owner_type: OwnerType | None
    owner_reference_id: str | None
    revoked_on: float | None
    revoked_on_iso: str | None


class EarnDetails(Struct, frozen=True, rename=json_name):
    """Earned badges, newest first. The count excludes revoked ones."""

    earn_count: int
    earns: list[Earn]


class ManagedDetail(Struct, frozen=True, kw_only=True, rename=json_name):
    """One badge for one customer."""

    id: str
    name: str
    description: str | None
    created_on: float
    created_on_iso: str
    last_updated_on: float
    last_updated_on_iso: str
    starts_on: float
    starts_on_iso: str
    expires_on: float
    expires_on_iso: str
    action: ActivationFilter
    badge_type: EarnType
    badge_status: BadgeStatus
    owner: list[OwnerType]
    claimed_by: list[OwnerType]
    images: list[dict[str, Any]]
    earn_expiry: ExpiryFields
    issue_expiry: ExpiryFields | None
    badge_group_id: str | None
    badge_group_name: str | None
    badge_rank: int | None
    active_earned_count: Annotated[
        int, Meta(description="Number of the customer's earned badges that are valid now.")
    ]
    custom_fields: dict[str, Any]
    earn_constraint_block_statistics: ConstraintUses | UnsetType = UNSET
    issual_details: IssualDetails | UnsetType = UNSET
    earn_details: EarnDetails | UnsetType = UNSET


def optional_time_fields(name: str, instant: datetime | None) -> dict[str, Any]:
    """Return an optional instant as response fields."""
    return {name: None, f"{name}_iso": None} if instant is None else time_fields(name, instant)


def customer_badge(shown: BadgeWithState, now: datetime, zone: ZoneInfo) -> CustomerBadge:
    """Return a row of a customer's page."""
    badge, state = shown.badge, shown.state
    draft, looks = badge.draft, badge.draft.presentation
    return CustomerBadge(
        badge_meta_id=badge.badge_id,
        org_id=badge.org_id,
        name=draft.name,
        description=looks.description,
        **time_fields("start_on", draft.starts_at),
        **time_fields("expires_on", draft.expires_at),
        images=looks.images,
        tags=looks.tags,
        badge_group_id=looks.badge_group_id,
        badge_group_name=badge.group_name,
        badge_rank=looks.badge_rank,
        ownership=Ownership(draft.owners, badge.claims),
        earn_type=draft.earn_type,
        benefits=looks.benefits,
        customer_constraints=constraint_answers("customerConstraints", badge, now, zone, None),
        badge_constraints=constraint_answers("badgeConstraints", badge, now, zone, None),
        custom_fields=looks.custom_fields,
        active=draft.is_active,
        earned_count=state.earned_count,
        **optional_time_fields("last_earned_on_date", state.last_earned_at),
        **optional_time_fields("last_earn_event_date", state.last_event_at),
    )


def managed_badge(shown: BadgeWithState, now: datetime) -> ManagedBadge:
    """Return a row of the managed list."""
    badge, state = shown.badge, shown.state
    draft, looks = badge.draft, badge.draft.presentation
    return ManagedBadge(
        badge_meta_id=badge.badge_id,
        name=draft.name,
        description=looks.description,
        badge_type=draft.earn_type,
        badge_group_id=looks.badge_group_id,
        badge_group_name=badge.group_name,
        badge_rank=looks.badge_rank,
        **time_fields("created_on", badge.created_at),
        **time_fields("last_updated_on", badge.updated_at),
        images=looks.images,
        badge_status=badge_rules.status_at(draft.starts_at, draft.expires_at, now),
        **optional_time_fields("last_earned_on", state.last_earned_at),
        **time_fields("starts_on", draft.starts_at),
        **time_fields("expires_on", draft.expires_at),
        earn_count=state.earned_count,
        ownership=Ownership(draft.owners, badge.claims),
        issue_status=state.issue_status,
        active=draft.is_active,
    )


def managed_detail(detail: ManagedBadgeDetail, now: datetime, zone: ZoneInfo) -> ManagedDetail:
    """Return one badge for one customer, with statistics if the detail has them."""
    badge = detail.badge
    draft, looks = badge.draft, badge.draft.presentation
    return ManagedDetail(
        id=badge.badge_id,
        name=draft.name,
        description=looks.description,
        **time_fields("created_on", badge.created_at),
        **time_fields("last_updated_on", badge.updated_at),
        **time_fields("starts_on", draft.starts_at),
        **time_fields("expires_on", draft.expires_at),
        action=ActivationFilter.ACTIVATED if draft.is_active else ActivationFilter.DE_ACTIVATED,
        badge_type=draft.earn_type,
        badge_status=badge_rules.status_at(draft.starts_at, draft.expires_at, now),
        owner=draft.owners,
        claimed_by=list(dict.fromkeys(claim.owner_type for claim in badge.claims if claim.is_active)),
        images=looks.images,
        earn_expiry=expiry_fields(draft.earned_expiry),
        issue_expiry=None if draft.issued_expiry is None else expiry_fields(draft.issued_expiry),
        badge_group_id=looks.badge_group_id,
        badge_group_name=badge.group_name,
        badge_rank=looks.badge_rank,
        active_earned_count=detail.live_count,
        custom_fields=looks.custom_fields,
        **_statistics(detail, now, zone),
    )


def _statistics(detail: ManagedBadgeDetail, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    counts, whole, usages = detail.counts, detail.badge_counts, detail.usages
    if counts is None or whole is None or usages is None:
        return {}
    return {
        "earn_constraint_block_statistics": ConstraintUses(
            _uses("customerConstraints", usages.customer, counts.earned, detail, now, zone),
            _uses("badgeConstraints", usages.badge, whole.earned, detail, now, zone),
        ),
        "issual_details": IssualDetails(
            counts.issued, [issual(enrolment, now) for enrolment in detail.enrolments]
        ),
        "earn_details": EarnDetails(
            counts.earned, [Earn(**earn_fields(earned, now)) for earned in detail.earned]
        ),
    }


def _uses(
    name: str,
    usages: list[tuple[LimitCheck, int]],
    total: int,
    detail: ManagedBadgeDetail,
    now: datetime,
    zone: ZoneInfo,
) -> list[ConstraintUse]:
    """Return each constraint with its count. A constraint that limits nothing has the total."""
    uses: list[ConstraintUse] = []
    for place, answer in enumerate(constraint_answers(name, detail.badge, now, zone, None)):
        mine = [
            (check.limit, used)
            for check, used in usages
            if check.limit.reference.partition("]")[0] == f"{name}[{place}"
        ]
        lengths: dict[str, Any] = {
            f"current_earn_count_for_{limit.unit.lower()}": used
            for limit, used in mine
            if isinstance(limit, RollingWindow) and name == "customerConstraints"
        }
        fullest = max(mine, key=lambda use: use[1] / use[0].limit)[1] if mine else total
        fields = {field: getattr(answer, field) for field in ConstraintResponse.__struct_fields__}
        uses.append(ConstraintUse(**fields, current_earn_count=fullest, **lengths))
    return uses


def issual(holding: HeldBadge, now: datetime) -> Issual:
    """Return one enrolment at `now`."""
    return Issual(
        issue_id=holding.held_badge_id,
        **time_fields("issued_on", holding.recorded_at),
        issued_status=rules.enrolment_status(holding, now),
        **time_fields("issue_expires_on", holding.valid_until),
        **time_fields("issue_event_date", holding.event_at),
        owner_type=holding.owner_type,
        owner_reference_id=holding.reference_id,
        **optional_time_fields("revoked_on", holding.revoked_at),
    )


def earn_fields(holding: HeldBadge, now: datetime) -> dict[str, Any]:
    """Return one earned badge at `now` as response fields."""
    return {
        "earned_badge_id": holding.held_badge_id,
        **time_fields("earned_on", holding.recorded_at),
        **time_fields("earn_event_date", holding.event_at),
        **time_fields("expires_on", holding.valid_until),
        "status": rules.held_badge_status(holding, now),
        "owner_type": holding.owner_type,
        "owner_reference_id": holding.reference_id,
        **optional_time_fields("revoked_on", holding.revoked_at),
    }


def read_bounds(name: str, given: list[str] | None, default: str) -> Bounds | None:
    """Return the range of a filter's comparisons. A time without an operator uses the default operator.

    Raises InvalidInput if a comparison is invalid.
    """
    if not given:
        return None
    opens: datetime | None = None
    closes: datetime | None = None
    for text in given:
        comparison = _COMPARISON.fullmatch(text)
        operator, value = (OPERATORS[comparison[1]], comparison[2]) if comparison else (default, text)
        try:
            at = times.read_instant(value)
        except ValueError as error:
            message = f"{error} It may follow an operator and a colon; operators: {', '.join(OPERATORS)}."
            raise InvalidInput([FieldError(errors.MALFORMED, message, name)]) from None
        if operator in ("gt", "gte", "eq"):
            least = at + _MICROSECOND if operator == "gt" else at
            opens = least if opens is None else max(opens, least)
        if operator in ("lt", "lte", "eq"):
            end = at if operator == "lt" else at + _MICROSECOND
            closes = end if closes is None else min(closes, end)
    if opens is not None and closes is not None:
        closes = max(opens, closes)  # an empty range
    return Bounds(opens, closes)
