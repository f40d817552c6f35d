"""Send one signed POST to a receiver, with a time limit, and only to allowed addresses.

We resolve the host name ourselves, check each address, and connect to exactly the checked address, so DNS
cannot change between check and connection. Redirects are not followed and no proxy is used.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from ipaddress import ip_address
from typing import Any, cast

import httpcore
import standardwebhooks

from cockade import __version__
from cockade.webhook import rules
from cockade.webhook.model import DeliveryResponse
from cockade.webhook.rules import Networks

CONNECT_S_MAX = 5.0
LOOKUPS_AT_ONCE = 32
ANSWER_BYTES_MAX = 64 * 1024
"""Maximum size of a response that is read, so that the connection can be reused. Its content is ignored."""
IDLE_S_MAX = 30.0
IDLE_CONNECTIONS_MAX = 64


class ForbiddenAddress(Exception):
    """The host name of the receiver resolves to no allowed address."""


class SsrfGuardBackend(httpcore.AsyncNetworkBackend):
    """Connects only to allowed addresses."""

    def __init__(self, networks: Networks, lookups: ThreadPoolExecutor, *, is_plain: bool) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        self._networks = networks
        self._lookups = lookups
        self._is_plain = is_plain

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the library's signature)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first allowed address that accepts."""
        loop = asyncio.get_running_loop()
        # Uses our own threads, so that a slow DNS server for one receiver does not delay other work.
        found = await loop.run_in_executor(self._lookups, _look_up, host, port)
        allowed = [
            address
            for address in found
            if rules.may_connect(ip_address(address), self._networks, is_plain=self._is_plain)
        ]
        if not allowed:
            raise ForbiddenAddress
        for address in allowed[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(allowed[-1], port, timeout, local_address, socket_options)


def _look_up(host: str, port: int) -> list[str]:
    """Resolve a name to its addresses, without interface names."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the host name cannot be resolved") from error
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


class WebhookClient:
    """An HTTP client for receivers that keeps connections open for a while."""

    def __init__(self, networks: Networks, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lookups = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="webhook-lookup")
        context = (
            httpcore.default_ssl_context()
        )  # the system's certificate authorities, and those of the certifi package
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=None,
                max_keepalive_connections=IDLE_CONNECTIONS_MAX,
                keepalive_expiry=IDLE_S_MAX,
                network_backend=SsrfGuardBackend(networks, self._lookups, is_plain=scheme == "http"),
            )
            for scheme in ("https", "http")
        }

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def post(
        self, url: str, event_id: str, body: bytes, secrets: list[str], now: datetime
    ) -> DeliveryResponse:
        """Send one event, signed with each of the secrets. Errors of the receiver are returned, not raised."""
        started = time.perf_counter()

        def answer(
            status: int | None, *, retry_after: str | None = None, error: str | None = None
        ) -> DeliveryResponse:
            took_ms = round((time.perf_counter() - started) * 1000)
            return DeliveryResponse(status=status, retry_after=retry_after, error=error, duration_ms=took_ms)

        headers = _headers(event_id, body, secrets, now)
        try:
            async with asyncio.timeout(self._timeout_s):
                status, retry_after = await self._exchange(url, body, headers)
        except ForbiddenAddress:
            return answer(
                None, error="The receiver's address is private and not in COCKADE_WEBHOOK_ALLOWED_NETWORKS."
            )
        except (TimeoutError, httpcore.TimeoutException):
            return answer(None, error=f"The receiver did not respond within {self._timeout_s:g} seconds.")
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            return answer(None, error=f"Cannot reach the receiver: {_reason(error)}.")
        return answer(status, retry_after=retry_after)

    async def _exchange(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        pool = self._pools[url.partition(":")[0]]
        timeouts = {"connect": CONNECT_S_MAX, "read": self._timeout_s, "write": self._timeout_s}
        async with pool.stream(
            "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeouts}
        ) as response:
            received = 0
            async for chunk in response.aiter_stream():
                received += len(chunk)
                if received > ANSWER_BYTES_MAX:
                    break
            asked = [value for name, value in response.headers if name.lower() == b"retry-after"]
            return response.status, asked[0].decode("latin-1") if asked else None


def _headers(event_id: str, body: bytes, secrets: list[str], now: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks and the usual headers of a POST."""
    signatures = [standardwebhooks.Webhook(secret).sign(event_id, now, body.decode()) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": f"cockade/{__version__}",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _reason(error: Exception) -> str:
    """Describe the error briefly; a library's exception may have no text."""
    return str(error)[:200].rstrip(".") or type(error).__name__
