"""Route handlers of webhooks."""

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
        description="Webhook id, 24 hex digits.",
        examples=[Example(summary="A webhook", value="0123456789abcdef01234567")],
    ),
]
FINDING = (errors.WebhookNotFound, errors.InvalidInput)
CHANGING = (*FINDING, errors.PermissionDenied)


@post(
    "/webhooks",
    operation_id="createWebhook",
    summary="Create a webhook",
    description="Future events of the org are delivered to its URL, signed according to Standard Webhooks. Only this response contains the secret.",
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
    """Create a webhook."""
    return Envelope(webhook_with_secret(*await webhooks.create(request.user, data.read(to_webhook))))


@get(
    "/webhooks",
    operation_id="listWebhooks",
    summary="List webhooks",
    description="All webhooks of the org, oldest first.",
    tags=["Events"],
    responses=error_responses()
    | {200: example("One webhook", Envelope[WebhookList], WebhookList([EXAMPLE_RESPONSE]))},
)
async def list_webhooks(
    request: ApiRequest, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookList]:
    """Return all webhooks."""
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
    """Return one webhook."""
    return Envelope(webhook_response(await webhooks.get(request.user.org_id, read_webhook_id(webhook_id))))


@put(
    "/webhooks/{webhook_id:str}",
    operation_id="updateWebhook",
    summary="Change a webhook",
    description="Missing fields keep their values. `isActive` disables or enables it; `after` makes it continue from another cursor of the feed, earlier or later.",
    tags=["Events"],
    responses=error_responses(*CHANGING, *BODY_ERRORS),
)
async def update_webhook(
    request: ApiRequest,
    webhook_id: PathWebhook,
    data: Annotated[
        JsonBody[WebhookChangeBody],
        Body(examples=[Example(summary="Disabled", value=EXAMPLE_WEBHOOK_CHANGE)]),
    ],
    webhooks: NamedDependency[WebhookService],
) -> Envelope[WebhookResponse]:
    """Return the changed webhook."""
    change = data.read(to_webhook_change)
    webhook = await webhooks.update(request.user, read_webhook_id(webhook_id), change)
    return Envelope(webhook_response(webhook))


@delete(
    "/webhooks/{webhook_id:str}",
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    description="Also deletes its delivery log.",
    status_code=200,
    tags=["Events"],
    responses=error_responses(*CHANGING),
)
async def delete_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[DeletedResponse]:
    """Delete a webhook."""
    found = read_webhook_id(webhook_id)
    await webhooks.delete(request.user, found)
    return Envelope(DeletedResponse(found))


@post(
    "/webhooks/{webhook_id:str}/rotateSecret",
    operation_id="rotateWebhookSecret",
    summary="Rotate the secret of a webhook",
    description="For 24 hours, deliveries are signed with both the new and the old secret.",
    status_code=200,
    tags=["Events"],
    responses=error_responses(*CHANGING),
)
async def rotate_webhook_secret(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookWithSecret]:
    """Return the webhook with its new secret."""
    rotated = await webhooks.rotate_secret(request.user, read_webhook_id(webhook_id))
    return Envelope(webhook_with_secret(*rotated))


@post(
    "/webhooks/{webhook_id:str}/test",
    operation_id="testWebhook",
    summary="Send a test event",
    description="Sends a `webhookTest` event immediately, whether or not the webhook is active, and returns the result.",
    status_code=200,
    tags=["Events"],
    responses=error_responses(*CHANGING)
    | {200: example("The delivery failed", Envelope[AttemptResponse], EXAMPLE_ATTEMPT)},
)
async def test_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[AttemptResponse]:
    """Return the result."""
    attempt = await webhooks.send_test(request.user.org_id, read_webhook_id(webhook_id))
    return Envelope(attempt_response(attempt))


@get(
    "/webhooks/{webhook_id:str}/deliveries",
    operation_id="listDeliveries",
    summary="List delivery attempts",
    description="The delivery log of a webhook, newest first. Send the `next` of a page as `after` to get the next page.",
    tags=["Events"],
    responses=error_responses(*FINDING)
    | {200: example("A failed attempt", Envelope[AttemptPage], AttemptPage([EXAMPLE_ATTEMPT], None))},
)
async def list_deliveries(
    request: ApiRequest,
    webhook_id: PathWebhook,
    webhooks: NamedDependency[WebhookService],
    after: Annotated[str | None, QueryParameter(description="The `next` of the previous page.")] = None,
    only_failed: Annotated[
        bool, QueryParameter(name="onlyFailed", description="Only failed attempts.")
    ] = False,
    size: Size = 10,
) -> Envelope[AttemptPage]:
    """Return a page of attempts."""
    found = await webhooks.list_attempts(
        request.user.org_id,
        read_webhook_id(webhook_id),
        read_attempt(after),
        size + 1,
        only_failed=only_failed,
    )
    return Envelope(attempt_page(found, size))
