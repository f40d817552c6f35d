"""Identifiers of customers: the handler. Its wire structs are in `cockade.http.customers`."""

from __future__ import annotations

from typing import Annotated

from litestar import put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.config import Config
from cockade.customer.service import CustomerService
from cockade.http.customers import (
    EXAMPLE,
    EXAMPLE_ANSWER,
    IdentifiersAnswer,
    IdentifiersBody,
    identifiers_answer,
    to_identifiers,
)
from cockade.http.errors import BODIES, documented, example
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.wire import Envelope


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
    config: NamedDependency[Config],
) -> Envelope[IdentifiersAnswer]:
    """All of them or none."""
    owned = data.read(lambda body, faults: to_identifiers(body, config, faults))
    return Envelope(identifiers_answer(await customers.put_identifiers(request.user, owned)))
