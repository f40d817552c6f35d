"""HTTP client for webhook deliveries: signed, with a timeout, and only to allowed addresses (SSRF
protection).

The client resolves the host name, checks each address, and connects to the checked address itself, so a DNS
change between check and connection has no effect. It does not follow redirects, and it uses no proxy.
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

CONNECT_TIMEOUT_S = 5.0
DNS_THREADS = 32
MAX_RESPONSE_BYTES = 64 * 1024
"""Maximum number of bytes read from a response. The content is ignored; reading it keeps the connection
reusable.
"""
KEEPALIVE_S = 30.0
MAX_IDLE_CONNECTIONS = 64


class ForbiddenAddress(Exception):
    """The receiver's host name has no address that is allowed."""


class SsrfGuardBackend(httpcore.AsyncNetworkBackend):
    """Network backend that connects to allowed addresses only."""

    def __init__(self, networks: Networks, dns_threads: ThreadPoolExecutor, *, is_plain: bool) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        self._networks = networks
        self._dns_threads = dns_threads
        self._is_plain = is_plain

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the library's signature)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first allowed address that accepts the connection. Raises ForbiddenAddress."""
        loop = asyncio.get_running_loop()
        # In a separate thread pool: a slow name server of one receiver must not delay other work.
        addresses = await loop.run_in_executor(self._dns_threads, _resolve, host, port)
        allowed = [
            address
            for address in addresses
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


def _resolve(host: str, port: int) -> list[str]:
    """Resolve the host name, and return its addresses without scope ids."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("the host name cannot be resolved") from error
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in addresses))


class WebhookClient:
    """Sends webhook deliveries, with connection pooling."""

    def __init__(self, networks: Networks, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._dns_threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="webhook-lookup")
        context = httpcore.default_ssl_context()  # authorities of the system and of certifi
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=context,
                max_connections=None,
                max_keepalive_connections=MAX_IDLE_CONNECTIONS,
                keepalive_expiry=KEEPALIVE_S,
                network_backend=SsrfGuardBackend(networks, self._dns_threads, is_plain=scheme == "http"),
            )
            for scheme in ("https", "http")
        }

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()
        self._dns_threads.shutdown(wait=False, cancel_futures=True)

    async def post(
        self, url: str, event_id: str, body: bytes, secrets: list[str], now: datetime
    ) -> DeliveryResponse:
        """Send one event, signed with each of the secrets. Failures of the receiver are returned, not raised."""
        started = time.perf_counter()

        def result(
            status: int | None, *, retry_after: str | None = None, error: str | None = None
        ) -> DeliveryResponse:
            took_ms = round((time.perf_counter() - started) * 1000)
            return DeliveryResponse(status=status, retry_after=retry_after, error=error, duration_ms=took_ms)

        headers = _headers(event_id, body, secrets, now)
        try:
            async with asyncio.timeout(self._timeout_s):
                status, retry_after = await self._send(url, body, headers)
        except ForbiddenAddress:
            return result(
                None, error="The receiver's address is private (see COCKADE_WEBHOOK_ALLOWED_NETWORKS)."
            )
        except (TimeoutError, httpcore.TimeoutException):
            return result(None, error=f"The receiver did not respond within {self._timeout_s:g} seconds.")
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
        ) as error:
            return result(None, error=f"The receiver cannot be reached: {_reason(error)}.")
        return result(status, retry_after=retry_after)

    async def _send(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        pool = self._pools[url.partition(":")[0]]
        timeouts = {"connect": CONNECT_TIMEOUT_S, "read": self._timeout_s, "write": self._timeout_s}
        async with pool.stream(
            "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeouts}
        ) as response:
            received = 0
            async for chunk in response.aiter_stream():
                received += len(chunk)
                if received > MAX_RESPONSE_BYTES:
                    break
            retry_after = [value for name, value in response.headers if name.lower() == b"retry-after"]
            return response.status, retry_after[0].decode("latin-1") if retry_after else None


def _headers(event_id: str, body: bytes, secrets: list[str], now: datetime) -> dict[str, str]:
    """Return the request headers, including those of Standard Webhooks."""
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
    """Return a short description of the exception."""
    return str(error)[:200].rstrip(".") or type(error).__name__
