"""Request and response schemas of badges."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVar, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cockade import ids
from cockade.api.badge.constraints import ConstraintResponse, check_constraints, constraint_answers
from cockade.api.badge.expiries import ExpiryFields, exact_expiry_fields, expiry_fields, read_expiry
from cockade.api.schemas import Text, Time
from cockade.badge import rules
from cockade.badge.model import (
    Badge,
    BadgeCounts,
    BadgeDraft,
    BadgeStatus,
    Claim,
    Constraint,
    EarnType,
    OverlapPolicy,
    Presentation,
)
from cockade.errors import MALFORMED
from cockade.http.decoding import MISSING, FieldErrors, mandatory_time
from cockade.http.envelope import ErrorDetail, json_name, time_fields
from cockade.ids import BadgeId, BadgeKey
from cockade.metadata.model import CustomField
from cockade.metadata.rules import undefined
from cockade.request.model import OwnerType

T = TypeVar("T")

LIST_MAX = 100
"""Maximum number of owners, constraints, images, tags or custom fields of a badge."""
NESTING_MAX = 100
"""Maximum nesting of lists and objects in a free value."""

EXAMPLE = {
    "name": "Sock Collector",
    "description": "Buy five pairs of socks",
    "startOn": "2026-01-01T00:00:00Z",
    "expiresOn": "2035-12-31T23:59:59Z",
    "earnType": "EARN",
    "earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "MONTHS", "value": 12},
    "ownership": {"restrictedToOwners": ["Loyalty"]},
}


EXAMPLE_CHANGE = {"id": "653de334b3cda7078c7c68eb", "description": "Buy six pairs of socks"}


class ActivationFilter(StrEnum):
    """Filter by activation."""

    ACTIVATED = "ACTIVATED"
    DE_ACTIVATED = "DE_ACTIVATED"


class ImageTag(StrEnum):
    """When an image is shown."""

    UN_EARNED = "UN_EARNED"
    IN_PROGRESS = "IN_PROGRESS"
    EARNED = "EARNED"


class Image(Struct, frozen=True, rename=json_name):
    """An image of the badge."""

    name: str | None = None
    file_svc_handle: str | None = None
    url: str | None = None
    tag: ImageTag | None = None


class BenefitType(StrEnum):
    """Types of benefits."""

    COUPON = "COUPON"
    LOYALTY_POINTS = "LOYALTY_POINTS"


Reference = Annotated[str, Meta(min_length=1)] | int
"""An id in another system."""


class Benefit(Struct, frozen=True, rename=json_name, omit_defaults=True):
    """A benefit that another system grants with the badge."""

    benefit_type: BenefitType
    series_id: Annotated[Reference | None, Meta(description="Mandatory for COUPON.")] = None
    points: Annotated[float | None, Meta(description="Mandatory for LOYALTY_POINTS, like the ids below.")] = (
        None
    )
    program_id: Reference | None = None
    promotion_id: Reference | None = None
    allocation_strategy_id: Reference | None = None
    expiration_strategy_id: Reference | None = None


class Tag(Struct, frozen=True):
    """A name and a value."""

    name: Text
    value: Any = None


class OwnershipBody(Struct, frozen=True, rename=json_name):
    """The badge's owners. Claims are ignored here; use the claim operation."""

    restricted_to_owners: Annotated[list[OwnerType], Meta(min_length=1, max_length=LIST_MAX)]


class Ownership(Struct, frozen=True, rename=json_name):
    """The badge's owners and their claims."""

    restricted_to_owners: list[OwnerType]
    claims: list[Claim]


class BadgeBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The desired state of a badge."""

    name: Annotated[
        Text,
        Meta(description="Unique in the org, case-sensitive.", examples=["Sock Collector"]),
    ]
    start_on: Annotated[
        Time | None, Meta(description="Mandatory, or its ISO twin, which takes precedence.")
    ] = None
    start_on_iso: Time | None = None
    expires_on: Annotated[
        Time | None, Meta(description="Mandatory, or its ISO twin, which takes precedence.")
    ] = None
    expires_on_iso: Time | None = None
    earn_type: EarnType
    earned_badge_expiry: ExpiryFields
    issued_badge_expiry: Annotated[ExpiryFields | None, Meta(description="Mandatory for ISSUE_EARN.")] = None
    ownership: OwnershipBody
    description: Annotated[str, Meta(max_length=10_000)] | None = None
    customer_constraints: Annotated[
        Annotated[list[Constraint], Meta(max_length=LIST_MAX)] | None,
        Meta(description="Limits per customer."),
    ] = None
    badge_constraints: Annotated[
        Annotated[list[Constraint], Meta(max_length=LIST_MAX)] | None,
        Meta(description="Limits for all customers together."),
    ] = None
    images: Annotated[list[Image], Meta(max_length=LIST_MAX)] | None = None
    benefits: Annotated[list[Benefit], Meta(max_length=10)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=LIST_MAX)] | None = None
    badge_group_id: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{24}$", max_length=24)] | None = None
    badge_rank: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    custom_fields: Annotated[
        Annotated[dict[str, Any], Meta(max_length=LIST_MAX)] | None, Meta(description="Values by name.")
    ] = None
    default_till_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    active: Annotated[bool | None, Meta(description="Default: true.")] = None
    is_active: Annotated[bool | None, Meta(description="Alias of active.")] = None
    overlap_policy: Annotated[
        OverlapPolicy | None, Meta(description="Whether a customer can hold several valid ones.")
    ] = None
    id: Annotated[
        str | None, Meta(description="Only with the migration header: the badge's id, 24 hex digits.")
    ] = None


Sent = T | None | UnsetType
"""Missing: kept. Null: cleared. A value: replaced."""


class BadgeChangeBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """A change of a badge. Missing fields are kept, and null clears a field."""

    id: Annotated[str, Meta(description="Badge id.", min_length=1)]
    last_updated_on: Annotated[
        Time | None,
        Meta(description="The value that you read. The change is rejected if the badge has changed since."),
    ] = None
    last_updated_on_iso: Time | None = None
    name: Sent[Text] = UNSET
    start_on: Sent[Time] = UNSET
    start_on_iso: Sent[Time] = UNSET
    expires_on: Sent[Time] = UNSET
    expires_on_iso: Sent[Time] = UNSET
    earn_type: Annotated[Sent[EarnType], Meta(description="Cannot be changed.")] = UNSET
    earned_badge_expiry: Sent[ExpiryFields] = UNSET
    issued_badge_expiry: Sent[ExpiryFields] = UNSET
    ownership: Sent[OwnershipBody] = UNSET
    description: Sent[Annotated[str, Meta(max_length=10_000)]] = UNSET
    customer_constraints: Sent[Annotated[list[Constraint], Meta(max_length=LIST_MAX)]] = UNSET
    badge_constraints: Sent[Annotated[list[Constraint], Meta(max_length=LIST_MAX)]] = UNSET
    images: Sent[Annotated[list[Image], Meta(max_length=LIST_MAX)]] = UNSET
    benefits: Sent[Annotated[list[Benefit], Meta(max_length=10)]] = UNSET
    tags: Sent[Annotated[list[Tag], Meta(max_length=LIST_MAX)]] = UNSET
    badge_group_id: Sent[Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{24}$", max_length=24)]] = UNSET
    badge_rank: Sent[Annotated[int, Meta(ge=0, le=2**31 - 1)]] = UNSET
    custom_fields: Sent[Annotated[dict[str, Any], Meta(max_length=LIST_MAX)]] = UNSET
    default_till_id: Sent[Annotated[int, Meta(ge=0, le=2**63 - 1)]] = UNSET
    active: Sent[bool] = UNSET
    is_active: Sent[bool] = UNSET
    overlap_policy: Sent[OverlapPolicy] = UNSET


class ClaimBody(Struct, frozen=True, rename=json_name):
    """An owner and its reference id."""

    owner_type: Annotated[OwnerType, Meta(description="The module that claims.", examples=["Loyalty"])]
    reference_id: Annotated[Text, Meta(description="The owner's reference id.", examples=["123457"])]


class ClaimResponse(Struct, frozen=True, rename=json_name):
    """A claim."""

    badge_meta_id: str
    owner_type: OwnerType
    reference_id: str
    is_active: bool


class ActivationResponse(Struct, frozen=True, rename=json_name):
    """Whether the badge is active."""

    id: str
    is_active: bool


class BadgeBasics(Struct, frozen=True, kw_only=True, rename=json_name):
    """A badge without its constraints."""

    id: str
    badge_numeric_id: Annotated[int, Meta(description="Ascending number per org.")]
    org_id: int
    name: str
    description: str | None
    start_on: float
    start_on_iso: str
    expires_on: float
    expires_on_iso: str
    status: BadgeStatus
    earn_type: EarnType
    earned_badge_expiry: ExpiryFields
    issued_badge_expiry: ExpiryFields | None
    ownership: Ownership
    images: list[dict[str, Any]]
    benefits: list[dict[str, Any]]
    tags: list[dict[str, Any]]
    badge_group_id: str | None
    badge_group_name: str | None
    badge_rank: int | None
    custom_fields: dict[str, Any]
    default_till_id: int | None
    active: bool
    is_active: bool
    overlap_policy: OverlapPolicy | None
    created_on: float
    created_on_iso: str
    created_by: str
    last_updated_on: float
    last_updated_on_iso: str
    last_updated_by: str
    issued_count: Annotated[int | UnsetType, Meta(description="Number of unrevoked enrolments.")] = UNSET
    earned_count: Annotated[int | UnsetType, Meta(description="Number of unrevoked earned badges.")] = UNSET


class BadgeResponse(BadgeBasics, frozen=True, kw_only=True, rename=json_name):
    """A badge."""

    customer_constraints: list[ConstraintResponse]
    badge_constraints: list[ConstraintResponse]


def to_draft(body: BadgeBody, field_errors: FieldErrors) -> BadgeDraft:
    """Return the draft, and add errors that types cannot express. Unreadable values are None."""
    if body.name and not body.name.strip():
        field_errors.add("name", "name is mandatory.")
    if body.active is not None and body.is_active is not None and body.active != body.is_active:
        field_errors.add("isActive", "active and isActive differ; send one of them.")
    active = body.active if body.active is not None else body.is_active
    starts_at = mandatory_time("startOn", body.start_on, body.start_on_iso, field_errors)
    expires_at = mandatory_time("expiresOn", body.expires_on, body.expires_on_iso, field_errors)
    check_constraints("customerConstraints", body.customer_constraints or [], "CUSTOMER_", field_errors)
    check_constraints("badgeConstraints", body.badge_constraints or [], "BADGE_", field_errors)
    _check_benefits(body.benefits or [], field_errors)
    _check_nesting("customFields", body.custom_fields, field_errors)
    for place, tag in enumerate(body.tags or []):
        _check_nesting(f"tags[{place}].value", tag and tag.value, field_errors)
    issued = body.issued_badge_expiry
    owners = body.ownership.restricted_to_owners if body.ownership else []
    return BadgeDraft(
        name=body.name,
        starts_at=starts_at,
        expires_at=expires_at,
        earn_type=body.earn_type,
        earned_expiry=read_expiry("earnedBadgeExpiry", body.earned_badge_expiry, field_errors),
        issued_expiry=None if issued is None else read_expiry("issuedBadgeExpiry", issued, field_errors),
        owners=list(dict.fromkeys(owners or [])),
        overlap_policy=body.overlap_policy,
        customer_constraints=body.customer_constraints or [],
        badge_constraints=body.badge_constraints or [],
        presentation=_presentation(body),
        is_active=True if active is None else active,
    )


CHANGE_MANDATORY = {
    "name": "name",
    "earn_type": "earnType",
    "earned_badge_expiry": "earnedBadgeExpiry",
    "ownership": "ownership",
}
"""Fields that null cannot clear. Times are checked where they are parsed."""
TWINS = (("start_on", "start_on_iso"), ("expires_on", "expires_on_iso"), ("active", "is_active"))
"""Pairs of fields with the same meaning: the one that is sent replaces both."""


def to_changed(badge: Badge, change: BadgeChangeBody, field_errors: FieldErrors) -> BadgeDraft:
    """Return the stored badge with the fields that were sent."""
    sent: dict[str, Any] = {
        name: value
        for name in BadgeBody.__struct_fields__
        if name != "id" and (value := getattr(change, name)) is not UNSET
    }
    for first, second in TWINS:
        if first in sent or second in sent:
            sent = {first: None, second: None, **sent}
    return to_draft(msgspec.structs.replace(_body_of(badge.draft), **sent), field_errors)


def check_change(change: BadgeChangeBody, field_errors: FieldErrors) -> BadgeChangeBody:
    """Add the errors that are independent of the stored badge: mandatory fields cannot be cleared."""
    for name, encode_name in CHANGE_MANDATORY.items():
        if getattr(change, name) is None:
            code, message = MISSING.get(encode_name, (MALFORMED, f"{encode_name} is mandatory."))
            field_errors.add(encode_name, message, code)
    return change


def is_as_read(change: BadgeChangeBody, updated_at: datetime, field_errors: FieldErrors) -> bool:
    """Whether the badge was last changed at the time that the caller read, which may be in whole seconds."""
    if change.last_updated_on is None and change.last_updated_on_iso is None:
        return True
    read = mandatory_time("lastUpdatedOn", change.last_updated_on, change.last_updated_on_iso, field_errors)
    return read in (updated_at, updated_at.replace(microsecond=0))


def _body_of(draft: BadgeDraft) -> BadgeBody:
    """Return the body that creates this badge."""
    shown = draft.presentation
    return BadgeBody(
        name=draft.name,
        start_on=draft.starts_at.isoformat(),
        expires_on=draft.expires_at.isoformat(),
        earn_type=draft.earn_type,
        earned_badge_expiry=exact_expiry_fields(draft.earned_expiry),
        issued_badge_expiry=None if draft.issued_expiry is None else exact_expiry_fields(draft.issued_expiry),
        ownership=OwnershipBody(draft.owners),
        description=shown.description,
        customer_constraints=draft.customer_constraints,
        badge_constraints=draft.badge_constraints,
        images=[msgspec.convert(image, Image) for image in shown.images],
        benefits=[msgspec.convert(benefit, Benefit) for benefit in shown.benefits],
        tags=[msgspec.convert(tag, Tag) for tag in shown.tags],
        badge_group_id=shown.badge_group_id,
        badge_rank=shown.badge_rank,
        custom_fields=shown.custom_fields,
        default_till_id=shown.default_till_id,
        active=draft.is_active,
        overlap_policy=draft.overlap_policy,
    )


def to_migrated_id(body: BadgeBody, field_errors: FieldErrors) -> BadgeId | None:
    """Return the id of a migrated badge, if it has one."""
    if body.id is None:
        return None
    badge_id = ids.badge_id(body.id)
    if badge_id is None:
        field_errors.add("id", "A badge id must be 24 hex digits.")
    return badge_id


def badge_response(
    badge: Badge,
    now: datetime,
    zone: ZoneInfo,
    counts: Mapping[BadgeKey, BadgeCounts] | None = None,
    cycle_counts: dict[str, int] | None = None,
) -> BadgeResponse:
    """Return the badge at `now`. `counts` and `cycle_counts` (by reference id) add statistics."""
    return BadgeResponse(
        **_basics(badge, now, counts),
        customer_constraints=constraint_answers("customerConstraints", badge, now, zone, cycle_counts),
        badge_constraints=constraint_answers("badgeConstraints", badge, now, zone, cycle_counts),
    )


def basics_response(badge: Badge, now: datetime, counts: Mapping[BadgeKey, BadgeCounts]) -> BadgeBasics:
    """Return a row of the list of badges."""
    return BadgeBasics(**_basics(badge, now, counts))


def warnings_about(badge: Badge, fields: list[CustomField]) -> list[ErrorDetail]:
    """Return warnings about custom fields and a group that the org does not have."""
    shown = badge.draft.presentation
    message = "No custom field has this name. The value was stored anyway."
    warnings = [
        ErrorDetail(MALFORMED, message, f"customFields.{name}")
        for name in undefined(shown.custom_fields, fields)
    ]
    if shown.badge_group_id is not None and badge.group_name is None:
        message = "There is no such badge group. The id was stored anyway."
        warnings.append(ErrorDetail(MALFORMED, message, "badgeGroupId"))
    return warnings


def _basics(badge: Badge, now: datetime, counts: Mapping[BadgeKey, BadgeCounts] | None) -> dict[str, Any]:
    draft, shown = badge.draft, badge.draft.presentation
    return {
        "id": badge.badge_id,
        "badge_numeric_id": badge.badge_number,
        "org_id": badge.org_id,
        "name": draft.name,
        "description": shown.description,
        **time_fields("start_on", draft.starts_at),
        **time_fields("expires_on", draft.expires_at),
        "status": rules.status_at(draft.starts_at, draft.expires_at, now),
        "earn_type": draft.earn_type,
        "earned_badge_expiry": expiry_fields(draft.earned_expiry),
        "issued_badge_expiry": None if draft.issued_expiry is None else expiry_fields(draft.issued_expiry),
        "ownership": Ownership(draft.owners, badge.claims),
        "images": shown.images,
        "benefits": shown.benefits,
        "tags": shown.tags,
        "badge_group_id": shown.badge_group_id,
        "badge_group_name": badge.group_name,
        "badge_rank": shown.badge_rank,
        "custom_fields": shown.custom_fields,
        "default_till_id": shown.default_till_id,
        "active": draft.is_active,
        "is_active": draft.is_active,
        "overlap_policy": draft.overlap_policy,
        **time_fields("created_on", badge.created_at),
        "created_by": badge.created_by,
        **time_fields("last_updated_on", badge.updated_at),
        "last_updated_by": badge.updated_by,
        **_counts(badge, counts),
    }


def _counts(badge: Badge, counts: Mapping[BadgeKey, BadgeCounts] | None) -> dict[str, int]:
    if counts is None:
        return {}
    count = counts.get(badge.badge_key, BadgeCounts())
    return {"issued_count": count.issued, "earned_count": count.earned}


def _check_nesting(reference: str, value: object, field_errors: FieldErrors) -> None:
    """Deeply nested values could be stored, but not encoded again without exhausting the stack."""
    layer = [value]
    for _ in range(NESTING_MAX):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return
    field_errors.add(reference, f"Must be nested at most {NESTING_MAX} levels deep.")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _check_benefits(benefits: list[Benefit], field_errors: FieldErrors) -> None:
    needed = {
        BenefitType.COUPON: ("seriesId",),
        BenefitType.LOYALTY_POINTS: (
            "points",
            "programId",
            "promotionId",
            "allocationStrategyId",
            "expirationStrategyId",
        ),
    }
    for place, benefit in enumerate(benefits):
        given = msgspec.to_builtins(benefit)
        for name in needed.get(benefit.benefit_type, ()):
            if given.get(name) is None:
                field_errors.add(
                    f"benefits[{place}].{name}", f"{name} is mandatory for {benefit.benefit_type}."
                )


def _presentation(body: BadgeBody) -> Presentation:
    return Presentation(
        description=body.description,
        images=[msgspec.to_builtins(image) for image in body.images or []],
        benefits=[msgspec.to_builtins(benefit) for benefit in body.benefits or []],
        tags=[msgspec.to_builtins(tag) for tag in body.tags or []],
        badge_group_id=body.badge_group_id and body.badge_group_id.lower(),
        badge_rank=body.badge_rank,
        custom_fields=body.custom_fields or {},
        default_till_id=body.default_till_id,
    )
