"""Customers on the wire: the identifiers that a body brings, and the customer whom a path names."""

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
from cockade.http.request import ApiRequest
from cockade.ids import CustomerId

IDENTIFIER_HEADER = "X-CAP-CUSTOMER-IDENTIFIER"
IdentifierHeader = Annotated[
    str | None,
    HeaderParameter(
        name=IDENTIFIER_HEADER,
        description=f"What names the customer in the path: {', '.join(IdentifierKind)}; her id when absent.",
    ),
]
"""How handlers of paths with a customer take the header, `= None`; for `customer_of`."""
_KINDS = {kind.lower(): kind for kind in IdentifierKind}

EXAMPLE = {
    "identifiers": [
        {"customerId": 62090013, "type": "email", "value": "a@example.org"},
        {"customerId": 553162563, "type": "cardNumber", "value": "4000 0012 3456"},
    ]
}


class IdentifierBody(Struct, frozen=True, kw_only=True, rename="camel"):
    """A name of one customer."""

    customer_id: Annotated[Customer, Meta(description="Whose it is from now on.")]
    type: IdentifierKind
    value: Annotated[Text, Meta(description="Surrounding blanks are cut; emails are kept in lower case.")]


class IdentifiersBody(Struct, frozen=True, kw_only=True):
    """Names of customers."""

    identifiers: Annotated[
        list[IdentifierBody], Meta(description="An identifier is one customer's.", min_length=1)
    ]


class IdentifiersResponse(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of them."""

    total_count: Annotated[int, Meta(description="Distinct identifiers.")]
    created_count: Annotated[int, Meta(description="Those that nobody had before.")]
    updated_count: Annotated[int, Meta(description="Those that another customer had.")]
    unchanged_count: Annotated[int, Meta(description="Those that the customer has had already.")]


class RewrittenResponse(Struct, frozen=True, kw_only=True, rename="camel"):
    """How much it was."""

    earned_badge_count: Annotated[int, Meta(description="Earned badges, revoked ones too.")]
    enrolment_count: Annotated[int, Meta(description="Enrolments, revoked ones too.")]
    identifier_count: int
    request_count: Annotated[int, Meta(description="Requests whose audience named her.")]


class ErasedResponse(RewrittenResponse, frozen=True, kw_only=True, rename="camel"):
    """What was erased."""

    customer_id: int


class MergeBody(Struct, frozen=True, kw_only=True):
    """Who is merged into whom."""

    source: Annotated[Customer, Meta(description="Has nothing afterwards.")] = msgspec.field(name="from")
    into: Annotated[Customer, Meta(description="Has all afterwards.")]


class MergedResponse(RewrittenResponse, frozen=True, kw_only=True, rename="camel"):
    """What has moved."""

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
    """Each distinct identifier and whose it is; notes those that are said to be of two customers."""
    sent = body.identifiers or []
    if len(sent) > config.max_customers_per_request:
        field_errors.add(
            "identifiers",
            f"identifiers has {len(sent)} entries; one call takes at most {config.max_customers_per_request} "
            "(COCKADE_MAX_CUSTOMERS_PER_REQUEST). Send the rest in further calls.",
        )
        return {}
    owned: dict[Identifier, CustomerId] = {}
    for place, entry in enumerate(sent):
        # After a type fault, None stands where something could not be read; that has been noted.
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
                    f"This {named.kind} is another customer's in the same body.",
                )
    return owned


def identifiers_response(counts: IdentifierCounts) -> IdentifiersResponse:
    """What became of them."""
    return IdentifiersResponse(
        total_count=counts.created + counts.updated + counts.unchanged,
        created_count=counts.created,
        updated_count=counts.updated,
        unchanged_count=counts.unchanged,
    )


async def customer_of(
    request: ApiRequest, segment: str, header: str | None, customers: CustomerService
) -> CustomerId:
    """The customer whom a segment of the path names: her id or, with the header, an identifier of its kind.

    Raises InvalidInput where she cannot be named so, and CustomerNotFound where nobody has the identifier.
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
        segment = unquote(segment)  # a path with an encoded slash is left encoded, see `ExchangeLayer`
    return await customers.find(request.user, identifier(kind, segment))


def erased_response(customer: CustomerId, rewritten: CustomerDataResult) -> ErasedResponse:
    """What was erased."""
    return ErasedResponse(customer_id=customer, **counts_of(rewritten))


def to_merge(body: MergeBody, field_errors: FieldErrors) -> tuple[CustomerId, CustomerId]:
    """Who is merged into whom."""
    [source], [into] = (
        one_customer(sent, field_errors, name) or [CustomerId(0)]
        for sent, name in ((body.source, "from"), (body.into, "into"))
    )
    if source and source == into:
        field_errors.add("into", "A customer is not merged into herself.")
    return source, into


def merged_response(source: CustomerId, into: CustomerId, rewritten: CustomerDataResult) -> MergedResponse:
    """What has moved."""
    return MergedResponse(source=source, into=into, **counts_of(rewritten))


def counts_of(rewritten: CustomerDataResult) -> dict[str, int]:
    """As the fields of both answers."""
    return {
        "earned_badge_count": rewritten.earned_badges,
        "enrolment_count": rewritten.enrolments,
        "identifier_count": rewritten.identifiers,
        "request_count": rewritten.requests,
    }
