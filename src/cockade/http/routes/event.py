"""The feed of events and webhooks: the handlers. Their wire structs are in `cockade.http.events`."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body, PathParameter, QueryParameter

from cockade import errors
from cockade.event.model import START
from cockade.event.service import EventService
from cockade.http.errors import BODIES, documented, example
from cockade.http.events import (
    EXAMPLE_ANSWER,
    EXAMPLE_ATTEMPT,
    EXAMPLE_PAGE,
    EXAMPLE_WEBHOOK,
    EXAMPLE_WEBHOOK_CHANGE,
    LATEST,
    AttemptAnswer,
    AttemptPage,
    DeletedAnswer,
    EventPage,
    WebhookAnswer,
    WebhookBody,
    WebhookChangeBody,
    WebhookList,
    WebhookWithSecret,
    attempt_answer,
    attempt_page,
    event_page,
    read_attempt,
    read_cursor,
    read_webhook_id,
    to_webhook,
    to_webhook_change,
    webhook_answer,
    webhook_with_secret,
)
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.routes.badge import Size
from cockade.http.wire import Envelope
from cockade.webhook.service import WebhookService

Limit = Annotated[int, QueryParameter(ge=1, le=1000, description="So many events at most.")]
PathWebhook = Annotated[
    str,
    PathParameter(
        description="The webhook's id, 24 hex digits.",
        examples=[Example(summary="A webhook", value="0123456789abcdef01234567")],
    ),
]
FINDING = (errors.WebhookNotFound, errors.InvalidInput)
CHANGING = (*FINDING, errors.NotAllowed)


@get(
    "/events",
    operation_id="listEvents",
    summary="What happened, in order",
    description="The feed of the org's events: who earned, was enrolled, or had what taken back, whose badge has ended, and which requests were "
    "carried out. Keep the `next` of an answer and send it as `after` the next time: nothing is skipped, and nothing told "
    "twice. `latest` in its place answers the end of the feed.",
    tags=["Events"],
    responses=documented(errors.InvalidInput)
    | {200: example("A badge was earned", Envelope[EventPage], EXAMPLE_PAGE)},
)
async def list_events(
    request: ApiRequest,
    events: NamedDependency[EventService],
    after: Annotated[
        str | None,
        QueryParameter(description="The `next` of the answer before; from the beginning when absent."),
    ] = None,
    limit: Limit = 100,
) -> Envelope[EventPage]:
    """A stretch of the feed."""
    org_id = request.user.org_id
    place = START if after is None else None if after == LATEST else read_cursor(after)
    page = await events.read(org_id, place or await events.find_end(org_id), limit)
    return Envelope(event_page(page))


@post(
    "/webhooks",
    operation_id="createWebhook",
    summary="Create a webhook",
    description="From now on the org's events are delivered to its URL, signed as Standard Webhooks says. The secret is "
    "in this answer and in no other.",
    tags=["Events"],
    responses=documented(
        errors.InvalidInput, errors.NotAllowed, errors.TooManyWebhooks, errors.OrgNotFound, *BODIES
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
    responses=documented()
    | {200: example("One webhook", Envelope[WebhookList], WebhookList([EXAMPLE_ANSWER]))},
)
async def list_webhooks(
    request: ApiRequest, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookList]:
    """All webhooks."""
    found = await webhooks.list_all(request.user.org_id)
    return Envelope(WebhookList([webhook_answer(webhook) for webhook in found]))


@get(
    "/webhooks/{webhook_id:str}",
    operation_id="getWebhook",
    summary="Get a webhook",
    tags=["Events"],
    responses=documented(*FINDING) | {200: example("A webhook", Envelope[WebhookAnswer], EXAMPLE_ANSWER)},
)
async def get_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[WebhookAnswer]:
    """One webhook."""
    return Envelope(webhook_answer(await webhooks.get(request.user.org_id, read_webhook_id(webhook_id))))


@put(
    "/webhooks/{webhook_id:str}",
    operation_id="updateWebhook",
    summary="Change a webhook",
    description="Fields that are absent stay as they are. `isActive` switches it off and on; `after` makes it go on from "
    "another place in the feed, earlier or later.",
    tags=["Events"],
    responses=documented(*CHANGING, *BODIES),
)
async def update_webhook(
    request: ApiRequest,
    webhook_id: PathWebhook,
    data: Annotated[
        JsonBody[WebhookChangeBody],
        Body(examples=[Example(summary="Switched off", value=EXAMPLE_WEBHOOK_CHANGE)]),
    ],
    webhooks: NamedDependency[WebhookService],
) -> Envelope[WebhookAnswer]:
    """The webhook as it is then."""
    change = data.read(to_webhook_change)
    webhook = await webhooks.update(request.user, read_webhook_id(webhook_id), change)
    return Envelope(webhook_answer(webhook))


@delete(
    "/webhooks/{webhook_id:str}",
    operation_id="deleteWebhook",
    summary="Delete a webhook",
    description="And its delivery log.",
    status_code=200,
    tags=["Events"],
    responses=documented(*CHANGING),
)
async def delete_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[DeletedAnswer]:
    """It is gone."""
    found = read_webhook_id(webhook_id)
    await webhooks.delete(request.user, found)
    return Envelope(DeletedAnswer(found))


@post(
    "/webhooks/{webhook_id:str}/rotateSecret",
    operation_id="rotateWebhookSecret",
    summary="Change the secret of a webhook",
    description="For 24 hours deliveries are signed with the new and with the old secret.",
    status_code=200,
    tags=["Events"],
    responses=documented(*CHANGING),
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
    responses=documented(*CHANGING)
    | {200: example("It was not taken", Envelope[AttemptAnswer], EXAMPLE_ATTEMPT)},
)
async def test_webhook(
    request: ApiRequest, webhook_id: PathWebhook, webhooks: NamedDependency[WebhookService]
) -> Envelope[AttemptAnswer]:
    """What came of it."""
    attempt = await webhooks.send_test(request.user.org_id, read_webhook_id(webhook_id))
    return Envelope(attempt_answer(attempt))


@get(
    "/webhooks/{webhook_id:str}/deliveries",
    operation_id="listDeliveries",
    summary="What became of deliveries",
    description="The delivery log of a webhook: one entry per attempt, newest first. Send the `next` of a page as "
    "`after` for the page that follows.",
    tags=["Events"],
    responses=documented(*FINDING)
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
