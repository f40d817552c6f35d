"""The IP address of the client: the peer of the connection, or the address that a trusted proxy forwards."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from msgspec import Struct

from cockade.config import Config, read_networks

IPV6_PREFIX = 64
"""IPv6 clients are identified by their /64 network, because one client can use all of its addresses."""
UNKNOWN = "unknown"
"""For connections without an address, such as Unix sockets."""
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_ENTRY = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>\d+(?:\.\d+){3})(?::\d+)?|(?P<bare>[0-9A-Fa-f:.]+)")


class TrustedProxies(Struct, frozen=True):
    """Networks of trusted proxies, and the header in which they forward the client's address."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    header: bytes

    @classmethod
    def from_config(cls, settings: Config) -> TrustedProxies:
        """Raises SetupError if a network cannot be parsed."""
        return cls(read_networks("trusted_proxies", settings.trusted_proxies), settings.proxy_header.encode())

    def is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether this address is a trusted proxy."""
        return any(address in network for network in self.networks)


def client_ip_getter(scope: Any, proxies: TrustedProxies) -> Callable[[], str]:
    """Return a function that finds the client's address when it is needed."""
    return partial(find_client_ip, scope, proxies)


def find_client_ip(scope: Any, proxies: TrustedProxies) -> str:
    """Return the nearest address that is not a trusted proxy. IPv6 addresses are reduced to their network.

    The header is read from its end, where the nearest proxy appends. Entries that the client forged come
    earlier and are never reached.
    """
    client = scope.get("client")
    address = None if client is None else _read(client[0])
    if address is None:
        return UNKNOWN
    entries = _entries(scope, proxies.header) if proxies.networks else []
    while entries and proxies.is_trusted(address):
        forwarded = _read(entries.pop())
        if forwarded is None:
            break
        address = forwarded
    if isinstance(address, IPv6Address):
        return str(ip_network((address.packed, IPV6_PREFIX), strict=False))
    return str(address)


def _entries(scope: Any, header: bytes) -> list[str]:
    """Return the forwarded addresses. The entry of the nearest proxy is the last one."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == header]
    entries = ",".join(values).split(",")
    if header == b"forwarded":
        return [match[1].strip('"') if (match := _FOR.search(entry)) else "" for entry in entries]
    return [entry.strip() for entry in entries]


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address with optional brackets and port. Returns None if it is invalid."""
    match = _ENTRY.fullmatch(text)
    try:
        address = ip_address(next(part for part in match.groups() if part)) if match else None
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
