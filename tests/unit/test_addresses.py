"""The client IP address, with and without trusted proxies."""

from __future__ import annotations

import pytest

from cockade.config import Config
from cockade.errors import SetupError
from cockade.http.client_ip import TrustedProxies, find_client_ip

PROXIES = "10.0.0.0/8, fd00::/8"
XFF, FORWARDED = "x-forwarded-for", "forwarded"


def client_ip(peer: str | None, proxies: str, header: str, *values: tuple[str, str]) -> str:
    settings = Config(trusted_proxies=proxies, proxy_header=header)  # pyright: ignore[reportArgumentType]
    headers = [(name.encode(), value.encode()) for name, value in values]
    client = None if peer is None else (peer, 4711)
    return find_client_ip({"client": client, "headers": headers}, TrustedProxies.from_config(settings))


@pytest.mark.parametrize(
    ("peer", "proxies", "header", "values", "expected"),
    [
        ("192.0.2.1", "", XFF, [], "192.0.2.1"),
        ("192.0.2.1", "", XFF, [(XFF, "192.0.2.9")], "192.0.2.1"),
        ("192.0.2.1", PROXIES, XFF, [(XFF, "192.0.2.9")], "192.0.2.1"),
        ("10.0.0.1", PROXIES, XFF, [], "10.0.0.1"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "192.0.2.9")], "192.0.2.9"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "203.0.113.7, 192.0.2.9")], "192.0.2.9"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "203.0.113.7"), (XFF, "192.0.2.9, 10.9.9.9")], "192.0.2.9"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "192.0.2.9:5555")], "192.0.2.9"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "192.0.2.9, nonsense")], "10.0.0.1"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "999.0.2.9")], "10.0.0.1"),
        ("10.0.0.1", PROXIES, XFF, [(XFF, "")], "10.0.0.1"),
        ("10.0.0.1", PROXIES, XFF, [(FORWARDED, "for=192.0.2.9")], "10.0.0.1"),
        ("10.0.0.1", PROXIES, FORWARDED, [(XFF, "192.0.2.9")], "10.0.0.1"),
        ("10.0.0.1", PROXIES, FORWARDED, [(FORWARDED, "for=192.0.2.9;proto=https")], "192.0.2.9"),
        ("10.0.0.1", PROXIES, FORWARDED, [(FORWARDED, "for=203.0.113.7, proto=http;For=192.0.2.9")], "192.0.2.9"),
        ("10.0.0.1", PROXIES, FORWARDED, [(FORWARDED, 'for="[2001:db8::17]:4711"')], "2001:db8::/64"),
        ("10.0.0.1", PROXIES, FORWARDED, [(FORWARDED, "for=_hidden")], "10.0.0.1"),
        ("fd00::1", PROXIES, XFF, [(XFF, "2001:db8:1:2:3:4:5:6")], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "", XFF, [], "192.0.2.1"),
        ("::ffff:10.0.0.1", PROXIES, XFF, [(XFF, "192.0.2.9")], "192.0.2.9"),
        (None, PROXIES, XFF, [(XFF, "192.0.2.9")], "unknown"),
    ],
)  # fmt: skip
def test_forwarded_address_is_used_only_from_a_trusted_proxy(
    peer: str | None, proxies: str, header: str, values: list[tuple[str, str]], expected: str
) -> None:
    assert client_ip(peer, proxies, header, *values) == expected


@pytest.mark.parametrize("proxies", ["proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1;10.0.0.2"])
def test_invalid_proxy_network_is_rejected(proxies: str) -> None:
    with pytest.raises(SetupError, match="COCKADE_TRUSTED_PROXIES"):
        TrustedProxies.from_config(Config(trusted_proxies=proxies))
