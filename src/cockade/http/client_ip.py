"""Where a request comes from: the other end of its connection, or whoever a listed proxy says that it speaks for."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from msgspec import Struct

from cockade.config import Config, read_networks

IPV6_PREFIX = 64
"""Whoever has one address of such a network has all of them."""
UNKNOWN = "unknown"
"""A connection without addresses, such as one through a socket in the file system."""
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]*)', re.IGNORECASE)
_ENTRY = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>\d+(?:\.\d+){3})(?::\d+)?|(?P<bare>[0-9A-Fa-f:.]+)")


class TrustedProxies(Struct, frozen=True):
    """Whom to believe, and where to look."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    header: bytes

    @classmethod
    def from_config(cls, settings: Config) -> TrustedProxies:
        """Raises SetupError where a network cannot be read."""
        return cls(read_networks("trusted_proxies", settings.trusted_proxies), settings.proxy_header.encode())

    def is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        """Whether what it says of others is believed."""
        return any(address in network for network in self.networks)


def client_ip_getter(scope: Any, proxies: TrustedProxies) -> Callable[[], str]:
    """Where the request of this scope comes from, worked out when asked for."""
    return partial(find_client_ip, scope, proxies)


def find_client_ip(scope: Any, proxies: TrustedProxies) -> str:
    """The nearest address that is no listed proxy; of IPv6 its network.

    The header is read from its end, where the nearest proxy writes: what the caller wrote into it stands before and is
    never reached.
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
    """Whom the proxies speak for, the nearest proxy's word last."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == header]
    entries = ",".join(values).split(",")
    if header == b"forwarded":
        return [found[1].strip('"') if (found := _FOR.search(entry)) else "" for entry in entries]
    return [entry.strip() for entry in entries]


def _read(text: str) -> IPv4Address | IPv6Address | None:
    """An address with or without brackets and port; None where it is none."""
    found = _ENTRY.fullmatch(text)
    try:
        address = ip_address(next(part for part in found.groups() if part)) if found else None
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
