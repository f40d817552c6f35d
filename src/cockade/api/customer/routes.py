"""Identifiers of customers, erasing and merging customers: the handlers. Its wire structs are in `cockade.http.customers`."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.api.customer.schemas import (
    EXAMPLE,
    EXAMPLE_ERASED,
    EXAMPLE_MERGE,
    EXAMPLE_MERGED,
    EXAMPLE_RESPONSE,
    ErasedResponse,
    IdentifierHeader,
    IdentifiersBody,
    IdentifiersResponse,
    MergeBody,
    MergedResponse,
    customer_of,
    erased_response,
    identifiers_response,
    merged_response,
    to_identifiers,
    to_merge,
)
from cockade.api.customer_badge.routes import PathCustomer
from cockade.customer.service import CustomerService
from cockade.customer_data.service import CustomerDataService
from cockade.http.envelope import Envelope
from cockade.http.errors import BODY_ERRORS, error_responses, example
from cockade.http.request import ApiRequest, JsonBody


@put(
    "/customers/identifiers",
    operation_id="putIdentifiers",
    summary="Name customers by identifiers",
    description="From then on a path may name them so, with the header `X-CAP-CUSTOMER-IDENTIFIER`. "
    "An identifier that was another customer's moves.",
    tags=["Customers"],
    responses=error_responses(errors.InvalidInput, errors.PermissionDenied, *BODY_ERRORS)
    | {200: example("One new, one known", Envelope[IdentifiersResponse], EXAMPLE_RESPONSE)},
)
async def put_identifiers(
    request: ApiRequest,
    data: Annotated[
        JsonBody[IdentifiersBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE)])
    ],
    customers: NamedDependency[CustomerService],
) -> Envelope[IdentifiersResponse]:
    """All of them or none."""
    owned = data.read(lambda body, field_errors: to_identifiers(body, request.config, field_errors))
    return Envelope(identifiers_response(await customers.put_identifiers(request.user, owned)))


@delete(
    "/customers/{customer_id:str}",
    operation_id="eraseCustomer",
    summary="Erase a customer",
    description="Deletes her earned badges, enrolments and identifiers, and takes her out of what requests did, where 0 "
    "stands in her place. Cannot be undone; again is the same.",
    status_code=200,
    tags=["Customers"],
    responses=error_responses(
        errors.InvalidInput,
        errors.CustomerNotFound,
        errors.PermissionDenied,
        errors.ServiceBusy,
        errors.OutcomeUnknown,
    )
    | {200: example("What was erased", Envelope[ErasedResponse], EXAMPLE_ERASED)},
)
async def erase_customer(
    request: ApiRequest,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    customer_data: NamedDependency[CustomerDataService],
    identifier: IdentifierHeader = None,
) -> Envelope[ErasedResponse]:
    """All that names her."""
    customer = await customer_of(request, customer_id, identifier, customers)
    return Envelope(erased_response(customer, await customer_data.erase(request.user, customer)))


@post(
    "/customers/merge",
    operation_id="mergeCustomers",
    summary="Merge two customers",
    description="All that `from` has becomes the property of `into`: earned badges, enrolments, identifiers, and her place "
    "in what requests did. Cannot be undone; again is the same.",
    status_code=200,
    tags=["Customers"],
    responses=error_responses(
        errors.InvalidInput,
        errors.PermissionDenied,
        errors.BodyTooLarge,
        errors.ServiceBusy,
        errors.OutcomeUnknown,
    )
    | {200: example("What has moved", Envelope[MergedResponse], EXAMPLE_MERGED)},
)
async def merge_customers(
    request: ApiRequest,
    data: Annotated[
        JsonBody[MergeBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE_MERGE)])
    ],
    customer_data: NamedDependency[CustomerDataService],
) -> Envelope[MergedResponse]:
    """One customer of two."""
    source, into = data.read(to_merge)
    return Envelope(merged_response(source, into, await customer_data.merge(request.user, source, into)))
