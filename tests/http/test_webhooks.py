"""Webhooks by the API, and what the worker does with them: where it does not go, what it takes for an end, what it signs."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from cockade import clock
from cockade.app import Services
from cockade.audit.model import WORKER, CommandLine
from cockade.errors import OrgNotFound
from cockade.event.model import EventKind
from cockade.ids import OrgId
from cockade.webhook.delivery import WebhookDelivery
from cockade.webhook.model import WEBHOOKS_MAX, WebhookChange, WebhookDraft
from cockade.webhook.sender import WebhookClient
from cockade.webhook.service import WebhookService
from tests.http.answers import failure, message, success
from tests.receiver import Receiver, Reply
from tests.support import Org

URL = "https://hooks.example.org/badges"
NETWORKS = "127.0.0.0/8"


def allowing(org: Org, **settings: Any) -> Services:
    """The org's services, under which events may be delivered to this machine."""
    config = msgspec.structs.replace(
        org.services.config, webhook_allowed_networks=NETWORKS, webhook_timeout_s=1, **settings
    )
    webhooks = WebhookService(org.services.database, clock.now, config)
    return msgspec.structs.replace(org.services, config=config, webhooks=webhooks)


@asynccontextmanager
async def delivering(services: Services, now: Callable[[], datetime] = clock.now) -> AsyncGenerator[None]:
    """A worker that delivers."""
    stop = asyncio.Event()
    delivery = WebhookDelivery(services.database, now, services.events, services.config)
    task = asyncio.create_task(delivery.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def until(is_so: Callable[[], Any]) -> Any:
    """Wait until the function returns a true value, and return it."""
    async with asyncio.timeout(30):
        while True:
            found = is_so()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


async def make(org: Org, url: str, **fields: Any) -> dict[str, Any]:
    """A webhook at this machine, with its secret."""
    draft = WebhookDraft(
        url=url,
        description="",
        kinds=fields.get("kinds", list(EventKind)),
        badge_ids=fields.get("badge_ids"),
        after=None,
    )
    webhook, secret = await allowing(org).webhooks.create(org.caller, draft)
    return {"id": webhook.webhook_id, "secret": secret}


async def shown(org: Org, webhook: dict[str, Any]) -> dict[str, Any]:
    return success(await org.client.get(f"/webhooks/{webhook['id']}"))


async def log(org: Org, webhook: dict[str, Any], **params: Any) -> dict[str, Any]:
    return success(await org.client.get(f"/webhooks/{webhook['id']}/deliveries", params=params))


# By the API


async def test_a_secret_is_shown_once_and_never_again(org: Org) -> None:
    made = success(await org.client.post("/webhooks", json={"url": URL}), 201)
    assert made["secret"].startswith("whsec_")
    path = f"/webhooks/{made['id']}"
    rotated = success(await org.client.post(f"{path}/rotateSecret"))
    assert rotated["secret"] != made["secret"]
    answers = [
        await org.client.get(path),
        await org.client.get("/webhooks"),
        await org.client.put(path, json={"description": "x"}),
        await org.client.get("/audit", params={"size": 1000}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert not any("whsec_" in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("body", "references"),
    [
        ({}, ["url"]),
        ({"url": ""}, ["url"]),
        ({"url": 5}, ["url"]),
        ({"url": "http://hooks.example.org"}, ["url"]),
        ({"url": "https://10.0.0.1/"}, ["url"]),
        ({"url": URL, "events": ["badgeSold"]}, ["events[0]"]),
        ({"url": URL, "badgeMetaIds": ["x", "0" * 24, ""]}, ["badgeMetaIds[0]", "badgeMetaIds[2]"]),
        ({"url": URL, "badgeMetaIds": []}, ["badgeMetaIds"]),
        ({"url": URL, "after": "x", "description": "\0"}, ["description", "after"]),
    ],
)
async def test_invalid_webhook_is_rejected(
    shared_org: Org, body: dict[str, Any], references: list[str]
) -> None:
    answer = await shared_org.client.post("/webhooks", json=body)
    assert failure(answer, 400) == [(400, reference) for reference in references]


async def test_change_keeps_fields_that_are_not_sent(org: Org) -> None:
    badge_id = "0123456789abcdef01234567"
    body = {
        "url": URL,
        "events": ["badgeEarned", "badgeEarned"],
        "badgeMetaIds": [badge_id],
        "description": "x",
    }
    made = success(await org.client.post("/webhooks", json=body), 201)
    assert (made["events"], made["badgeMetaIds"]) == (["badgeEarned"], [badge_id])
    path = f"/webhooks/{made['id']}"
    for change in (
        {},
        {"description": "y"},
        {"badgeMetaIds": None},
        {"events": ["badgeRevoked"]},
        {"isActive": False},
    ):
        before = await shown(org, made)
        after = success(await org.client.put(path, json=change))
        for name in ("lastUpdatedOn", "lastUpdatedOnISO"):
            assert after.pop(name) >= before.pop(name)
        assert after == before | change
    failure(await org.client.put(path, json={"url": "https://10.0.0.1"}), 400)


@pytest.mark.parametrize("webhook_id", ["x", "0" * 24])
async def test_unknown_webhook_is_404(shared_org: Org, webhook_id: str) -> None:
    client, path = shared_org.client, f"/webhooks/{webhook_id}"
    for answer in (
        await client.get(path),
        await client.put(path, json={}),
        await client.delete(path),
        await client.post(f"{path}/test"),
        await client.post(f"{path}/rotateSecret"),
        await client.get(f"{path}/deliveries"),
    ):
        assert failure(answer, 404) == [(404, None)]


async def test_an_org_has_so_many_at_most(org: Org) -> None:
    async def create() -> int:
        return (await org.client.post("/webhooks", json={"url": URL})).status_code

    for _ in range(WEBHOOKS_MAX - 1):
        assert await create() == 201
    assert sorted(await asyncio.gather(create(), create())) == [201, 409]


async def test_there_is_none_without_an_org(services: Services) -> None:
    draft = WebhookDraft(url=URL, description="", kinds=[], badge_ids=None, after=None)
    with pytest.raises(OrgNotFound):
        await services.webhooks.create(CommandLine(OrgId(1)), draft)


# Where events go


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(org: Org) -> None:
    with Receiver() as receiver:
        made = success(
            await org.client.post("/webhooks", json={"url": f"https://localhost:{receiver.port}/"}), 201
        )
        attempt = success(await org.client.post(f"/webhooks/{made['id']}/test"))
        assert (attempt["isDelivered"], attempt["status"]) == (False, None)
        assert "private" in attempt["error"]
        assert receiver.received == []
    assert [entry["eventId"] for entry in (await log(org, made))["deliveries"]] == [attempt["eventId"]]


async def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that answers differently the second time is not asked a second time."""
    asked: list[str] = []
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        asked.append(str(host))
        address = next(answers) if host == "rebinding.example.org" else str(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Receiver() as receiver:
        sender = WebhookClient((), 0.5)
        answer = await sender.post(
            f"https://rebinding.example.org:{receiver.port}/", "id", b"{}", [], clock.now()
        )
        await sender.close()
        assert receiver.received == []
    assert answer.status is None
    assert asked.count("rebinding.example.org") == 1


async def test_a_redirect_is_not_followed(org: Org) -> None:
    with Receiver() as elsewhere, Receiver(lambda *_: Reply(307, {"Location": elsewhere.url})) as receiver:
        made = await make(org, receiver.url)
        attempt = await allowing(org).webhooks.send_test(org.caller.org_id, made["id"])
        assert (attempt.status, attempt.error) == (307, "The receiver responded with 307.")
        assert (len(receiver.received), elsewhere.received) == (1, [])


async def test_an_answer_without_end_is_left(org: Org) -> None:
    with Receiver(lambda *_: Reply(200, {"Content-Length": str(10**9)})) as receiver:
        made = await make(org, receiver.url)
        attempt = await allowing(org).webhooks.send_test(org.caller.org_id, made["id"])
        assert (attempt.status, attempt.error) == (None, "The receiver did not respond within 1 seconds.")


# What the worker does


async def test_only_selected_events_are_delivered(org: Org) -> None:
    badges = [await org.make_badge(), await org.make_badge()]
    with Receiver() as receiver, Receiver() as other:
        await make(org, receiver.url, kinds=[EventKind.EARNED, EventKind.REVOKED], badge_ids=badges[:1])
        await make(org, other.url, kinds=[EventKind.BATCH_COMPLETED])
        earned = success(await org.earn_bulk(badges[0], [1, 2]))["issuedBadges"]
        await org.earn_bulk(badges[1], [3])
        revoke = {"badgeMetaId": badges[0], "customerId": 1, "earnedBadgeId": earned[0]["issuedId"]}
        success(await org.client.post("/customer/revokeEarn", json=revoke))
        async with delivering(allowing(org)):
            await until(lambda: len(receiver.taken()) >= 3 and len(other.taken()) >= 2)
            await until(lambda: _is_idle(org))
        told = [(event["type"], event["data"]["customerId"]) for event in receiver.taken()]
        assert sorted(told) == [("badgeEarned", 1), ("badgeEarned", 2), ("badgeRevoked", 1)]
        assert told.index(("badgeEarned", 1)) < told.index(("badgeRevoked", 1))
        # Two requests have no customer in common, and no order.
        assert sorted(event["data"]["totalCount"] for event in other.taken()) == [1, 2]


async def _is_idle(org: Org) -> bool:
    found = success(await org.client.get("/webhooks"))["webhooks"]
    return all(webhook["backlog"] == 0 for webhook in found)


async def test_receiver_that_responds_410_is_disabled_with_an_audit_entry(org: Org) -> None:
    with Receiver(lambda *_: Reply(410)) as receiver:
        made = await make(org, receiver.url)
        await org.earn_bulk(await org.make_badge(), [1, 2, 3])
        async with delivering(allowing(org)):
            await until(lambda: _is_disabled(org, made))
        assert (await shown(org, made))["disabledReason"] == "The receiver responded with 410 Gone."
    entry = success(await org.client.get("/audit", params={"size": 1}))["entries"][0]
    assert (entry["action"], entry["username"]) == ("webhook.disable", WORKER)
    with Receiver() as receiver:
        change = WebhookChange(url=receiver.url, is_active=True)
        again = await allowing(org).webhooks.update(org.caller, made["id"], change)
        assert (again.is_active, again.disabled_reason) == (True, None)
        async with delivering(allowing(org)):
            await until(lambda: len(receiver.taken()) == 4)


async def _is_disabled(org: Org, webhook: dict[str, Any]) -> bool:
    return not (await shown(org, webhook))["isActive"]


async def test_receiver_that_fails_for_days_is_disabled(org: Org) -> None:
    with Receiver(lambda *_: Reply(500)) as receiver:
        made = await make(org, receiver.url)
        await org.earn_bulk(await org.make_badge(), [1])
        async with delivering(allowing(org)):
            await until(lambda: receiver.received)
            await until(lambda: _is_failing(org, made))
        async with delivering(allowing(org), lambda: clock.now() + timedelta(hours=71)):
            await until(lambda: len(receiver.received) >= 2)
        assert (await shown(org, made))["isActive"]
        async with delivering(allowing(org), lambda: clock.now() + timedelta(hours=73)):
            await until(lambda: _is_disabled(org, made))
        reason = (await shown(org, made))["disabledReason"]
        assert (
            reason == "The next event could not be delivered for 72 hours. The receiver responded with 500."
        )


async def _is_failing(org: Org, webhook: dict[str, Any]) -> bool:
    return (await shown(org, webhook))["failingSince"] is not None


async def test_retry_after_is_respected(org: Org) -> None:
    with Receiver(lambda *_: Reply(429, {"Retry-After": "3000"})) as receiver:
        made = await make(org, receiver.url)
        await org.earn_bulk(await org.make_badge(), [1, 2, 3])
        async with delivering(allowing(org)):
            await until(lambda: _is_failing(org, made))
        webhook = await shown(org, made)
        assert webhook["retryOn"] - webhook["failingSince"] >= 2999
        assert len(receiver.received) <= 3  # those that were under way at the same time


async def test_failing_event_delays_only_later_events_of_its_customer(org: Org) -> None:
    badge_id = await org.make_badge()

    def behave(_: int, event: dict[str, Any]) -> Reply:
        return Reply(500 if event["data"]["customerId"] == 1 else 204)

    with Receiver(behave) as receiver:
        made = await make(org, receiver.url, kinds=[EventKind.EARNED, EventKind.REVOKED])
        earned = success(await org.earn_bulk(badge_id, [2, 1, 3]))["issuedBadges"]
        for customer, issued in ((1, earned[1]["issuedId"]), (3, earned[2]["issuedId"])):
            revoke = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": issued}
            success(await org.client.post("/customer/revokeEarn", json=revoke))
        async with delivering(allowing(org)):
            await until(lambda: len(receiver.taken()) == 3 and len(receiver.received) >= 5)
        told = [(event["type"], event["data"]["customerId"]) for event in receiver.taken()]
        assert sorted(told) == [("badgeEarned", 2), ("badgeEarned", 3), ("badgeRevoked", 3)]
        tried = [each.event for each in receiver.received if each.event["data"]["customerId"] == 1]
        assert {event["type"] for event in tried} == {"badgeEarned"}
        # What was taken is not sent again, though the webhook has not passed what stands before it.
        assert len(receiver.received) == len(tried) + 3
        assert (await shown(org, made))["backlog"] == 3


async def test_log_has_the_result_of_each_attempt(org: Org) -> None:
    with Receiver(lambda number, _: Reply(500 if number == 0 else 204)) as receiver:
        made = await make(org, receiver.url, kinds=[EventKind.EARNED])
        await org.earn_bulk(await org.make_badge(), [1])
        async with delivering(allowing(org)):
            await until(lambda: _has_logged(org, made, 2))
    first = await log(org, made, size=1)
    [delivered], after = first["deliveries"], first["next"]
    [failed] = (await log(org, made, size=1, after=after))["deliveries"]
    assert (delivered["isDelivered"], delivered["status"], delivered["error"]) == (True, 204, None)
    assert (failed["isDelivered"], failed["status"], failed["error"]) == (
        False,
        500,
        "The receiver responded with 500.",
    )
    assert failed["eventId"] == delivered["eventId"]
    assert (await log(org, made, onlyFailed="true"))["deliveries"] == [failed]
    assert failure(
        await org.client.get(f"/webhooks/{made['id']}/deliveries", params={"after": "x"}), 400
    ) == [(400, "after")]


async def _has_logged(org: Org, webhook: dict[str, Any], count: int) -> bool:
    return len((await log(org, webhook))["deliveries"]) >= count


async def test_all_that_is_sent_is_signed_with_each_secret_that_counts(org: Org) -> None:
    with Receiver() as receiver:
        made = await make(org, receiver.url)
        webhooks = allowing(org).webhooks
        _, new = await webhooks.rotate_secret(org.caller, made["id"])
        await webhooks.send_test(org.caller.org_id, made["id"])
        for secret in (made["secret"], new):
            receiver.received[0].verify(secret)
        assert len(receiver.received[0].headers["webhook-signature"].split()) == 2
        other = f"whsec_{secrets.token_hex(16)}"
        with pytest.raises(Exception, match="No matching signature"):
            receiver.received[0].verify(other)


async def test_invalid_url_has_a_clear_message(shared_org: Org) -> None:
    answer = await shared_org.client.post("/webhooks", json={"url": "http://hooks.example.org"})
    assert message(answer) == "The URL must begin with https://."
