"""Events by the feed and by webhooks, with the real service, its worker, and receivers that behave badly."""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import standardwebhooks

from tests.acceptance.service import Service, earn_bulk, make_badge, query
from tests.acceptance.test_operations import error_codes, told
from tests.receiver import TAKEN, Behaviour, Receiver, Reply

WAIT_S_MAX = 60.0


@pytest.fixture(scope="module")
def client(service: Service) -> Generator[httpx.Client]:
    """A client of an org that only these tests have; each begins where the feed ends."""
    made = service.make_org(f"events-{secrets.token_hex(6)}")
    with service.client(made["username"], made["secret"]) as opened:
        yield opened


def wait_until(is_so: Callable[[], bool]) -> None:
    """Fails where it never is."""
    deadline = time.monotonic() + WAIT_S_MAX
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def start(client: httpx.Client) -> str:
    """Where the feed ends now; each test waits for all that it made happen."""
    return told(client.get("/events", params={"after": "latest"}))["next"]


def feed(client: httpx.Client, after: str, count: int) -> list[dict[str, Any]]:
    """Return the events after `after`, when there are `count` of them."""
    events: list[dict[str, Any]] = []
    deadline = time.monotonic() + WAIT_S_MAX
    while len(events) < count:
        page = told(client.get("/events", params={"limit": 1000, "after": after}))
        events += page["events"]
        after = page["next"]
        assert time.monotonic() < deadline, len(events)
        time.sleep(0 if page["events"] else 0.05)
    return events


def make_webhook(client: httpx.Client, url: str, **fields: Any) -> dict[str, Any]:
    """A webhook, with its secret."""
    return told(client.post("/webhooks", json={"url": url, **fields}), 201)


def test_list_events(client: httpx.Client, start: str) -> None:
    badge_id = make_badge(client)
    issued = told(earn_bulk(client, badge_id, [1, 2], requestId="told"))["issuedBadges"]
    events = feed(client, start, 3)
    assert [event["id"] for event in events[:2]] == [entry["issuedId"] for entry in issued]
    assert [event["type"] for event in events] == ["badgeEarned", "badgeEarned", "badgeBatchCompleted"]
    assert set(events[0]) == {"id", "type", "timestamp", "data"}
    assert error_codes(client.get("/events", params={"after": "nowhere"}), 400) == [400]


def test_webhooks(service: Service, client: httpx.Client, start: str) -> None:
    with Receiver() as receiver:
        made = make_webhook(client, receiver.url, events=["badgeBatchCompleted"], description="Shop")
        path = f"/webhooks/{made['id']}"
        shown = told(client.get(path))
        assert shown == {name: value for name, value in made.items() if name != "secret"}
        assert told(client.get("/webhooks")) == {"webhooks": [shown]}
        earn_bulk(client, make_badge(client), [1, 2, 3])
        wait_until(lambda: len(receiver.taken()) == 1)
        [batch] = receiver.received
        batch.verify(made["secret"])
        assert (batch.event["type"], batch.event["data"]["earnedCount"]) == ("badgeBatchCompleted", 3)
        assert batch.event == feed(client, start, 4)[-1]

        rotated = told(client.post(f"{path}/rotateSecret"))
        attempt = told(client.post(f"{path}/test"))
        assert (attempt["isDelivered"], attempt["status"], attempt["eventType"]) == (True, 204, "webhookTest")
        for secret in (made["secret"], rotated["secret"]):
            receiver.received[-1].verify(secret)
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            batch.verify(rotated["secret"])
        wait_until(lambda: len(told(client.get(f"{path}/deliveries"))["deliveries"]) == 2)
        newest, oldest = told(client.get(f"{path}/deliveries"))["deliveries"]
        assert (newest["eventId"], oldest["eventId"]) == (attempt["eventId"], batch.event["id"])

        assert told(client.put(path, json={"isActive": False}))["isActive"] is False
        earn_bulk(client, make_badge(client), [1])
        feed(client, start, 6)
        again = told(
            client.put(path, json={"isActive": True, "events": ["badgeEarned"], "after": shown["after"]})
        )
        assert again["events"] == ["badgeEarned"]
        wait_until(lambda: len(receiver.taken()) == 6)  # from the beginning, of the other kind
        assert (
            'cockade_webhook_deliveries_total{outcome="delivered"}'
            in httpx.get(f"{service.origin}/metrics").text
        )
        assert told(client.delete(path)) == {"id": made["id"], "isDeleted": True}
        assert error_codes(client.get(path), 404) == [404]


def test_expiries_are_in_the_feed_and_delivered(client: httpx.Client, start: str) -> None:
    row = {"badgeMetaId": make_badge(client), "customerId": 1}
    dates = {"earnEventDate": "2024-01-01T00:00:00Z", "earnExpiresOn": "2025-01-01T00:00:00Z"}
    with Receiver() as receiver:
        made = make_webhook(client, receiver.url, events=["badgeExpired"])
        client.post("/import/customerBadges", json=[row | dates])
        earned, _, expired = feed(client, start, 3)
        wait_until(lambda: len(receiver.taken()) == 1)
        [delivered] = receiver.received
        delivered.verify(made["secret"])
        assert delivered.event == expired
        assert (earned["type"], expired["type"]) == ("badgeEarned", "badgeExpired")
        assert expired["data"] == earned["data"]
        told(client.delete(f"/webhooks/{made['id']}"))


@contextmanager
def deaf_port() -> Generator[int]:
    """A port that accepts connections without ever responding."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


def moody(seed: int) -> Behaviour:
    """Half of the time it fails, in one of several ways, and now and then it hangs."""
    chance = random.Random(seed)

    def behave(number: int, _: dict[str, Any]) -> Reply:
        if number in (20, 90):
            return Reply(after_s=2.0)
        if chance.random() < 0.5:
            return chance.choice(
                [Reply(500), Reply(503), Reply(None), Reply(302, {"Location": "http://127.0.0.1:1/"})]
            )
        return TAKEN

    return behave


def test_every_event_arrives_in_order_at_a_receiver_that_fails_hangs_and_restarts_beside_a_dead_one(
    client: httpx.Client, start: str
) -> None:
    with deaf_port() as deaf, Receiver(moody(seed=1)) as receiver:
        dead = make_webhook(client, f"http://127.0.0.1:{deaf}/")
        webhook = make_webhook(client, receiver.url)
        badge_id = make_badge(client)
        issued = told(earn_bulk(client, badge_id, range(1, 101)))["issuedBadges"]
        for entry in issued[:10]:
            customer, earned_id = entry["customerId"], entry["issuedId"]
            revoke = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": earned_id}
            told(client.post("/customer/revokeEarn", json=revoke))
            told(earn_bulk(client, badge_id, [customer]))
        events = feed(client, start, 131)
        wait_until(lambda: len(receiver.received) > 60)
        receiver.stop()
        time.sleep(0.5)
        receiver.start()
        wait_until(lambda: len(receiver.taken()) >= len(events))
        taken = receiver.taken()
        # While its port is there: what waits for an answer is broken off with it.
        log = told(client.get(f"/webhooks/{dead['id']}/deliveries"))["deliveries"]
    assert sorted(event["id"] for event in taken) == sorted(event["id"] for event in events)
    assert {event["id"]: event for event in taken} == {event["id"]: event for event in events}
    for customer in range(1, 101):
        of_hers = [
            [event["id"] for event in told_ if event["data"].get("customerId") == customer]
            for told_ in (taken, events)
        ]
        assert of_hers[0] == of_hers[1]
    for each in receiver.received:
        each.verify(webhook["secret"])
    assert any(each.status != 204 for each in receiver.received)
    shown = {each["id"]: each for each in told(client.get("/webhooks"))["webhooks"]}
    assert shown[dead["id"]]["after"] == dead["after"]
    assert shown[dead["id"]]["failingSince"] is not None
    assert {entry["error"] for entry in log} == {"The receiver did not respond within 1 seconds."}


def test_a_worker_that_is_killed_while_it_delivers_loses_nothing_and_keeps_the_order(
    service: Service, client: httpx.Client, start: str
) -> None:
    with Receiver(lambda _number, _event: Reply(after_s=0.05)) as receiver:
        webhook = make_webhook(client, receiver.url, events=["badgeEarned", "badgeRevoked"])
        badge_id = make_badge(client)
        issued = told(earn_bulk(client, badge_id, range(1, 101)))["issuedBadges"]
        for entry in issued[:5]:
            customer, earned_id = entry["customerId"], entry["issuedId"]
            revoke = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": earned_id}
            told(client.post("/customer/revokeEarn", json=revoke))
            told(earn_bulk(client, badge_id, [customer]))
        wait_until(lambda: len(receiver.received) > 30)
        [worker] = [child for child in service.process.children() if "worker" in child.cmdline()]
        worker.kill()
        service.await_gone([worker], WAIT_S_MAX)
        taken_before = [event["id"] for event in receiver.taken()]
        # As if the time had passed after which another worker takes the webhook up.
        execute = "update webhook set leased_until = '2000-01-01Z' where webhook_id = $1 returning lease"
        [(lease,)] = query(service.database_url, execute, webhook["id"])
        assert lease is not None, "it was killed in the middle of a round"
        events = [event for event in feed(client, start, 116) if event["type"] != "badgeBatchCompleted"]
        wait_until(lambda: len(receiver.taken()) >= len(events))
        taken = receiver.taken()
    assert {event["id"]: event for event in taken} == {event["id"]: event for event in events}
    assert len(taken_before) < len(events)
    for customer in range(1, 101):
        of_hers = [
            [event["id"] for event in told_ if event["data"]["customerId"] == customer]
            for told_ in (taken, events)
        ]
        assert of_hers[0] == of_hers[1]
    for each in receiver.received:
        each.verify(webhook["secret"])


def test_webhook_commands(service: Service, client: httpx.Client) -> None:
    org = str(told(client.get("/badgeMeta"))["metaBasicDetails"][0]["orgId"])
    with Receiver() as receiver:
        made = service.cockade(
            "webhook", "create", "--org", org, "--url", receiver.url, "--event", "badgeEarned"
        )
        sent = service.cockade("webhook", "test", made["webhookId"], "--org", org)
        assert (sent["status"], sent["error"]) == (204, None)
        receiver.received[0].verify(made["secret"])
    refused = service.run("webhook", "test", made["webhookId"], "--org", org, check=False)
    assert refused.returncode == 1
    logged = service.cockade("webhook", "log", made["webhookId"], "--org", org)
    assert [entry["error"] is None for entry in logged] == [False, True]
