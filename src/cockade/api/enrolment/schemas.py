"""Requests that enrol customers and revoke enrolments, and their responses."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade import ids
from cockade.api.earning.schemas import (
    Customer,
    EventBody,
    distinct_customers,
    duplicate_warnings,
    issue_command,
    one_customer,
)
from cockade.config import Config
from cockade.enrolment.model import RevokedIssue, RevokeIssue
from cockade.http.context import RequestContext
from cockade.http.decoding import MISSING, FieldErrors
from cockade.http.envelope import ErrorDetail, json_name
from cockade.ids import BadgeId
from cockade.request.model import IssueCommand

NO_ISSUE = ErrorDetail(404, "Customer doesn't have issue instance")
NOTHING_TO_REVOKE = (1051, "RevokeIssuals or CustomerId is mandatory.")


class IssueBulkBody(EventBody, frozen=True, kw_only=True, rename=json_name):
    """The customers to enrol."""

    customers: Annotated[
        list[Customer] | None,
        Meta(description="The customer ids. Numeric strings are accepted; duplicates count once."),
    ] = None
    customer_ids: Annotated[list[Customer] | None, Meta(description="Alternative name of `customers`.")] = (
        None
    )


class IssualBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """One enrolment of a customer."""

    customer_id: Customer
    issue_id: Annotated[str, Meta(description="The `issuedId` of issueBulk.", min_length=1, max_length=255)]


class RevokeIssueBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """The enrolments to revoke."""

    badge_meta_id: Annotated[str, Meta(description="The badge's id.", min_length=1)]
    customers: Annotated[
        list[Customer] | None, Meta(description="Revoke every active enrolment of these customers.")
    ] = None
    revoke_issuals: Annotated[list[IssualBody] | None, Meta(description="Revoke these enrolments.")] = None


class RevokedIssueEntry(Struct, frozen=True, kw_only=True, rename=json_name):
    """The result for one enrolment."""

    customer_id: int
    issued_id: Annotated[str | None, Meta(description="The enrolment, or null if the customer has none.")]
    error: Annotated[ErrorDetail | None, Meta(description="Null if it was revoked.")]


class RevokeIssueResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The results, in the order sent."""

    badge_meta_id: str
    revoked_issued_badges: list[RevokedIssueEntry]


EXAMPLE_ISSUE = {
    "badgeMetaId": "653de334b3cda7078c7c68eb",
    "customers": [62090013, 553162563],
    "requestId": "1236",
    "triggeredBy": {"ownerType": "Loyalty", "referenceId": "123457"},
}
EXAMPLE_REVOKE = {"badgeMetaId": "653de334b3cda7078c7c68eb", "customers": [62090013]}


def to_issue_command(
    body: IssueBulkBody, context: RequestContext, config: Config, field_errors: FieldErrors
) -> tuple[IssueCommand, list[ErrorDetail]]:
    """Return the command for the body, and warnings about duplicate ids."""
    name = "customerIds" if body.customers is None and body.customer_ids is not None else "customers"
    sent = (body.customer_ids if name == "customerIds" else body.customers) or []
    if not sent:
        code, message = MISSING["customerIds"]
        field_errors.add(name, message, code)
    if body.customers and body.customer_ids and body.customers != body.customer_ids:
        field_errors.add("customers", "customers and customerIds differ; send one of them.")
    command = issue_command(
        body,
        distinct_customers(sent, config.max_customers_per_request, field_errors, name),
        context,
        field_errors,
    )
    return command, duplicate_warnings(sent, command.customers, name)


def to_revocation(body: RevokeIssueBody, config: Config, field_errors: FieldErrors) -> RevokeIssue:
    """Return the command for the body."""
    issuals = body.revoke_issuals or []
    if not body.customers and not issuals:
        code, message = NOTHING_TO_REVOKE
        field_errors.add("customers", message, code)
    if len(issuals) > config.max_customers_per_request:
        field_errors.add(
            "revokeIssuals",
            f"revokeIssuals has {len(issuals)} entries, the maximum is {config.max_customers_per_request} (COCKADE_MAX_CUSTOMERS_PER_REQUEST). Send the rest in further requests.",
        )
        issuals = []
    return RevokeIssue(
        badge_id=ids.badge_id(body.badge_meta_id or ""),
        customers=distinct_customers(
            body.customers or [], config.max_customers_per_request, field_errors, "customers"
        ),
        issuals=list(
            dict.fromkeys(
                (customer, issual.issue_id.lower())
                for place, issual in enumerate(issuals)
                for customer in one_customer(
                    issual and issual.customer_id, field_errors, f"revokeIssuals[{place}].customerId"
                )
                if issual.issue_id
            )
        ),
    )


def revocation_response(badge_id: BadgeId, revoked: list[RevokedIssue]) -> RevokeIssueResponse:
    """Return the results of a revocation."""
    return RevokeIssueResponse(
        badge_meta_id=badge_id,
        revoked_issued_badges=[
            RevokedIssueEntry(
                customer_id=each.customer,
                issued_id=each.issue_id,
                error=None if each.is_revoked else NO_ISSUE,
            )
            for each in revoked
        ],
    )
