"""Limits on request bodies: no encoding, bounded time, bounded memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from cockade.app import Services
from tests.http.answers import failure, message, success
from tests.http.test_openapi import OPERATIONS
from tests.support import Org, client_for, earn_bulk_body

BODY_S_MAX = 1
LARGE = 100_000
ENCODED = [name for name, (method, _) in OPERATIONS.items() if method in ("post", "put")]
WITHOUT_BODY = {
    "activateBadge", "deactivateBadge", "pauseJob", "resumeJob", "cancelJob", "rotateWebhookSecret", "testWebhook",
}  # fmt: skip
STREAMED = {"createJob"}
"""Operations that accept a compressed body."""


def changed(services: Services, **settings: Any) -> Services:
    return msgspec.structs.replace(services, config=msgspec.structs.replace(services.config, **settings))


@pytest.mark.parametrize("name", sorted(set(ENCODED) - WITHOUT_BODY - STREAMED))
async def test_compressed_body_is_415(shared_org: Org, name: str) -> None:
    method, path = OPERATIONS[name]
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = await shared_org.client.request(method, f"http://test{path}", content=b"{}", headers=headers)
    assert failure(answer, 415) == [(415, None)]
    assert "without compression" in message(answer)
    assert answer.headers["Accept-Encoding"] == "identity"


async def test_identity_is_no_encoding(shared_org: Org) -> None:
    headers = {"Content-Encoding": "Identity"}
    success(await shared_org.client.post("/group", json={"name": "identity"}, headers=headers), 201)


async def test_a_body_that_drips_is_408_after_its_time_and_the_connection_is_closed(shared_org: Org) -> None:
    async def dripping() -> AsyncGenerator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    services = changed(shared_org.services, body_timeout_s=BODY_S_MAX)
    async with client_for(services, shared_org.credential) as client:
        started = time.monotonic()
        answer = await client.post("/customer/earnBulk", content=dripping())
        assert failure(answer, 408) == [(408, None)]
        assert BODY_S_MAX <= time.monotonic() - started < BODY_S_MAX + 5
        assert answer.headers["Connection"] == "close"


async def test_large_bodies_wait_for_room_and_small_ones_do_not(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    services = changed(org.services, max_buffered_body_bytes=LARGE, max_body_bytes=LARGE, pool_timeout_s=1)
    body = json.dumps(earn_bulk_body(badge_id, [1])).encode()
    rest = asyncio.Event()

    async def halting() -> AsyncGenerator[bytes]:
        yield body.ljust(LARGE - 1)
        await rest.wait()
        yield b" "

    async with client_for(services, org.credential) as client:
        success(await client.get("/badgeMeta"))
        first = asyncio.create_task(client.post("/customer/earnBulk", content=halting()))
        await asyncio.sleep(0.1)
        success(await client.post("/customer/earnBulk", content=body))
        refused = await client.post("/customer/earnBulk", content=body.ljust(LARGE))
        assert failure(refused, 503) == [(503, None)]
        assert refused.headers["Retry-After"]
        rest.set()
        success(await first)
        # What was answered, refused or broken off has left.
        for _ in range(3):
            success(await client.post("/customer/earnBulk", content=body.ljust(LARGE)))


async def test_a_request_id_that_is_too_long_is_echoed_no_longer_than_it_could_be(shared_org: Org) -> None:
    answer = await shared_org.client.get("/badgeMeta", headers={"X-CAP-REQUEST-ID": "x" * 100_000})
    assert len(answer.headers["X-CAP-REQUEST-ID"]) == 256
    refused = await shared_org.client.post(
        "/customer/earnBulk", json=earn_bulk_body("0" * 24, [1]), headers={"X-CAP-REQUEST-ID": "x" * 256}
    )
    assert failure(refused, 400) == [(400, "X-CAP-REQUEST-ID")]
