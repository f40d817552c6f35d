"""A request with an idempotency key loses its connection at COMMIT: it is executed once, and retries return
its response.
"""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import msgspec
import pytest

from cockade import app
from cockade.config import Config
from tests.storage.proxy import Cut, Proxy
from tests.storage.test_commit import earned_count
from tests.support import Org, client_for, earn_bulk_body


async def call(proxy: Proxy, org: Org, body: Any, key: str) -> httpx.Response:
    """Send an earnBulk to a service that reaches its database through the proxy."""
    async with app.running_services(proxy.url, Config(pool_size=2)) as proxied:
        # The caller is known already, so that the COMMIT of the request itself is the first one.
        services = msgspec.structs.replace(proxied, auth=org.services.auth)
        async with client_for(services, org.credential) as client:
            return await client.post("/customer/earnBulk", json=body, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("cut", list(Cut))
async def test_lost_commit_is_recovered_by_the_key(org: Org, proxy: Proxy, cut: Cut) -> None:
    badge_id, key = await org.make_badge(), secrets.token_hex(8)
    body = earn_bulk_body(badge_id, [3, 1, 2])
    proxy.cut = cut
    answer = await call(proxy, org, body, key)
    assert proxy.commits_cut == 1
    assert answer.status_code == 200, answer.text
    again = await org.client.post("/customer/earnBulk", json=body, headers={"Idempotency-Key": key})
    assert (again.status_code, again.content) == (200, answer.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await earned_count(org, badge_id) == 3


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.BEFORE_ANSWER])
async def test_unknown_outcome_gets_503_and_a_retry_returns_it(org: Org, proxy: Proxy, cut: Cut) -> None:
    badge_id, key = await org.make_badge(), secrets.token_hex(8)
    body = earn_bulk_body(badge_id, [3, 1, 2])
    proxy.cut, proxy.gone_after_cut = cut, True
    answer = await call(proxy, org, body, key)
    assert answer.status_code == 503
    assert "outcome is unknown" in answer.text
    assert "same idempotency key" in answer.text
    again = await org.client.post("/customer/earnBulk", json=body, headers={"Idempotency-Key": key})
    assert again.status_code == 200
    assert ("Idempotent-Replayed" in again.headers) is (cut is Cut.BEFORE_ANSWER)
    assert await earned_count(org, badge_id) == 3
