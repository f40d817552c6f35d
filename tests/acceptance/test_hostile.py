"""Malformed and hostile requests on real connections: no 5xx, no request smuggling, bounded memory and time."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import httpx
import psutil
import pytest

from cockade.http.urls import BASE_PATH
from tests.acceptance.service import Service, running, temporary_home

BODY_S_MAX = 2
MIB = 1024 * 1024
HUGE = 200 * MIB
GROWTH_MAX = 64 * MIB
"""Maximum growth of a worker after bodies that are too large."""
CHUNK = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def hasty() -> Generator[Service]:
    """A service that waits only a moment for bodies."""
    settings = {"BODY_TIMEOUT_S": str(BODY_S_MAX)}
    with temporary_home() as home, running(Service(home, workers=1, settings=settings)) as started:
        yield started


@pytest.fixture(scope="module")
def post(hasty: Service) -> bytes:
    """The head of an earnBulk by a known caller, but for its last lines."""
    shown = hasty.first_credential()
    proof = base64.b64encode(f"{shown['username']}:{shown['secret']}".encode()).decode()
    head = f"POST {BASE_PATH}/customer/earnBulk HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {proof}\r\n"
    with connection(hasty) as line:
        line.sendall(f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 400 ")
    return head.encode()


@contextmanager
def connection(service: Service) -> Generator[socket.socket]:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        yield line


def answers(service: Service, sent: bytes, *, silence_s: float = 0.5) -> tuple[list[int], bytes]:
    """The statuses of all answers on one connection, and all that was received, until it is closed or silent."""
    received = b""
    with connection(service) as line:
        with suppress(OSError):
            line.sendall(sent)
        with suppress(OSError):
            while part := line.recv(65536):
                received += part
                line.settimeout(silence_s)
    lines = received.split(b"HTTP/1.")[1:]
    return [int(found[2:5]) for found in lines], received


def memory(service: Service) -> int:
    """Bytes that the workers really hold."""
    return sum(worker.memory_full_info().pss for worker in service.workers)


def assert_serves(service: Service) -> None:
    assert httpx.get(f"{service.origin}/healthz", timeout=30).status_code == 200


@pytest.mark.parametrize("framing", ["announced", "chunked"])
def test_a_body_of_200_mb_is_refused_and_not_kept(
    hasty: Service, post: bytes, framing: str, record_property: Callable[[str, object], None]
) -> None:
    before, sent, received = memory(hasty), 0, b""
    framed = {"announced": b"Content-Length: %d" % HUGE, "chunked": b"Transfer-Encoding: chunked"}
    with connection(hasty) as line:
        line.sendall(post + framed[framing] + b"\r\n\r\n")
        # The server responds and closes the connection before the whole body is sent.
        with suppress(OSError):
            while sent < HUGE:
                line.sendall(CHUNK if framing == "chunked" else b" " * MIB)
                sent += MIB
        with suppress(OSError):
            received = line.recv(4096)
    growth = memory(hasty) - before
    record_property(f"200 MB, {framing}", f"{sent // MIB} MiB taken, workers grew by {growth / MIB:.1f} MiB")
    assert received == b"" or received.startswith(b"HTTP/1.1 413 ")
    assert growth < GROWTH_MAX
    assert_serves(hasty)


def test_a_body_that_never_ends_is_408_and_the_connection_is_closed(hasty: Service, post: bytes) -> None:
    started = time.monotonic()
    statuses, received = answers(hasty, post + b"Content-Length: 100\r\n\r\n{", silence_s=10)
    assert statuses == [408]
    assert b'"code":408' in received
    assert BODY_S_MAX <= time.monotonic() - started < BODY_S_MAX + 8


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        (b"Content-Length: -1\r\n\r\n{}", [400]),
        (b"Content-Length: two\r\n\r\n{}", [400]),
        (b"Content-Length: +2\r\n\r\n{}", [400]),
        (b"Content-Length: 99999999999999999999999\r\n\r\n{}", [400]),
        (b"Content-Length: 9223372036854775807\r\n\r\n{}", [413]),
        (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", [400]),
        (b"Content-Length: 2, 2\r\n\r\n{}", [400]),
        (b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400]),
        (b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [400]),
        (b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", [400]),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", [400]),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", [400]),
        (b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n", [400]),
        (b"X A: 1\r\nContent-Length: 2\r\n\r\n{}", [400]),
        (b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}", [400]),
        (b"X-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}", [400]),
        (b"".join(b"X-%d: a\r\n" % number for number in range(5_000)) + b"\r\n", [431]),
        (b"X-A: " + b"a" * MIB + b"\r\n\r\n", [431]),
        # Two that can be framed in two ways: the chunks count, and nothing behind them is taken for a request.
        (b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEALTH, [400]),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + HEALTH, [400]),
        # A body that looks like a request is a body.
        (b"Content-Length: %d\r\n\r\n" % len(HEALTH) + HEALTH, [400]),
        (b"Content-Length: %d\r\n\r\n" % len(HEALTH) + HEALTH + HEALTH, [400, 200]),
    ],
)
def test_a_request_that_is_framed_badly_is_refused_and_smuggles_nothing(
    hasty: Service, post: bytes, lines: bytes, statuses: list[int]
) -> None:
    assert answers(hasty, post + lines)[0] == statuses
    assert_serves(hasty)


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        (b"GET /healthz", [400]),
        (b"GET /healthz HTTP/3.0", [400]),
        (b"GET http://elsewhere/healthz HTTP/1.1", [200]),
        (b"GET elsewhere:80 HTTP/1.1", [404]),
        (b"GET healthz HTTP/1.1", [404]),
        (b"GET /\0 HTTP/1.1", [400]),
        (b"GET /\xff\xfe HTTP/1.1", [400]),
        (b"GET /a b HTTP/1.1", [400]),
        (b"GET /% HTTP/1.1", [404]),
        (b"GET /%zz/%00/%c0%af HTTP/1.1", [404]),
        (b"GET /docs/assets/../../../openapi.json HTTP/1.1", [404]),
        (b"GET /docs/assets/%2e%2e/%2e%2e/http/app.py HTTP/1.1", [404]),
        (b"GET /" + b"a" * 60_000 + b" HTTP/1.1", [404]),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", [414]),
        (b"GET /healthz?" + b"&".join(b"a%d=1" % number for number in range(5_000)) + b" HTTP/1.1", [200]),
        (b"HEAD /healthz HTTP/1.1", [405]),
        (b"OPTIONS /healthz HTTP/1.1", [204]),
        (b"OPTIONS * HTTP/1.1", [404]),
        (b"TRACE /healthz HTTP/1.1", [405]),
        (b"CONNECT elsewhere:80 HTTP/1.1", [404]),
        (b"get /healthz HTTP/1.1", [405]),
    ],
)
def test_a_strange_first_line_is_no_error_of_the_server(
    hasty: Service, line: bytes, statuses: list[int]
) -> None:
    assert answers(hasty, line + b"\r\nHost: x\r\n\r\n")[0] == statuses
    assert_serves(hasty)


def test_requests_sent_in_one_go_are_answered_in_order(hasty: Service) -> None:
    missing = b"GET /nowhere/at/all HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answers(hasty, HEALTH + missing + HEALTH)[0] == [200, 404, 200]


@pytest.mark.parametrize(
    "sent", [b"\0\1\2\3" * 100 + b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
)
def test_malformed_http_is_rejected(hasty: Service, sent: bytes) -> None:
    assert answers(hasty, sent)[0] == [400]
    assert_serves(hasty)


def test_many_large_bodies_at_once_are_bounded_in_memory(
    hasty: Service, post: bytes, record_property: Callable[[str, object], None]
) -> None:
    """Forty bodies of 15 MiB would be 600 MiB; room is for 64."""
    before, highest = memory(hasty), 0
    lines = [socket.create_connection(("127.0.0.1", hasty.port), timeout=30) for _ in range(40)]
    for line in lines:
        line.setblocking(False)
        with suppress(OSError):
            line.send(post + b"Content-Length: %d\r\n\r\n" % (15 * MIB))
    until = time.monotonic() + BODY_S_MAX + 1
    while time.monotonic() < until:
        for line in lines:
            with suppress(OSError):
                line.send(b" " * MIB)
        highest = max(highest, memory(hasty))
    for line in lines:
        line.close()
    growth = highest - before
    record_property("40 bodies of 15 MiB at once", f"the worker grew by {growth / MIB:.1f} MiB at most")
    assert growth < 160 * MIB
    assert_serves(hasty)
    assert all(psutil.pid_exists(worker.pid) for worker in hasty.workers)
