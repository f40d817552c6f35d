"""Route handlers of identifiers, and of erasing and merging customers."""

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
    summary="Store identifiers of customers",
    description="A path can then use an identifier instead of the customer id, with the header `X-CAP-CUSTOMER-IDENTIFIER`. An identifier of another customer is moved.",
    tags=["Customers"],
    responses=error_responses(errors.InvalidInput, errors.PermissionDenied, *BODY_ERRORS)
    | {200: example("A new and a known identifier", Envelope[IdentifiersResponse], EXAMPLE_RESPONSE)},
)
async def put_identifiers(
    request: ApiRequest,
    data: Annotated[
        JsonBody[IdentifiersBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE)])
    ],
    customers: NamedDependency[CustomerService],
) -> Envelope[IdentifiersResponse]:
    """Store all of them or none."""
    owned = data.read(lambda body, field_errors: to_identifiers(body, request.config, field_errors))
    return Envelope(identifiers_response(await customers.put_identifiers(request.user, owned)))


@delete(
    "/customers/{customer_id:str}",
    operation_id="eraseCustomer",
    summary="Erase a customer",
    description="Deletes the customer's earned badges, enrolments and identifiers, and replaces the customer by 0 in the audiences of requests. This cannot be undone. Repeating it has no effect.",
    status_code=200,
    tags=["Customers"],
    responses=error_responses(
        errors.InvalidInput,
        errors.CustomerNotFound,
        errors.PermissionDenied,
        errors.ServiceBusy,
        errors.OutcomeUnknown,
    )
    | {200: example("The erased data", Envelope[ErasedResponse], EXAMPLE_ERASED)},
)
async def erase_customer(
    request: ApiRequest,
    customer_id: PathCustomer,
    customers: NamedDependency[CustomerService],
    customer_data: NamedDependency[CustomerDataService],
    identifier: IdentifierHeader = None,
) -> Envelope[ErasedResponse]:
    """Erase a customer."""
    customer = await customer_of(request, customer_id, identifier, customers)
    return Envelope(erased_response(customer, await customer_data.erase(request.user, customer)))


@post(
    "/customers/merge",
    operation_id="mergeCustomers",
    summary="Merge two customers",
    description="Moves everything of `from` to `into`: earned badges, enrolments, identifiers, and its place in the audiences of requests. This cannot be undone. Repeating it has no effect.",
    status_code=200,
    tags=["Customers"],
    responses=error_responses(
        errors.InvalidInput,
        errors.PermissionDenied,
        errors.BodyTooLarge,
        errors.ServiceBusy,
        errors.OutcomeUnknown,
    )
    | {200: example("The moved data", Envelope[MergedResponse], EXAMPLE_MERGED)},
)
async def merge_customers(
    request: ApiRequest,
    data: Annotated[
        JsonBody[MergeBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE_MERGE)])
    ],
    customer_data: NamedDependency[CustomerDataService],
) -> Envelope[MergedResponse]:
    """Merge two customers."""
    source, into = data.read(to_merge)
    return Envelope(merged_response(source, into, await customer_data.merge(request.user, source, into)))
