"""Identifiers of customers, erasing and merging customers: the handlers. Its wire structs are in `cockade.http.customers`."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.customer.service import CustomerService
from cockade.http.customers import (
    EXAMPLE,
    EXAMPLE_ANSWER,
    EXAMPLE_ERASED,
    EXAMPLE_MERGE,
    EXAMPLE_MERGED,
    ErasedAnswer,
    IdentifierHeader,
    IdentifiersAnswer,
    IdentifiersBody,
    MergeBody,
    MergedAnswer,
    customer_of,
    erased_answer,
    identifiers_answer,
    merged_answer,
    to_identifiers,
    to_merge,
)
from cockade.http.errors import BODIES, documented, example
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.routes.holding import PathCustomer
from cockade.http.wire import Envelope
from cockade.rewriting.service import RewritingService


@put(
    "/customers/identifiers",
    operation_id="putIdentifiers",
    summary="Name customers by identifiers",
    description="From then on a path may name them so, with the header `X-CAP-CUSTOMER-IDENTIFIER`. "
    "An identifier that was another customer's moves.",
    tags=["Customers"],
    responses=documented(errors.InvalidInput, errors.NotAllowed, *BODIES)
    | {200: example("One new, one known", Envelope[IdentifiersAnswer], EXAMPLE_ANSWER)},
)
async def put_identifiers(
    request: ApiRequest,
    data: Annotated[
        JsonBody[IdentifiersBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE)])
    ],
    customers: NamedDependency[CustomerService],
) -> Envelope[IdentifiersAnswer]:
    """All of them or none."""
    owned = data.read(lambda body, faults: to_identifiers(body, request.config, faults))
    return Envelope(identifiers_answer(await customers.put_identifiers(request.user, owned)))


@delete(
    "/customers/{customer_id:str}",
    operation_id="eraseCustomer",
    summary="Erase a customer",
    description="Deletes her earned badges, enrolments and identifiers, and takes her out of what requests did, where 0 "
    "stands in her place. Cannot be undone; again is the same.",
    status_code=200,
    tags=["Customers"],
    responses=documented(
        errors.InvalidInput, errors.CustomerNotFound, errors.NotAllowed, errors.Busy, errors.OutcomeUnknown
    )
    | {200: example("What was erased", Envelope[ErasedAnswer], EXAMPLE_ERASED)},
)
async def erase_customer(
    request: ApiRequest,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    rewriting: NamedDependency[RewritingService],
    identifier: IdentifierHeader = None,
) -> Envelope[ErasedAnswer]:
    """All that names her."""
    customer = await customer_of(request, customer_id, identifier, customers)
    return Envelope(erased_answer(customer, await rewriting.erase(request.user, customer)))


@post(
    "/customers/merge",
    operation_id="mergeCustomers",
    summary="Merge two customers",
    description="All that `from` has becomes the property of `into`: earned badges, enrolments, identifiers, and her place "
    "in what requests did. Cannot be undone; again is the same.",
    status_code=200,
    tags=["Customers"],
    responses=documented(
        errors.InvalidInput, errors.NotAllowed, errors.BodyTooLarge, errors.Busy, errors.OutcomeUnknown
    )
    | {200: example("What has moved", Envelope[MergedAnswer], EXAMPLE_MERGED)},
)
async def merge_customers(
    request: ApiRequest,
    data: Annotated[
        JsonBody[MergeBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE_MERGE)])
    ],
    rewriting: NamedDependency[RewritingService],
) -> Envelope[MergedAnswer]:
    """One customer of two."""
    source, into = data.read(to_merge)
    return Envelope(merged_answer(source, into, await rewriting.merge(request.user, source, into)))
