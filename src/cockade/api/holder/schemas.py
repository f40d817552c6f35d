"""Response schemas of holders and explanations."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cockade import errors
from cockade.api.customer_badge.schemas import Earn, Issual, earn_fields, issual, optional_time_fields
from cockade.customer_badge import rules
from cockade.customer_badge.model import Explanation, HeldBadge, HeldBadgeStatus, RuleEvaluation, RuleResult
from cockade.errors import FieldError, InvalidInput
from cockade.http.envelope import LimitDetails, json_name, limit_details, time_fields
from cockade.ids import BadgeId, CustomerId

_CURSOR = struct.Struct(">qi")


class HolderEntry(Earn, frozen=True, kw_only=True, rename=json_name):
    """One earned badge of one customer."""

    customer_id: int
    request_id: Annotated[str | None, Meta(description="The request that issued it.")]


class HoldersPage(Struct, frozen=True, kw_only=True, rename=json_name):
    """The holders of a badge, by customer."""

    badge_meta_id: str
    customers: list[HolderEntry]
    next: Annotated[str | None, Meta(description="Send it as `after` to get the next page; null at the end.")]


class RuleEntry(Struct, frozen=True, kw_only=True, rename=json_name):
    """A rule and its result."""

    rule: Annotated[str, Meta(examples=["CUSTOMER_LIMIT"])]
    verdict: RuleResult
    code: Annotated[int | None, Meta(description="The error code if the rule fails.")]
    message: str
    reference: Annotated[str | None, Meta(description="The path of the constraint.")]
    details: Annotated[LimitDetails | None, Meta(description="The usage of a limit.")]
    earned_badge_id: Annotated[str | None, Meta(description="The earned badge that prevents another one.")]
    enrolment_id: Annotated[str | None, Meta(description="The enrolment whose window contains the event.")]


class ExplanationResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """Why the customer can or cannot earn the badge."""

    badge_meta_id: str
    customer_id: int
    earn_event_date: float
    earn_event_date_iso: str
    would_earn: Annotated[bool, Meta(description="Whether `POST /customer/earn` would issue it.")]
    expires_on: Annotated[
        float | None, Meta(description="End of the validity; null if it would not be issued.")
    ]
    expires_on_iso: str | None
    summary: str
    rules: list[RuleEntry]
    earned: Annotated[
        list[HolderEntry], Meta(description="The customer's earned badges of this badge, the newest hundred.")
    ]
    enrolments: Annotated[
        list[Issual], Meta(description="The customer's enrolments in this badge, the newest hundred.")
    ]


def holders_page(badge_id: BadgeId, found: list[HeldBadge], size: int, now: datetime) -> HoldersPage:
    """Return a page. `found` has one more entry if there is a next page."""
    shown = found[:size]
    last = shown[-1] if len(found) > size else None
    return HoldersPage(
        badge_meta_id=badge_id,
        customers=[holder_entry(holding, now) for holding in shown],
        next=None if last is None else _write_cursor(last),
    )


def holder_entry(holding: HeldBadge, now: datetime) -> HolderEntry:
    """Return one earned badge at `now`."""
    return HolderEntry(
        customer_id=holding.customer, request_id=holding.request_id, **earn_fields(holding, now)
    )


def explanation_response(
    badge_id: BadgeId, customer: CustomerId, explanation: Explanation, now: datetime
) -> ExplanationResponse:
    """Return every rule with its result, and a summary."""
    refused = [finding for finding in explanation.evaluations if finding.verdict is RuleResult.REFUSED]
    return ExplanationResponse(
        badge_meta_id=badge_id,
        customer_id=customer,
        **time_fields("earn_event_date", explanation.event_at),
        would_earn=not refused,
        **optional_time_fields("expires_on", None if refused else explanation.valid_until),
        summary=_summary(explanation, refused, now),
        rules=[_rule_entry(finding) for finding in explanation.evaluations],
        earned=[holder_entry(holding, now) for holding in explanation.earned],
        enrolments=[issual(holding, now) for holding in explanation.enrolments],
    )


def _summary(explanation: Explanation, refused: list[RuleEvaluation], now: datetime) -> str:
    has = sum(holding.revoked_at is None for holding in explanation.earned)
    live = sum(
        rules.held_badge_status(holding, now) is HeldBadgeStatus.LIVE for holding in explanation.earned
    )
    history = "The customer has never earned it."
    if has:
        times = "once" if has == 1 else f"{has} times"
        history = f"The customer has earned it {times}; valid now: {live}."
    if not refused:
        return f"{history} The customer can earn it with this event."
    return f"{history} The customer cannot earn it with this event: {refused[0].message}"


def _rule_entry(finding: RuleEvaluation) -> RuleEntry:
    limit = finding.limit
    details = limit_details(limit)
    return RuleEntry(
        rule=finding.rule,
        verdict=finding.verdict,
        code=finding.code,
        message=finding.message,
        reference=limit and limit.reference,
        details=details if isinstance(details, LimitDetails) else None,
        earned_badge_id=finding.earned_badge_id,
        enrolment_id=finding.enrolment_id,
    )


def _write_cursor(last: HeldBadge) -> str:
    return base64.urlsafe_b64encode(_CURSOR.pack(last.customer, last.ordinal)).decode().rstrip("=")


def read_cursor(text: str | None) -> tuple[int, int]:
    """Parse the cursor of a page; None starts at the beginning. Raises InvalidInput if it is invalid."""
    if text is None:
        return 0, 0
    try:
        customer, ordinal = _CURSOR.unpack(
            base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        )
    except (binascii.Error, struct.error, ValueError):
        message = "Invalid cursor: send the `next` of the previous page unchanged."
        raise InvalidInput([FieldError(errors.MALFORMED, message, "after")]) from None
    return customer, ordinal
