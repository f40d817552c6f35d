"""Request and response schemas of customers and their identifiers."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

import msgspec
from litestar.params import HeaderParameter
from msgspec import Meta, Struct

from cockade import ids
from cockade.api.earning.schemas import NO_CUSTOMER, Customer, one_customer
from cockade.api.schemas import Text
from cockade.config import Config
from cockade.customer.model import Identifier, IdentifierCounts, IdentifierKind
from cockade.customer.rules import identifier
from cockade.customer.service import CustomerService
from cockade.customer_data.model import CustomerDataResult
from cockade.errors import MALFORMED, FieldError, InvalidInput
from cockade.http.decoding import FieldErrors, must_be_one_of
from cockade.http.envelope import json_name
from cockade.http.request import ApiRequest
from cockade.ids import CustomerId

IDENTIFIER_HEADER = "X-CAP-CUSTOMER-IDENTIFIER"
IdentifierHeader = Annotated[
    str | None,
    HeaderParameter(
        name=IDENTIFIER_HEADER,
        description=f"Type of the identifier in the path: {', '.join(IdentifierKind)}. Default: the customer id.",
    ),
]
"""The header parameter of handlers with a customer in their path, for `customer_of`."""
_KINDS = {kind.lower(): kind for kind in IdentifierKind}

EXAMPLE = {
    "identifiers": [
        {"customerId": 62090013, "type": "email", "value": "a@example.org"},
        {"customerId": 553162563, "type": "cardNumber", "value": "4000 0012 3456"},
    ]
}


class IdentifierBody(Struct, frozen=True, kw_only=True, rename=json_name):
    """An identifier of one customer."""

    customer_id: Annotated[Customer, Meta(description="The customer it belongs to from now on.")]
    type: IdentifierKind
    value: Annotated[
        Text, Meta(description="Surrounding whitespace is removed; emails are stored in lower case.")
    ]


class IdentifiersBody(Struct, frozen=True, kw_only=True):
    """Identifiers of customers."""

    identifiers: Annotated[
        list[IdentifierBody], Meta(description="Each identifier belongs to one customer.", min_length=1)
    ]


class IdentifiersResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """The result of storing identifiers."""

    total_count: Annotated[int, Meta(description="Number of distinct identifiers.")]
    created_count: Annotated[int, Meta(description="Number of new identifiers.")]
    updated_count: Annotated[int, Meta(description="Number that belonged to another customer.")]
    unchanged_count: Annotated[int, Meta(description="Number that belonged to the same customer.")]


class RewrittenResponse(Struct, frozen=True, kw_only=True, rename=json_name):
    """Number of rows erased or moved."""

    earned_badge_count: Annotated[int, Meta(description="Earned badges, including revoked ones.")]
    enrolment_count: Annotated[int, Meta(description="Enrolments, including revoked ones.")]
    identifier_count: int
    request_count: Annotated[int, Meta(description="Requests whose audience contained the customer.")]


class ErasedResponse(RewrittenResponse, frozen=True, kw_only=True, rename=json_name):
    """The result of an erasure."""

    customer_id: int


class MergeBody(Struct, frozen=True, kw_only=True):
    """The two customers of a merge."""

    source: Annotated[Customer, Meta(description="Loses everything.")] = msgspec.field(name="from")
    into: Annotated[Customer, Meta(description="Gets everything.")]


class MergedResponse(RewrittenResponse, frozen=True, kw_only=True, rename=json_name):
    """The result of a merge."""

    source: int = msgspec.field(name="from")
    into: int


EXAMPLE_ERASED = ErasedResponse(
    customer_id=62090013, earned_badge_count=3, enrolment_count=1, identifier_count=2, request_count=4
)
EXAMPLE_MERGE = {"from": 62090013, "into": 553162563}
EXAMPLE_MERGED = MergedResponse(
    source=62090013,
    into=553162563,
    earned_badge_count=3,
    enrolment_count=1,
    identifier_count=2,
    request_count=4,
)

EXAMPLE_RESPONSE = IdentifiersResponse(total_count=2, created_count=1, updated_count=0, unchanged_count=1)


def to_identifiers(
    body: IdentifiersBody, config: Config, field_errors: FieldErrors
) -> dict[Identifier, CustomerId]:
    """Return each distinct identifier with its customer. Adds errors for identifiers with two customers."""
    sent = body.identifiers or []
    if len(sent) > config.max_customers_per_request:
        field_errors.add(
            "identifiers",
            f"identifiers has {len(sent)} entries; the maximum is {config.max_customers_per_request} (COCKADE_MAX_CUSTOMERS_PER_REQUEST). Send the rest in further requests.",
        )
        return {}
    owned: dict[Identifier, CustomerId] = {}
    for place, entry in enumerate(sent):
        # After a type error, unreadable values are None and their errors are already added.
        customer = entry.customer_id and ids.customer_id(entry.customer_id)
        if entry.customer_id and not customer:
            field_errors.add(f"identifiers[{place}].customerId", NO_CUSTOMER)
        if entry.value and not entry.value.strip():
            field_errors.add(f"identifiers[{place}].value", "value is mandatory.")
        elif customer and entry.type and entry.value:
            named = identifier(entry.type, entry.value)
            if owned.setdefault(named, customer) != customer:
                field_errors.add(
                    f"identifiers[{place}].value",
                    f"This {named.kind} belongs to another customer in the same body.",
                )
    return owned


def identifiers_response(counts: IdentifierCounts) -> IdentifiersResponse:
    """Return the result of storing identifiers."""
    return IdentifiersResponse(
        total_count=counts.created + counts.updated + counts.unchanged,
        created_count=counts.created,
        updated_count=counts.updated,
        unchanged_count=counts.unchanged,
    )


async def customer_of(
    request: ApiRequest, segment: str, header: str | None, customers: CustomerService
) -> CustomerId:
    """Return the customer of a path segment: a customer id or, with the header, an identifier of that type.

    Raises InvalidInput if the segment is invalid, and CustomerNotFound if no customer has the identifier.
    """
    if header is None:
        customer = ids.customer_id(segment)
        if customer is None:
            raise InvalidInput([FieldError(MALFORMED, NO_CUSTOMER, "customerId")])
        return customer
    kind = _KINDS.get(header.strip().lower())
    if kind is None:
        raise InvalidInput([FieldError(MALFORMED, must_be_one_of(IdentifierKind), IDENTIFIER_HEADER)])
    if request.scope["path"].encode() == request.scope["raw_path"]:
        segment = unquote(segment)  # paths with an encoded slash stay encoded, see `RequestContextMiddleware`
    return await customers.find(request.user, identifier(kind, segment))


def erased_response(customer: CustomerId, rewritten: CustomerDataResult) -> ErasedResponse:
    """Return the result of an erasure."""
    return ErasedResponse(customer_id=customer, **counts_of(rewritten))


def to_merge(body: MergeBody, field_errors: FieldErrors) -> tuple[CustomerId, CustomerId]:
    """Return the two customers of a merge."""
    [source], [into] = (
        one_customer(sent, field_errors, name) or [CustomerId(0)]
        for sent, name in ((body.source, "from"), (body.into, "into"))
    )
    if source and source == into:
        field_errors.add("into", "A customer cannot be merged into itself.")
    return source, into


def merged_response(source: CustomerId, into: CustomerId, rewritten: CustomerDataResult) -> MergedResponse:
    """Return the result of a merge."""
    return MergedResponse(source=source, into=into, **counts_of(rewritten))


def counts_of(rewritten: CustomerDataResult) -> dict[str, int]:
    """Return the fields that both responses share."""
    return {
        "earned_badge_count": rewritten.earned_badges,
        "enrolment_count": rewritten.enrolments,
        "identifier_count": rewritten.identifiers,
        "request_count": rewritten.requests,
    }
