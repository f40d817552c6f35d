"""Webhook rules: allowed addresses, results of deliveries, retries, and progress of a webhook."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockade.config import read_networks
from cockade.event.model import LAST_LINE, Cursor, EventKind, FeedEntry, FeedPage
from cockade.ids import OrgId, WebhookId
from cockade.webhook import rules
from cockade.webhook.model import DeliveryAttempt, DeliveryResponse, DeliveryResult, LeasedWebhook, Secrets

NOW = datetime(2026, 11, 25, 20, 15, tzinfo=UTC)
GIVE_UP = timedelta(hours=72)
LOOPBACK = read_networks("webhook_allowed_networks", "127.0.0.0/8, ::1/128")


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),  # carrier-grade NAT
        ("169.254.169.254", False),  # metadata service of clouds
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2002:a9fe:a9fe::1", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),  # Teredo of 127.0.0.1
    ],
)
def test_events_are_sent_only_to_public_addresses(address: str, may: bool) -> None:
    assert rules.may_connect(ip_address(address), (), is_plain=False) is may
    assert rules.may_connect(ip_address(address), (), is_plain=True) is False


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_events_are_sent_to_allowed_networks(address: str) -> None:
    assert rules.may_connect(ip_address(address), LOOPBACK, is_plain=True)
    assert not rules.may_connect(ip_address("10.0.0.1"), LOOPBACK, is_plain=False)


@pytest.mark.parametrize(
    ("url", "networks", "field_error"),
    [
        ("https://hooks.example.org/a?b=c", (), None),
        ("https://hooks.example.org:8443/", (), None),
        ("https://93.184.216.34/", (), None),
        ("http://hooks.example.org/", (), "https"),
        ("http://hooks.example.org/", LOOPBACK, None),  # the address is checked at each delivery
        ("http://127.0.0.1:8000/", LOOPBACK, None),
        ("http://93.184.216.34/", LOOPBACK, "private"),
        ("https://127.0.0.1/", (), "private"),
        ("https://[::1]/", (), "private"),
        ("https://[::ffff:10.0.0.1]/", (), "private"),
        ("ftp://hooks.example.org/", LOOPBACK, "https"),
        ("hooks.example.org", (), "https"),
        ("https://", (), "no host"),
        ("https:///path", (), "no host"),
        ("https://hooks.example.org:0/", (), "no host"),
        ("https://hooks.example.org:99999/", (), "not valid"),
        ("https://[::1/", (), "not valid"),
        ("https://user:secret@hooks.example.org/", (), "user"),
        ("https://hooks.example.org/#x", (), "fragment"),
        ("https://hooks.example.org/ä", (), "ASCII"),
        ("https://hooks.example.org/\r\nX: y", (), "ASCII"),
        ("https://hooks.example.org/" + "x" * 2000, (), "2000"),
    ],
)
def test_webhook_urls(url: str, networks: rules.Networks, field_error: str | None) -> None:
    result = rules.url_error(url, networks)
    assert (result is None) if field_error is None else (result is not None and field_error in result)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, DeliveryResult.DELIVERED),
        (204, DeliveryResult.DELIVERED),
        (299, DeliveryResult.DELIVERED),
        (None, DeliveryResult.FAILED),
        (302, DeliveryResult.FAILED),
        (404, DeliveryResult.FAILED),
        (410, DeliveryResult.GONE),
        (429, DeliveryResult.FAILED),
        (500, DeliveryResult.FAILED),
    ],
)
def test_result_of_a_response(status: int | None, meaning: DeliveryResult) -> None:
    answer = DeliveryResponse(status=status, error=None if status else "It hung up.", duration_ms=1)
    assert rules.delivery_result(answer) is meaning
    assert (rules.delivery_error(answer) is None) is (meaning is DeliveryResult.DELIVERED)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("7", 7),
        (" 7 ", 7),
        ("999999999", rules.MAX_RETRY_AFTER_S),
        ("Wed, 25 Nov 2026 20:16:00 GMT", 60),
        ("Wed, 25 Nov 2026 20:14:00 GMT", 0),
        ("Wed, 25 Nov 2099 20:14:00 GMT", rules.MAX_RETRY_AFTER_S),
        ("Wed, 25 Nov 2026 20:16:00 -0000", 0),  # of no zone
    ],
)
def test_how_long_a_receiver_asks_to_be_left_alone(header: str | None, seconds: float) -> None:
    assert rules.parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    ("failures", "asked_s", "chance", "seconds"),
    [
        (0, 0, 0.0, 0.25),
        (0, 0, 1.0, 0.5),
        (1, 0, 1.0, 1.0),
        (2, 0, 1.0, 2.0),
        (10, 0, 1.0, 512.0),
        (11, 0, 1.0, 900.0),
        (11, 0, 0.0, 450.0),
        (10**6, 0, 1.0, 900.0),
        (0, 60, 0.0, 60.0),
        (11, 60, 0.0, 450.0),
    ],
)
def test_pauses_double_up_to_15_minutes(failures: int, asked_s: float, chance: float, seconds: float) -> None:
    assert rules.retry_delay_s(failures, asked_s, chance) == seconds


@pytest.mark.parametrize(
    ("old", "until_s", "signing"),
    [(None, None, ["new"]), ("old", 1, ["new", "old"]), ("old", 0, ["new"]), ("old", -1, ["new"])],
)
def test_old_secret_signs_during_its_overlap(
    old: str | None, until_s: int | None, signing: list[str]
) -> None:
    until = None if until_s is None else NOW + timedelta(seconds=until_s)
    assert (
        rules.signing_secrets(Secrets(secret="new", old_secret=old, old_secret_until=until), NOW) == signing
    )


class Data(msgspec.Struct):
    customer_id: int


class EventStub(msgspec.Struct):
    """The attributes of an event that these rules use."""

    id: str
    kind: EventKind
    data: Any


def entry(name: str, customer: int | None, position: int = 1, line: int = 0) -> FeedEntry:
    kind = EventKind.BATCH_COMPLETED if customer is None else EventKind.EARNED
    event: Any = EventStub(name, kind, Data(customer or 0))
    return FeedEntry(Cursor(position, LAST_LINE if customer is None else line), event)


A, B, C = entry("a", 1, 1, 0), entry("b", 2, 1, 1), entry("c", 1, 2, 0)
WHOLE = entry("whole", None, 1)
ENTRIES = [A, B, WHOLE, C]


def names(queues: list[list[FeedEntry]]) -> list[list[str]]:
    return [[each.event.id for each in queue] for queue in queues]


@pytest.mark.parametrize(
    ("delivered", "queues", "whole"),
    [
        (set(), [["a", "c"], ["b"]], []),
        ({"a"}, [["b"], ["c"]], []),
        ({"a", "b"}, [["c"]], [["whole"]]),
        ({"a", "b", "c"}, [], [["whole"]]),
        ({"a", "b", "c", "whole"}, [], []),
    ],
)
def test_each_customer_has_a_queue_and_batch_completed_waits_for_its_customers(
    delivered: set[str], queues: list[list[str]], whole: list[list[str]]
) -> None:
    assert names(rules.customer_queues(ENTRIES, delivered)) == queues
    assert names(rules.complete_queues(ENTRIES, delivered)) == whole


BEFORE = Cursor(0, LAST_LINE)
END = Cursor(9, LAST_LINE)


def attempt(error: str | None) -> DeliveryAttempt:
    return DeliveryAttempt(at=NOW, event_id="a", kind="badgeEarned", status=None, error=error, duration_ms=1)


def progress(delivered: set[str], errors: list[str | None], **claimed: Any) -> tuple[Any, ...]:
    webhook = LeasedWebhook(
        org_id=OrgId(1),
        webhook_id=WebhookId("0" * 24),
        url="",
        kinds=[],
        badge_ids=None,
        secrets=Secrets(secret="", old_secret=None, old_secret_until=None),
        cursor=BEFORE,
        delivered_ahead=frozenset(),
        failures=claimed.get("failures", 0),
        failing_since=claimed.get("failing_since"),
    )
    result = rules.progress(
        webhook,
        FeedPage(ENTRIES, END, has_more=False),
        delivered,
        [attempt(error) for error in errors],
        now=NOW,
        retry_after_s=0,
        chance=0,
        disable_after=GIVE_UP,
    )
    pause_s = result.retry_at and (result.retry_at - NOW).total_seconds()
    return (
        result.cursor,
        result.delivered_ahead,
        result.failures,
        result.failing_since,
        pause_s,
        result.disabled_reason,
    )


EARLIER, LONG_AGO = NOW - timedelta(hours=1), NOW - timedelta(hours=72)
REASON = "The next event could not be delivered for 72 hours. x"


@pytest.mark.parametrize(
    ("delivered", "errors", "claimed", "expected"),
    [
        # Everything was delivered, or the batch was cut short.
        ({"a", "b", "c", "whole"}, [None] * 4, {}, (END, [], 0, None, None, None)),
        ({"a"}, [None], {}, (A.cursor, [], 0, None, None, None)),
        ({"b"}, [None], {}, (BEFORE, ["b"], 0, None, None, None)),
        (
            {"a", "b", "c", "whole"},
            [None],
            {"failing_since": EARLIER, "failures": 7},
            (END, [], 0, None, None, None),
        ),
        # Nothing was delivered.
        (set(), ["x"], {}, (BEFORE, [], 1, NOW, 0.5, None)),
        (set(), ["x"], {"failures": 3, "failing_since": EARLIER}, (BEFORE, [], 4, EARLIER, 4.0, None)),
        # Something was delivered. The next event is a new one, or still the failed one.
        ({"a"}, [None, "x"], {"failures": 3, "failing_since": EARLIER}, (A.cursor, [], 0, NOW, 0.25, None)),
        (
            {"b"},
            [None, "x"],
            {"failures": 3, "failing_since": EARLIER},
            (BEFORE, ["b"], 0, EARLIER, 0.25, None),
        ),
        # Failing for days.
        (set(), ["y", "x"], {"failing_since": LONG_AGO}, (BEFORE, [], 1, LONG_AGO, 0.5, REASON)),
        ({"b"}, [None, "x"], {"failing_since": LONG_AGO}, (BEFORE, ["b"], 0, LONG_AGO, 0.25, REASON)),
        ({"a"}, [None, "x"], {"failing_since": LONG_AGO}, (A.cursor, [], 0, NOW, 0.25, None)),
    ],
)
def test_progress_of_a_webhook(
    delivered: set[str], errors: list[str | None], claimed: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert progress(delivered, errors, **claimed) == expected


@given(st.sets(st.sampled_from(["a", "b", "c", "whole"])))
def test_no_event_is_skipped_or_lost(delivered: set[str]) -> None:
    cursor, ahead, *_ = progress(delivered, [])
    passed = {each.event.id for each in ENTRIES if each.cursor <= cursor}
    assert passed <= delivered
    assert passed | set(ahead) == delivered
