"""Pure rules for webhooks (`docs/reference/api/events.md`, `docs/explanation/security.md`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from cockade.event.model import Cursor, EventKind, FeedEntry, FeedPage
from cockade.webhook.model import (
    URL_CHARS_MAX,
    DeliveryAttempt,
    DeliveryResponse,
    DeliveryResult,
    LeasedWebhook,
    Progress,
    Secrets,
)

BACKOFF_S = 0.5
MAX_BACKOFF_S = 15 * 60.0
MAX_RETRY_AFTER_S = 60 * 60.0
"""Longest delay that a receiver can request with Retry-After, in seconds."""
OLD_SECRET_GRACE_PERIOD = timedelta(hours=24)
"""After a rotation, deliveries are signed with both secrets for this time."""

Networks = tuple[IPv4Network | IPv6Network, ...]
_NAT64 = IPv6Network("64:ff9b::/96")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def url_error(url: str, networks: Networks) -> str | None:
    """Return why the URL of a webhook is not allowed, or None. Host names are not resolved."""
    if len(url) > URL_CHARS_MAX or not _PRINTABLE.fullmatch(url):
        return f"The URL must have at most {URL_CHARS_MAX} characters, all printable ASCII; percent-encode other characters."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "The URL is not valid."
    if parts.scheme != "https" and not (parts.scheme == "http" and networks):
        return "The URL must begin with https://."
    if not host or port == 0:
        return "The URL has no host."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "The URL must not contain a user, a password or a fragment."
    try:
        address = ip_address(host)
    except ValueError:
        return None  # a host name: its addresses are checked with every delivery
    return (
        None
        if may_connect(address, networks, is_plain=parts.scheme == "http")
        else "The address is private; the operator can allow it with COCKADE_WEBHOOK_ALLOWED_NETWORKS."
    )


def may_connect(address: IPv4Address | IPv6Address, networks: Networks, *, is_plain: bool) -> bool:
    """Whether events may be sent to this address: it is public, or in one of the allowed networks.

    Without TLS, only allowed networks are possible.
    """
    inner = _inner(address)
    if any(one in network for network in networks for one in (address, inner)):
        return True
    return not is_plain and all(one.is_global and not one.is_multicast for one in (address, inner))


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address embeds (mapped, NAT64, 6to4 or Teredo), otherwise the
    address.
    """
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def delivery_result(response: DeliveryResponse) -> DeliveryResult:
    """Classify a response. Every 2xx means that the event was delivered."""
    if response.status is None:
        return DeliveryResult.FAILED
    if 200 <= response.status < 300:
        return DeliveryResult.DELIVERED
    return DeliveryResult.GONE if response.status == 410 else DeliveryResult.FAILED


def delivery_error(response: DeliveryResponse) -> str | None:
    """Return the error for the delivery log, or None if the event was delivered."""
    if delivery_result(response) is DeliveryResult.DELIVERED:
        return None
    return response.error or f"The receiver responded with {response.status}."


def attempt(response: DeliveryResponse, event_id: str, kind: str, at: datetime) -> DeliveryAttempt:
    """Return the delivery log entry for this response."""
    return DeliveryAttempt(
        at=at,
        event_id=event_id,
        kind=kind,
        status=response.status,
        error=delivery_error(response),
        duration_ms=response.duration_ms,
    )


def parse_retry_after(text: str | None, now: datetime) -> float:
    """Return the delay of a Retry-After header in seconds, or 0 if it is missing or malformed."""
    if text is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(text)
        return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def retry_delay_s(failures: int, retry_after_s: float, chance: float) -> float:
    """Return the delay after this number of consecutive failed batches, in seconds. `chance` is in [0, 1).

    The delay doubles with each failure. It is multiplied by a random factor between 0.5 and 1, so that
    webhooks that failed together are not retried together.
    """
    longest = min(BACKOFF_S * 2.0 ** min(failures, 30), MAX_BACKOFF_S)
    return max(retry_after_s, longest * (0.5 + chance / 2))


def signing_secrets(secrets: Secrets, now: datetime) -> list[str]:
    """Return the secrets that sign now, the new one first."""
    until = secrets.old_secret_until
    is_kept = secrets.old_secret is not None and until is not None and now < until
    return [secrets.secret] + ([secrets.old_secret] if is_kept and secrets.old_secret else [])


def customer_queues(entries: Iterable[FeedEntry], delivered: Set[str]) -> list[list[FeedEntry]]:
    """Group undelivered customer events by customer. Queues can be sent concurrently; within a queue, order
    matters.
    """
    by_customer: dict[int, list[FeedEntry]] = {}
    for entry in entries:
        if entry.event.id not in delivered and entry.event.kind is not EventKind.BATCH_COMPLETED:
            customer = getattr(entry.event.data, "customer_id", 0)
            by_customer.setdefault(customer, []).append(entry)
    return list(by_customer.values())


def complete_queues(entries: Sequence[FeedEntry], delivered: Set[str]) -> list[list[FeedEntry]]:
    """Return one queue for each batch event whose customer events have all been delivered."""
    waiting = {
        entry.cursor.position
        for entry in entries
        if entry.event.id not in delivered and entry.event.kind is not EventKind.BATCH_COMPLETED
    }
    return [
        [entry]
        for entry in entries
        if entry.event.kind is EventKind.BATCH_COMPLETED
        and entry.event.id not in delivered
        and entry.cursor.position not in waiting
    ]


def progress(
    webhook: LeasedWebhook,
    page: FeedPage,
    delivered: Set[str],
    attempts: Sequence[DeliveryAttempt],
    *,
    now: datetime,
    retry_after_s: float,
    chance: float,
    disable_after: timedelta,
) -> Progress:
    """Return the state of the webhook after a batch.

    `delivered` has the ids of the events of this page that were delivered in this batch or earlier.
    """
    cursor, delivered_ahead = _advance_cursor(webhook.cursor, page, delivered)
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    if not errors:
        return Progress(
            cursor=cursor, delivered_ahead=delivered_ahead, failures=0, failing_since=None, retry_at=None
        )
    has_delivered = len(errors) < len(attempts)
    # The first undelivered event is the same as before, unless the cursor has advanced.
    is_same_event = cursor == webhook.cursor and webhook.failing_since is not None
    failing_since = webhook.failing_since if is_same_event and webhook.failing_since else now
    failures = 0 if has_delivered else webhook.failures + 1
    reason = None
    if now - failing_since >= disable_after:
        hours = round(disable_after.total_seconds() / 3600)
        reason = f"The next event could not be delivered for {hours} hours. {errors[-1]}"
    return Progress(
        cursor=cursor,
        delivered_ahead=delivered_ahead,
        failures=failures,
        failing_since=failing_since,
        retry_at=now + timedelta(seconds=retry_delay_s(failures, retry_after_s, chance)),
        disabled_reason=reason,
    )


def _advance_cursor(before: Cursor, page: FeedPage, delivered: Set[str]) -> tuple[Cursor, list[str]]:
    """Return the cursor up to which everything is delivered, and the ids of delivered events after it."""
    cursor = before
    for number, entry in enumerate(page.entries):
        if entry.event.id not in delivered:
            return cursor, [rest.event.id for rest in page.entries[number:] if rest.event.id in delivered]
        cursor = entry.cursor
    return page.end, []
