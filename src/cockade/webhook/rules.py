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
BACKOFF_S_MAX = 15 * 60.0
RETRY_AFTER_S_MAX = 60 * 60.0
"""Maximum pause that a receiver can request."""
OLD_SECRET_KEPT = timedelta(hours=24)
"""After a rotation, deliveries are signed with both secrets for this time."""

Networks = tuple[IPv4Network | IPv6Network, ...]
_NAT64 = IPv6Network("64:ff9b::/96")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def url_error(url: str, networks: Networks) -> str | None:
    """Return what is wrong with a webhook URL, as far as is known without a DNS lookup, or None."""
    if len(url) > URL_CHARS_MAX or not _PRINTABLE.fullmatch(url):
        return f"The URL must have at most {URL_CHARS_MAX} characters, all of them printable ASCII. Percent-encode other characters."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "The URL is not valid."
    if parts.scheme != "https" and not (parts.scheme == "http" and networks):
        return "The URL must start with https://."
    if not host or port == 0:
        return "The URL has no host."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "The URL must not contain a user or a fragment."
    try:
        address = ip_address(host)
    except ValueError:
        return None  # a host name, which is checked with every delivery
    return (
        None
        if may_connect(address, networks, is_plain=parts.scheme == "http")
        else "The URL's address is private. Use a public one, or an address in COCKADE_WEBHOOK_ALLOWED_NETWORKS."
    )


def may_connect(address: IPv4Address | IPv6Address, networks: Networks, *, is_plain: bool) -> bool:
    """Whether deliveries to this address are allowed: it is public, or in one of the allowed networks.

    Without TLS, only the allowed networks qualify.
    """
    inner = _inner(address)
    if any(one in network for network in networks for one in (address, inner)):
        return True
    return not is_plain and all(one.is_global and not one.is_multicast for one in (address, inner))


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that is embedded in an IPv6 address, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def delivery_result(answer: DeliveryResponse) -> DeliveryResult:
    """Return the meaning of a response. Any 2xx status means delivered."""
    if answer.status is None:
        return DeliveryResult.FAILED
    if 200 <= answer.status < 300:
        return DeliveryResult.DELIVERED
    return DeliveryResult.GONE if answer.status == 410 else DeliveryResult.FAILED


def error_of(answer: DeliveryResponse) -> str | None:
    """Return the error text for the delivery log, or None if delivered."""
    if delivery_result(answer) is DeliveryResult.DELIVERED:
        return None
    return answer.error or f"The receiver responded with status {answer.status}."


def attempt(answer: DeliveryResponse, event_id: str, kind: str, at: datetime) -> DeliveryAttempt:
    """Return the entry of the delivery log for this response."""
    return DeliveryAttempt(
        at=at,
        event_id=event_id,
        kind=kind,
        status=answer.status,
        error=error_of(answer),
        duration_ms=answer.duration_ms,
    )


def retry_after_s(text: str | None, now: datetime) -> float:
    """Return the pause in seconds that a Retry-After header requests, or 0 if there is none or it is invalid."""
    if text is None:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return min(float(text), RETRY_AFTER_S_MAX)
    try:
        until = parsedate_to_datetime(text)
        return min(max((until - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def retry_delay_s(failures: int, asked_s: float, chance: float) -> float:
    """Return the pause after this number of consecutive failed rounds. `chance` is in [0, 1).

    The pause doubles each time. It is randomized between half and all of it, so that retries spread out.
    """
    longest = min(BACKOFF_S * 2.0 ** min(failures, 30), BACKOFF_S_MAX)
    return max(asked_s, longest * (0.5 + chance / 2))


def signing_secrets(secrets: Secrets, now: datetime) -> list[str]:
    """Return the active secrets, the newest first."""
    until = secrets.old_secret_until
    is_kept = secrets.old_secret is not None and until is not None and now < until
    return [secrets.secret] + ([secrets.old_secret] if is_kept and secrets.old_secret else [])


def customer_queues(entries: Iterable[FeedEntry], delivered: Set[str]) -> list[list[FeedEntry]]:
    """Return the undelivered events by customer. Queues run concurrently; within a queue, order is kept."""
    by_customer: dict[int, list[FeedEntry]] = {}
    for entry in entries:
        if entry.event.id not in delivered and entry.event.kind is not EventKind.BATCH_COMPLETED:
            customer = getattr(entry.event.data, "customer_id", 0)
            by_customer.setdefault(customer, []).append(entry)
    return list(by_customer.values())


def complete_queues(entries: Sequence[FeedEntry], delivered: Set[str]) -> list[list[FeedEntry]]:
    """Return the events of whole requests whose customer events are all delivered."""
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
    claimed: LeasedWebhook,
    page: FeedPage,
    delivered: Set[str],
    attempts: Sequence[DeliveryAttempt],
    *,
    now: datetime,
    asked_s: float,
    chance: float,
    give_up: timedelta,
) -> Progress:
    """Return the state of the webhook after a round. `delivered` are the events of this page that were
    delivered, now or earlier.
    """
    place, ahead = _reached(claimed.cursor, page, delivered)
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    if not errors:
        return Progress(cursor=place, delivered_ahead=ahead, failures=0, failing_since=None, retry_at=None)
    has_moved = len(errors) < len(attempts)
    # The first undelivered event is the same as before, unless something before it was delivered.
    is_stuck = place == claimed.cursor and claimed.failing_since is not None
    failing_since = claimed.failing_since if is_stuck and claimed.failing_since else now
    failures = 0 if has_moved else claimed.failures + 1
    reason = None
    if now - failing_since >= give_up:
        hours = round(give_up.total_seconds() / 3600)
        reason = f"The next event could not be delivered for {hours} hours. {errors[-1]}"
    return Progress(
        cursor=place,
        delivered_ahead=ahead,
        failures=failures,
        failing_since=failing_since,
        retry_at=now + timedelta(seconds=retry_delay_s(failures, asked_s, chance)),
        disabled_reason=reason,
    )


def _reached(before: Cursor, page: FeedPage, delivered: Set[str]) -> tuple[Cursor, list[str]]:
    """Return the cursor up to which everything was delivered, and the delivered events after it."""
    place = before
    for number, entry in enumerate(page.entries):
        if entry.event.id not in delivered:
            return place, [rest.event.id for rest in page.entries[number:] if rest.event.id in delivered]
        place = entry.cursor
    return page.end, []
