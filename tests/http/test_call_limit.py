"""The limit of calls per credential: off unless it is set, and shared by all processes."""

from __future__ import annotations

import asyncio
import re
import secrets
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cockade.app import Services
from cockade.ids import CredentialId
from cockade.rate_limit.service import RateLimiter
from tests.http.answers import failure, success
from tests.support import Org, client_for

NOON = datetime(2026, 1, 1, 12, 0, 15, tzinfo=UTC)


class Instant:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


def limited(services: Services, limit: int, instant: Instant) -> Services:
    return msgspec.structs.replace(services, rate_limiter=RateLimiter(services.database, instant, limit))


async def test_a_credential_makes_its_calls_and_no_more(org: Org) -> None:
    instant = Instant()
    async with client_for(limited(org.services, 3, instant), org.credential) as client:
        for left in (2, 1, 0):
            answer = await client.get("/badgeMeta")
            success(answer)
            assert answer.headers["RateLimit-Policy"] == '"credential";q=3;w=60'
            assert answer.headers["RateLimit"] == f'"credential";r={left};t=45'
        answer = await client.post("/badgeMeta", json={})
        assert failure(answer, 429) == [(429, None)]
        assert answer.headers["Retry-After"] == "45"
        assert answer.headers["RateLimit"] == '"credential";r=0;t=45'
        instant.at += timedelta(seconds=45)
        assert (await client.get("/badgeMeta")).headers["RateLimit"] == '"credential";r=2;t=60'


async def test_it_is_off_by_default(org: Org) -> None:
    answer = await org.client.get("/badgeMeta")
    assert org.services.rate_limiter is None
    assert not [name for name in answer.headers if re.match("ratelimit", name, re.IGNORECASE)]


@pytest.mark.parametrize(("limit", "lost_max"), [(30, 0), (1000, 20)])
async def test_processes_share_the_limit(services: Services, limit: int, lost_max: int) -> None:
    """Three processes, each asked by many callers at once: never more than the limit, and hardly fewer."""
    credential_id = CredentialId(secrets.randbelow(2**62))
    processes = [RateLimiter(services.database, Instant(), limit) for _ in range(3)]
    calls = [processes[n % 3].take(credential_id) for n in range(limit + 30)]
    allowed = sum(allowance.left >= 0 for allowance in await asyncio.gather(*calls))
    assert limit - lost_max <= allowed <= limit


async def test_a_clock_that_is_behind_gains_nothing(services: Services) -> None:
    credential_id, behind = CredentialId(secrets.randbelow(2**62)), Instant()
    ahead = RateLimiter(services.database, Instant(), 2)
    assert [(await ahead.take(credential_id)).left for _ in range(3)] == [1, 0, -1]
    behind.at -= timedelta(minutes=1)
    assert (await RateLimiter(services.database, behind, 2).take(credential_id)).left == -1
