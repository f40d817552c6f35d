"""Customers on the wire: the identifiers that a body brings, and the customer whom a path names."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

import msgspec
from litestar.params import HeaderParameter
from msgspec import Meta, Struct

from cockade import ids
from cockade.config import Config
from cockade.customer.model import Identifier, IdentifierCounts, IdentifierKind
from cockade.customer.rules import identifier
from cockade.customer.service import CustomerService
from cockade.errors import MALFORMED, Fault, InvalidInput
from cockade.http.body import Faults, must_be_one_of
from cockade.http.earnings import NO_CUSTOMER, Customer, one_customer
from cockade.http.requests import ApiRequest
from cockade.http.wire import Text
from cockade.ids import CustomerId
from cockade.rewriting.model import Rewritten

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


class IdentifiersAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of them."""

    total_count: Annotated[int, Meta(description="Distinct identifiers.")]
    created_count: Annotated[int, Meta(description="Those that nobody had before.")]
    updated_count: Annotated[int, Meta(description="Those that another customer had.")]
    unchanged_count: Annotated[int, Meta(description="Those that the customer has had already.")]


class RewrittenAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """How much it was."""

    earned_badge_count: Annotated[int, Meta(description="Earned badges, revoked ones too.")]
    enrolment_count: Annotated[int, Meta(description="Enrolments, revoked ones too.")]
    identifier_count: int
    request_count: Annotated[int, Meta(description="Requests whose audience named her.")]


class ErasedAnswer(RewrittenAnswer, frozen=True, kw_only=True, rename="camel"):
    """What was erased."""

    customer_id: int


class MergeBody(Struct, frozen=True, kw_only=True):
    """Who is merged into whom."""

    source: Annotated[Customer, Meta(description="Has nothing afterwards.")] = msgspec.field(name="from")
    into: Annotated[Customer, Meta(description="Has all afterwards.")]


class MergedAnswer(RewrittenAnswer, frozen=True, kw_only=True, rename="camel"):
    """What has moved."""

    source: int = msgspec.field(name="from")
    into: int


EXAMPLE_ERASED = ErasedAnswer(
    customer_id=62090013, earned_badge_count=3, enrolment_count=1, identifier_count=2, request_count=4
)
EXAMPLE_MERGE = {"from": 62090013, "into": 553162563}
EXAMPLE_MERGED = MergedAnswer(
    source=62090013,
    into=553162563,
    earned_badge_count=3,
    enrolment_count=1,
    identifier_count=2,
    request_count=4,
)

EXAMPLE_ANSWER = IdentifiersAnswer(total_count=2, created_count=1, updated_count=0, unchanged_count=1)


def to_identifiers(body: IdentifiersBody, config: Config, faults: Faults) -> dict[Identifier, CustomerId]:
    """Each distinct identifier and whose it is; notes those that are said to be of two customers."""
    sent = body.identifiers or []
    if len(sent) > config.customers_max:
        faults.note(
            "identifiers",
            f"identifiers has {len(sent)} entries; one call takes at most {config.customers_max} "
            "(COCKADE_CUSTOMERS_MAX). Send the rest in further calls.",
        )
        return {}
    owned: dict[Identifier, CustomerId] = {}
    for place, entry in enumerate(sent):
        # After a type fault, None stands where something could not be read; that has been noted.
        customer = entry.customer_id and ids.customer_id(entry.customer_id)
        if entry.customer_id and not customer:
            faults.note(f"identifiers[{place}].customerId", NO_CUSTOMER)
        if entry.value and not entry.value.strip():
            faults.note(f"identifiers[{place}].value", "value is mandatory.")
        elif customer and entry.type and entry.value:
            named = identifier(entry.type, entry.value)
            if owned.setdefault(named, customer) != customer:
                faults.note(
                    f"identifiers[{place}].value",
                    f"This {named.kind} is another customer's in the same body.",
                )
    return owned


def identifiers_answer(counts: IdentifierCounts) -> IdentifiersAnswer:
    """What became of them."""
    return IdentifiersAnswer(
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
            raise InvalidInput([Fault(MALFORMED, NO_CUSTOMER, "customerId")])
        return customer
    kind = _KINDS.get(header.strip().lower())
    if kind is None:
        raise InvalidInput([Fault(MALFORMED, must_be_one_of(IdentifierKind), IDENTIFIER_HEADER)])
    if request.scope["path"].encode() == request.scope["raw_path"]:
        segment = unquote(segment)  # a path with an encoded slash is left encoded, see `ExchangeLayer`
    return await customers.find(request.user, identifier(kind, segment))


def erased_answer(customer: CustomerId, rewritten: Rewritten) -> ErasedAnswer:
    """What was erased."""
    return ErasedAnswer(customer_id=customer, **counts_of(rewritten))


def to_merge(body: MergeBody, faults: Faults) -> tuple[CustomerId, CustomerId]:
    """Who is merged into whom."""
    [source], [into] = (
        one_customer(sent, faults, name) or [CustomerId(0)]
        for sent, name in ((body.source, "from"), (body.into, "into"))
    )
    if source and source == into:
        faults.note("into", "A customer is not merged into herself.")
    return source, into


def merged_answer(source: CustomerId, into: CustomerId, rewritten: Rewritten) -> MergedAnswer:
    """What has moved."""
    return MergedAnswer(source=source, into=into, **counts_of(rewritten))


def counts_of(rewritten: Rewritten) -> dict[str, int]:
    """As the fields of both answers."""
    return {
        "earned_badge_count": rewritten.earned_badges,
        "enrolment_count": rewritten.enrolments,
        "identifier_count": rewritten.identifiers,
        "request_count": rewritten.requests,
    }
