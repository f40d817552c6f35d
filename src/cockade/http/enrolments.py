"""The wire structs of enrolling and how they become commands, and outcomes answers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cockade import ids
from cockade.config import Config
from cockade.enrolment.model import RevokedIssue, RevokeIssue
from cockade.http.body import MISSING, Faults
from cockade.http.earnings import Customer, EventBody, command_of, distinct, one_customer, repeats
from cockade.http.requests import Exchange
from cockade.http.wire import ErrorDetail
from cockade.ids import BadgeId
from cockade.request.model import BulkCommand

NO_ISSUE = ErrorDetail(404, "Customer doesn't have issue instance")
NOTHING_TO_REVOKE = (1051, "RevokeIssuals or CustomerId is mandatory.")


class IssueBulkBody(EventBody, frozen=True, kw_only=True, rename="camel"):
    """Customers to enrol."""

    customers: Annotated[
        list[Customer] | None,
        Meta(description="The customers; numeric strings are taken too, repeated ids count once."),
    ] = None
    customer_ids: Annotated[list[Customer] | None, Meta(description="Another name of customers.")] = None


class IssualBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """One enrolment of one customer."""

    customer_id: Customer
    issue_id: Annotated[str, Meta(description="The `issuedId` of issueBulk.", min_length=1, max_length=255)]


class RevokeIssueBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which enrolments to revoke."""

    badge_meta_id: Annotated[str, Meta(description="The badge's id.", min_length=1)]
    customers: Annotated[
        list[Customer] | None, Meta(description="Every active enrolment of these customers.")
    ] = None
    revoke_issuals: Annotated[list[IssualBody] | None, Meta(description="These enrolments.")] = None


class RevokedIssueEntry(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one enrolment."""

    customer_id: int
    issued_id: Annotated[str | None, Meta(description="The enrolment; null where she has none.")]
    error: Annotated[ErrorDetail | None, Meta(description="Null when it was revoked.")]


class RevokeIssueAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of each of them, in the order sent."""

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
    body: IssueBulkBody, exchange: Exchange, config: Config, faults: Faults
) -> tuple[BulkCommand, list[ErrorDetail]]:
    """The command that the body asks for, and what is to be said of ids that were sent more than once."""
    name = "customerIds" if body.customers is None and body.customer_ids is not None else "customers"
    sent = (body.customer_ids if name == "customerIds" else body.customers) or []
    if not sent:
        code, message = MISSING["customerIds"]
        faults.note(name, message, code)
    if body.customers and body.customer_ids and body.customers != body.customer_ids:
        faults.note("customers", "customers and customerIds differ; send one of them.")
    command = command_of(body, distinct(sent, config.customers_max, faults, name), exchange, faults)
    return command, repeats(sent, command.customers, name)


def to_revocation(body: RevokeIssueBody, config: Config, faults: Faults) -> RevokeIssue:
    """The command that the body asks for."""
    issuals = body.revoke_issuals or []
    if not body.customers and not issuals:
        code, message = NOTHING_TO_REVOKE
        faults.note("customers", message, code)
    if len(issuals) > config.customers_max:
        faults.note(
            "revokeIssuals",
            f"revokeIssuals has {len(issuals)} entries; one call takes at most {config.customers_max} "
            "(COCKADE_CUSTOMERS_MAX). Send the rest in further calls.",
        )
        issuals = []
    return RevokeIssue(
        badge_id=ids.badge_id(body.badge_meta_id or ""),
        customers=distinct(body.customers or [], config.customers_max, faults, "customers"),
        issuals=list(
            dict.fromkeys(
                (customer, issual.issue_id.lower())
                for place, issual in enumerate(issuals)
                for customer in one_customer(
                    issual and issual.customer_id, faults, f"revokeIssuals[{place}].customerId"
                )
                if issual.issue_id
            )
        ),
    )


def revocation_answer(badge_id: BadgeId, revoked: list[RevokedIssue]) -> RevokeIssueAnswer:
    """What became of each of them."""
    return RevokeIssueAnswer(
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
