"""The wire structs of badges and how they become drafts, and badges answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, assert_never, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from cockade import ids, times
from cockade.badge import rules
from cockade.badge.model import (
    Badge,
    BadgeDraft,
    BadgeExpiry,
    BadgeStatus,
    Claim,
    Constraint,
    ConstraintType,
    Counts,
    EarnType,
    Expiry,
    ExpiryUnit,
    FixedExpiry,
    NeverExpiry,
    OverlapPolicy,
    Presentation,
    RelativeExpiry,
)
from cockade.catalogue.model import CustomField
from cockade.catalogue.rules import undefined
from cockade.errors import MALFORMED
from cockade.http.body import Faults
from cockade.http.wire import ErrorDetail, Text, Time, time_fields
from cockade.ids import BadgeId, BadgeKey
from cockade.request.model import OwnerType

RELATIVE_MAX = {ExpiryUnit.DAYS: 36_525, ExpiryUnit.WEEKS: 5_218, ExpiryUnit.MONTHS: 1_200}
"""A relative expiry reaches a hundred years at most."""

LIST_MAX = 100
"""How many owners, limits, images, tags or custom fields a badge may list."""
NESTING_MAX = 100
"""How many levels of lists and objects a free value may have."""

EXAMPLE = {
    "name": "Sock Collector",
    "description": "Buy five pairs of socks",
    "startOn": "2026-01-01T00:00:00Z",
    "expiresOn": "2035-12-31T23:59:59Z",
    "earnType": "EARN",
    "earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "MONTHS", "value": 12},
    "ownership": {"restrictedToOwners": ["Loyalty"]},
}


class ExpiryType(StrEnum):
    """The kinds of expiry."""

    RELATIVE = "RELATIVE"
    ABSOLUTE = "ABSOLUTE"
    NEVER = "NEVER"


class AbsoluteType(StrEnum):
    """What an absolute expiry is bound to."""

    FIXED_DATE = "FIXED_DATE"
    WITH_BADGE_META = "WITH_BADGE_META"


class ExpiryFields(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """When a validity ends; which fields are needed follows from expiryType."""

    expiry_type: Annotated[ExpiryType, Meta(description="RELATIVE, ABSOLUTE or NEVER (a hundred years on).")]
    relative_expirytype: Annotated[
        ExpiryUnit | None,
        Meta(description="RELATIVE: what value counts; days and weeks of 24 h, calendar months."),
    ] = None
    relative_expiry_type: Annotated[ExpiryUnit | None, Meta(description="Another spelling of it.")] = None
    value: Annotated[int | None, Meta(description="RELATIVE: how many.")] = None
    type: Annotated[AbsoluteType | None, Meta(description="ABSOLUTE: a date, or with the badge.")] = None
    expires_on: Annotated[Time | None, Meta(description="FIXED_DATE: when.")] = None
    expires_on_iso: Time | None = msgspec.field(default=None, name="expiresOnISO")
    expire_with_badge_meta: Annotated[bool | None, Meta(description="WITH_BADGE_META: true.")] = None


class ImageTag(StrEnum):
    """When an image is shown."""

    UN_EARNED = "UN_EARNED"
    IN_PROGRESS = "IN_PROGRESS"
    EARNED = "EARNED"


class Image(Struct, frozen=True, rename="camel"):
    """A picture of the badge."""

    name: str | None = None
    file_svc_handle: str | None = None
    url: str | None = None
    tag: ImageTag | None = None


class BenefitType(StrEnum):
    """What comes with a badge."""

    COUPON = "COUPON"
    LOYALTY_POINTS = "LOYALTY_POINTS"


Reference = Annotated[str, Meta(min_length=1)] | int
"""An id of another system."""


class Benefit(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Something that another system grants with the badge."""

    benefit_type: BenefitType
    series_id: Annotated[Reference | None, Meta(description="Mandatory for COUPON.")] = None
    points: Annotated[
        float | None, Meta(description="Mandatory for LOYALTY_POINTS, as are the ids below.")
    ] = None
    program_id: Reference | None = None
    promotion_id: Reference | None = None
    allocation_strategy_id: Reference | None = None
    expiration_strategy_id: Reference | None = None


class Tag(Struct, frozen=True):
    """A name and a value."""

    name: Text
    value: Any = None


class OwnershipBody(Struct, frozen=True, rename="camel"):
    """Who may use the badge. Claims sent here are ignored: claiming is a call of its own."""

    restricted_to_owners: Annotated[list[OwnerType], Meta(min_length=1, max_length=LIST_MAX)]


class Ownership(Struct, frozen=True, rename="camel"):
    """Who may use the badge, and who has registered for it."""

    restricted_to_owners: list[OwnerType]
    claims: list[Claim]


class BadgeBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A badge as somebody wants to have it."""

    name: Annotated[Text, Meta(description="Unique in the org, case sensitive.", examples=["Sock Collector"])]
    start_on: Annotated[Time | None, Meta(description="Mandatory, or its ISO twin, which wins.")] = None
    start_on_iso: Time | None = msgspec.field(default=None, name="startOnISO")
    expires_on: Annotated[Time | None, Meta(description="Mandatory, or its ISO twin, which wins.")] = None
    expires_on_iso: Time | None = msgspec.field(default=None, name="expiresOnISO")
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
        Meta(description="Limits for the badge as a whole."),
    ] = None
    images: Annotated[list[Image], Meta(max_length=LIST_MAX)] | None = None
    benefits: Annotated[list[Benefit], Meta(max_length=10)] | None = None
    tags: Annotated[list[Tag], Meta(max_length=LIST_MAX)] | None = None
    badge_group_id: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{24}$", max_length=24)] | None = None
    badge_rank: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    custom_fields: Annotated[
        Annotated[dict[str, Any], Meta(max_length=LIST_MAX)] | None, Meta(description="Name to value.")
    ] = None
    default_till_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    active: Annotated[bool | None, Meta(description="True when absent.")] = None
    is_active: Annotated[bool | None, Meta(description="Another name of active.")] = None
    overlap_policy: Annotated[
        OverlapPolicy | None, Meta(description="Whether a customer may hold several valid ones.")
    ] = None
    id: Annotated[
        str | None, Meta(description="Only with the migration header: the badge's id, 24 hex digits.")
    ] = None


class ClaimBody(Struct, frozen=True, rename="camel"):
    """An owner and its own reference."""

    owner_type: Annotated[OwnerType, Meta(description="The module that claims.", examples=["Loyalty"])]
    reference_id: Annotated[Text, Meta(description="The owner's own reference.", examples=["123457"])]


class ClaimAnswer(Struct, frozen=True, rename="camel"):
    """A claim as it is now."""

    badge_meta_id: str
    owner_type: OwnerType
    reference_id: str
    is_active: bool


class ActivationAnswer(Struct, frozen=True, rename="camel"):
    """Whether the badge is switched on."""

    id: str
    is_active: bool


class BadgeBasics(Struct, frozen=True, kw_only=True, rename="camel"):
    """A badge without its limits."""

    id: str
    badge_numeric_id: Annotated[int, Meta(description="Counts up per org.")]
    org_id: int
    name: str
    description: str | None
    start_on: float
    start_on_iso: str = msgspec.field(name="startOnISO")
    expires_on: float
    expires_on_iso: str = msgspec.field(name="expiresOnISO")
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
    created_on_iso: str = msgspec.field(name="createdOnISO")
    created_by: str
    last_updated_on: float
    last_updated_on_iso: str = msgspec.field(name="lastUpdatedOnISO")
    last_updated_by: str
    issued_count: Annotated[int | UnsetType, Meta(description="Unrevoked enrolments.")] = UNSET
    earned_count: Annotated[int | UnsetType, Meta(description="Unrevoked earned badges.")] = UNSET


class BadgeAnswer(BadgeBasics, frozen=True, kw_only=True, rename="camel"):
    """The whole badge."""

    customer_constraints: list[Constraint]
    badge_constraints: list[Constraint]


def to_draft(body: BadgeBody, faults: Faults) -> BadgeDraft:
    """The draft that the body asks for; notes what types cannot see. None stands where a field could not be read."""
    if body.name and not body.name.strip():
        faults.note("name", "name is mandatory.")
    if body.active is not None and body.is_active is not None and body.active != body.is_active:
        faults.note("isActive", "active and isActive differ; send one of them.")
    active = body.active if body.active is not None else body.is_active
    starts_at = _mandatory_time("startOn", body.start_on, body.start_on_iso, faults)
    expires_at = _mandatory_time("expiresOn", body.expires_on, body.expires_on_iso, faults)
    customer = _constraints("customerConstraints", body.customer_constraints or [], "CUSTOMER_", faults)
    badge = _constraints("badgeConstraints", body.badge_constraints or [], "BADGE_", faults)
    _check_benefits(body.benefits or [], faults)
    _check_nesting("customFields", body.custom_fields, faults)
    for place, tag in enumerate(body.tags or []):
        _check_nesting(f"tags[{place}].value", tag and tag.value, faults)
    issued = body.issued_badge_expiry
    owners = body.ownership.restricted_to_owners if body.ownership else []
    return BadgeDraft(
        name=body.name,
        starts_at=starts_at,
        expires_at=expires_at,
        earn_type=body.earn_type,
        earned_expiry=_expiry("earnedBadgeExpiry", body.earned_badge_expiry, faults),
        issued_expiry=None if issued is None else _expiry("issuedBadgeExpiry", issued, faults),
        owners=list(dict.fromkeys(owners or [])),
        overlap_policy=body.overlap_policy,
        customer_constraints=customer,
        badge_constraints=badge,
        presentation=_presentation(body),
        is_active=True if active is None else active,
    )


def to_migrated_id(body: BadgeBody, faults: Faults) -> BadgeId | None:
    """The id that a migrated badge brings along, if it brings one."""
    if body.id is None:
        return None
    badge_id = ids.badge_id(body.id)
    if badge_id is None:
        faults.note("id", "A badge id has 24 hex digits.")
    return badge_id


def badge_answer(badge: Badge, now: datetime, counts: Mapping[BadgeKey, Counts] | None = None) -> BadgeAnswer:
    """The whole badge as it is at `now`; with `counts` its statistics."""
    draft = badge.draft
    return BadgeAnswer(
        **_basics(badge, now, counts),
        customer_constraints=draft.customer_constraints,
        badge_constraints=draft.badge_constraints,
    )


def basics_answer(badge: Badge, now: datetime, counts: Mapping[BadgeKey, Counts]) -> BadgeBasics:
    """A row of the list of badges."""
    return BadgeBasics(**_basics(badge, now, counts))


def warnings_about(badge: Badge, fields: list[CustomField]) -> list[ErrorDetail]:
    """What the badge names and its org has not: custom fields, and a group."""
    shown = badge.draft.presentation
    message = "No custom field has this name; the value was kept as it is."
    warnings = [
        ErrorDetail(MALFORMED, message, f"customFields.{name}")
        for name in undefined(shown.custom_fields, fields)
    ]
    if shown.badge_group_id is not None and badge.group_name is None:
        message = "There is no such badge group; the id was kept as it is."
        warnings.append(ErrorDetail(MALFORMED, message, "badgeGroupId"))
    return warnings


def _basics(badge: Badge, now: datetime, counts: Mapping[BadgeKey, Counts] | None) -> dict[str, Any]:
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
        "earned_badge_expiry": _expiry_fields(draft.earned_expiry),
        "issued_badge_expiry": None if draft.issued_expiry is None else _expiry_fields(draft.issued_expiry),
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


def _counts(badge: Badge, counts: Mapping[BadgeKey, Counts] | None) -> dict[str, int]:
    if counts is None:
        return {}
    count = counts.get(badge.badge_key, Counts())
    return {"issued_count": count.issued, "earned_count": count.earned}


def _expiry_fields(expiry: Expiry) -> ExpiryFields:
    match expiry:
        case RelativeExpiry(unit=unit, value=value):
            return ExpiryFields(expiry_type=ExpiryType.RELATIVE, relative_expirytype=unit, value=value)
        case FixedExpiry(at=at):
            return ExpiryFields(
                expiry_type=ExpiryType.ABSOLUTE,
                type=AbsoluteType.FIXED_DATE,
                expires_on=times.epoch(at),
                expires_on_iso=times.iso(at),
            )
        case BadgeExpiry():
            return ExpiryFields(
                expiry_type=ExpiryType.ABSOLUTE,
                type=AbsoluteType.WITH_BADGE_META,
                expire_with_badge_meta=True,
            )
        case NeverExpiry():
            return ExpiryFields(expiry_type=ExpiryType.NEVER)
        case _:
            assert_never(expiry)


def _mandatory_time(name: str, plain: Time | None, iso: Time | None, faults: Faults) -> datetime:
    """The instant of a field and its ISO twin, which wins; noted where there is none."""
    reference, value = (name, plain) if iso is None else (f"{name}ISO", iso)
    try:
        if value is not None:
            return times.read_instant(value)
        if not faults.about(f"{name}ISO"):
            faults.note(name, f"{name} is mandatory.")
    except ValueError as error:
        faults.note(reference, str(error))
    return times.EARLIEST


def _expiry(name: str, fields: ExpiryFields | None, faults: Faults) -> Expiry:
    """The rule that the fields describe; NeverExpiry stands where they describe none, and the fault is noted."""
    match fields and fields.expiry_type:
        case ExpiryType.RELATIVE:
            assert fields is not None
            return _relative(name, fields, faults)
        case ExpiryType.ABSOLUTE:
            assert fields is not None
            return _absolute(name, fields, faults)
        case _:
            return NeverExpiry()


def _relative(name: str, fields: ExpiryFields, faults: Faults) -> Expiry:
    unit = fields.relative_expirytype or fields.relative_expiry_type
    if unit is None:
        faults.note(f"{name}.relativeExpirytype", "A RELATIVE expiry needs DAYS, WEEKS or MONTHS.")
    elif fields.value is None or not 1 <= fields.value <= RELATIVE_MAX[unit]:
        faults.note(
            f"{name}.value", f"A RELATIVE expiry in {unit} needs a value from 1 to {RELATIVE_MAX[unit]}."
        )
    else:
        return RelativeExpiry(unit, fields.value)
    return NeverExpiry()


def _absolute(name: str, fields: ExpiryFields, faults: Faults) -> Expiry:
    if fields.type is AbsoluteType.WITH_BADGE_META or (fields.type is None and fields.expire_with_badge_meta):
        return BadgeExpiry()
    if fields.type is None:
        faults.note(f"{name}.type", "An ABSOLUTE expiry needs a type: FIXED_DATE or WITH_BADGE_META.")
        return NeverExpiry()
    return FixedExpiry(_mandatory_time(f"{name}.expiresOn", fields.expires_on, fields.expires_on_iso, faults))


def _constraints(name: str, given: list[Constraint], prefix: str, faults: Faults) -> list[Constraint]:
    """The limits, once each of them has what its type needs."""
    for place, constraint in enumerate(given):
        path, kind = f"{name}[{place}]", constraint.constraint_type
        if not kind:  # it could not be read, which has been noted
            continue
        if not kind.startswith(prefix):
            allowed = ", ".join(member for member in ConstraintType if member.startswith(prefix))
            faults.note(f"{path}.constraintType", f"Must be one of {allowed}.")
        for field in _missing_counts(constraint):
            faults.note(f"{path}.{field}", f"{kind} needs {field}, a whole number from 1 to {2**31 - 1}.")
    return given


def _missing_counts(constraint: Constraint) -> list[str]:
    """The fields that the constraint's type needs and that hold no positive count."""
    kind = constraint.constraint_type
    if kind.endswith("NO_LIMIT"):
        return []
    if kind is ConstraintType.CUSTOMER_BADGE_ROLLING_WINDOW:
        units = ("Days", "Weeks", "Months")
        pairs = [(f"maxEarnFor{unit}", f"rollFor{unit}") for unit in units]
        given = {name for pair in pairs for name in pair if _count(constraint, name) is not None}
        needed = [name for pair in pairs if given & set(pair) for name in pair] or list(pairs[0])
    elif kind is ConstraintType.BADGE_ROLLING_WINDOW:
        needed = ["rollValue", "maxEarnLimit"]
    else:
        needed = ["maxEarnLimit"]
    return [name for name in needed if not 1 <= (_count(constraint, name) or 0) < 2**31]


_FIELD_NAMES = {field.encode_name: field.name for field in msgspec.structs.fields(Constraint)}


def _count(constraint: Constraint, encode_name: str) -> int | None:
    return getattr(constraint, _FIELD_NAMES[encode_name])


def _check_nesting(reference: str, value: object, faults: Faults) -> None:
    """What is nested too deeply could be stored and never be shown: the interpreter's stack is not endless."""
    layer = [value]
    for _ in range(NESTING_MAX):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            return
    faults.note(reference, f"It is nested more than {NESTING_MAX} levels deep.")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _check_benefits(benefits: list[Benefit], faults: Faults) -> None:
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
                faults.note(f"benefits[{place}].{name}", f"{name} is mandatory for {benefit.benefit_type}.")


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
