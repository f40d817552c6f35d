"""The client's IP address: the peer of the connection, or the address that a trusted proxy reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from msgspec import Struct

from cockade.config import Config, read_networks

IPV6_PREFIX = 64
"""A client with one address of such a network usually has all of them."""
UNKNOWN = "unknown"
"""A connection without an address, such as a Unix socket."""
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_ENTRY = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>\d+(?:\.\d+){3})(?::\d+)?|(?P<bare>[0-9A-Fa-f:.]+)")


class TrustedProxies(Struct, frozen=True):
    """The networks of trusted proxies, and the header that they set."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    header: bytes

    @classmethod
    def from_config(cls, settings: Config) -> TrustedProxies:
        """Raises SetupError if a network is invalid."""
        return cls(read_networks("trusted_proxies", settings.trusted_proxies), settings.proxy_header.encode())

    def is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether headers from this address are trusted."""
        return any(address in network for network in self.networks)


def client_ip_getter(scope: Any, proxies: TrustedProxies) -> Callable[[], str]:
    """Return a function that determines the client address of this scope when called."""
    return partial(find_client_ip, scope, proxies)


def find_client_ip(scope: Any, proxies: TrustedProxies) -> str:
    """Return the nearest address that is not a trusted proxy; for IPv6 its network.

    The header is read from its end, where the nearest proxy writes. Values sent by the client come first, so
    they are never used.
    """
    client = scope.get("client")
    address = None if client is None else _read(client[0])
    if address is None:
        return UNKNOWN
    entries = _entries(scope, proxies.header) if proxies.networks else []
    while entries and proxies.is_trusted(address):
        said = _read(entries.pop())
        if said is None:
            break
        address = said
    if isinstance(address, IPv6Address):
        return str(ip_network((address.packed, IPV6_PREFIX), strict=False))
    return str(address)


def _entries(scope: Any, header: bytes) -> list[str]:
    """Return the addresses in the header; the last one is from the nearest proxy."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == header]
    entries = ",".join(values).split(",")
    if header == b"forwarded":
        return [found[1].strip('"') if (found := _FOR.search(entry)) else "" for entry in entries]
    return [entry.strip() for entry in entries]


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address with or without brackets and port. Return None if it is invalid."""
    found = _ENTRY.fullmatch(text)
    try:
        address = ip_address(next(part for part in found.groups() if part)) if found else None
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
