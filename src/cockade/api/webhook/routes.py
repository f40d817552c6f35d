"""The feed of events and webhooks: the handlers. Their wire structs are in `cockade.http.events`."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from cockade import errors
from cockade.api.parameters import Size
from cockade.api.webhook.schemas import (
    EXAMPLE_ATTEMPT,
    EXAMPLE_RESPONSE,
    EXAMPLE_WEBHOOK,
    EXAMPLE_WEBHOOK_CHANGE,
    AttemptPage,
    AttemptResponse,
    DeletedResponse,
    WebhookBody,
    WebhookChangeBody,
    WebhookList,
    WebhookResponse,
    WebhookWithSecret,
    attempt_page,
    attempt_response,
    read_attempt,
    read_webhook_id,
    to_webhook,
    to_webhook_change,
    webhook_response,
    webhook_with_secret,
)
from cockade.http.envelope import Envelope
from cockade.http.errors import BODY_ERRORS, error_responses, example
from cockade.http.request import ApiRequest, JsonBody
from cockade.webhook.service import WebhookService

PathWebhook = Annotated[
    str,
    PathParameter(
        description="The webhook's id, 24 hex digits.",
        examples=[Example(summary="A webhook", value="0123456789abcdef01234567")],
    ),
]
FINDING = (errors.WebhookNotFound, errors.InvalidInput)
CHANGING = (*FINDING, errors.PermissionDenied)


@post(
    "/webhooks",
    operation_id="createWebhook",
    summary="Create a webhook",
    description="From now on the org's events are delivered to its URL, signed as Standard Webhooks says. The secret is "
    "in this answer and in no other.",
    tags=["Events"],
    responses=error_responses(
        errors.InvalidInput, errors.PermissionDenied, errors.TooManyWebhooks, errors.OrgNotFound, *BODY_ERRORS
    ),
)
async def create_webhook(
    request: ApiRequest,
    data: Annotated[
        JsonBody[WebhookBody], Body(examples=[Example(summary="A webhook", value=EXAMPLE_WEBHOOK)])
    ],
    webhooks: NamedDependency[WebhookService],
) -> Envelope[WebhookWithSecret]:
    """Make a webhook."""
    return Envelope(webhook_with_secret(*await webhooks.create(request.user, data.read(to_webhook))))


@get(
    "/webhooks",
    operation_id="listWebhooks",
    summary="List webhooks",
    description="All of the org, oldest first.",
    tags=["Events"],
    responses=error_responses()
    | {200: example("One webhook", Envelope[WebhookList], WebhookList([EXAMPLE_RESPONSE]))},
)
async def list_webhooks(
    request: ApiRequest, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookList]:
    """All webhooks."""
    found = await webhooks.list_all(request.user.org_id)
    return Envelope(WebhookList([webhook_response(webhook) for webhook in found]))


@get(
    "/webhooks/{webhook_id:str}",
    operation_id="getWebhook",
    summary="Get a webhook",
    tags=["Events"],
    responses=error_responses(*FINDING)
    | {200: example("A webhook", Envelope[WebhookResponse], EXAMPLE_RESPONSE)},
)
async def get_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookResponse]:
    """One webhook."""
    return Envelope(webhook_response(await webhooks.get(request.user.org_id, read_webhook_id(webhook_id))))


@put(
    "/webhooks/{webhook_id:str}",
    operation_id="updateWebhook",
    summary="Change a webhook",
    description="Fields that are absent stay as they are. `isActive` switches it off and on; `after` makes it go on from "
    "another place in the feed, earlier or later.",
    tags=["Events"],
    responses=error_responses(*CHANGING, *BODY_ERRORS),
)
async def update_webhook(
    request: ApiRequest,
    webhook_id: PathWebhook,
    data: Annotated[
        JsonBody[WebhookChangeBody],
        Body(examples=[Example(summary="Switched off", value=EXAMPLE_WEBHOOK_CHANGE)]),
    ],
    webhooks: NamedDependency[WebhookService],
) -> Envelope[WebhookResponse]:
    """The webhook as it is then."""
    change = data.read(to_webhook_change)
    webhook = await webhooks.update(request.user, read_webhook_id(webhook_id), change)
    return Envelope(webhook_response(webhook))


@delete(
    "/webhooks/{webhook_id:str}",
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    description="And its delivery log.",
    status_code=200,
    tags=["Events"],
    responses=error_responses(*CHANGING),
)
async def delete_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[DeletedResponse]:
    """It is gone."""
    found = read_webhook_id(webhook_id)
    await webhooks.delete(request.user, found)
    return Envelope(DeletedResponse(found))


@post(
    "/webhooks/{webhook_id:str}/rotateSecret",
    operation_id="rotateWebhookSecret",
    summary="Change the secret of a webhook",
    description="For 24 hours deliveries are signed with the new and with the old secret.",
    status_code=200,
    tags=["Events"],
    responses=error_responses(*CHANGING),
)
async def rotate_webhook_secret(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookWithSecret]:
    """The webhook with its new secret."""
    rotated = await webhooks.rotate_secret(request.user, read_webhook_id(webhook_id))
    return Envelope(webhook_with_secret(*rotated))


@post(
    "/webhooks/{webhook_id:str}/test",
    operation_id="testWebhook",
    summary="Try a webhook",
    description="Sends a `webhookTest` to it at once, whether or not it is active, and answers what came of that.",
    status_code=200,
    tags=["Events"],
    responses=error_responses(*CHANGING)
    | {200: example("It was not taken", Envelope[AttemptResponse], EXAMPLE_ATTEMPT)},
)
async def test_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[AttemptResponse]:
    """What came of it."""
    attempt = await webhooks.send_test(request.user.org_id, read_webhook_id(webhook_id))
    return Envelope(attempt_response(attempt))


@get(
    "/webhooks/{webhook_id:str}/deliveries",
    operation_id="listDeliveries",
    summary="What became of deliveries",
    description="The delivery log of a webhook: one entry per attempt, newest first. Send the `next` of a page as "
    "`after` for the page that follows.",
    tags=["Events"],
    responses=error_responses(*FINDING)
    | {200: example("One that was not taken", Envelope[AttemptPage], AttemptPage([EXAMPLE_ATTEMPT], None))},
)
async def list_deliveries(
    request: ApiRequest,
    webhook_id: PathWebhook,
    webhooks: NamedDependency[WebhookService],
    after: Annotated[str | None, QueryParameter(description="The `next` of the page before.")] = None,
    only_failed: Annotated[
        bool, QueryParameter(name="onlyFailed", description="Only those that were not delivered.")
    ] = False,
    size: Size = 10,
) -> Envelope[AttemptPage]:
    """A page of attempts."""
    found = await webhooks.list_attempts(
        request.user.org_id,
        read_webhook_id(webhook_id),
        read_attempt(after),
        size + 1,
        only_failed=only_failed,
    )
    return Envelope(attempt_page(found, size))
