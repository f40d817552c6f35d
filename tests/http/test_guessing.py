"""Failed logins are limited per name and address, across processes, without locking out users of a known
address.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta

import httpx
import msgspec
import pytest
import pytest_asyncio
from argon2 import extract_parameters
from argon2.exceptions import VerifyMismatchError

from cockade import clock
from cockade.app import Services
from cockade.auth.model import NewCredential
from cockade.auth.service import CACHE_S, CONCURRENT_HASHES_MAX, AuthService
from cockade.config import Config
from cockade.errors import NotAuthenticated, TooManyFailedLogins
from tests.http.answers import failure, message
from tests.support import Org, client_for

ROOT = "http://test"
PER_NAME, PER_ADDRESS, WINDOW_S = 3, 5, 300
SETTINGS = Config(
    login_failures_per_username=PER_NAME,
    login_failures_per_ip=PER_ADDRESS,
    login_failure_window_s=WINDOW_S,
    trusted_proxies="127.0.0.0/8",
)


def an_address() -> str:
    """One that no other test calls from."""
    return f"198.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(256)}"


class World:
    """Processes of one service, whose clocks can be moved."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.later = timedelta()

    def process(self) -> AuthService:
        """One that remembers nothing of the others but what is in the database."""
        return AuthService(self.org.services.database, self._now, SETTINGS, self._timer)

    async def make_credential(self) -> NewCredential:
        auth = self.org.services.auth
        return await auth.create_credential(self.org.caller.org_id, secrets.token_hex(8))

    def _now(self) -> datetime:
        return clock.now() + self.later

    def _timer(self) -> float:
        return self._now().timestamp()


@pytest.fixture
def world(shared_org: Org) -> World:
    return World(shared_org)


async def outcome(auth: AuthService, name: str, secret: str, address: str) -> str:
    try:
        await auth.authenticate_basic(name, secret, lambda: address)
    except NotAuthenticated:
        return "wrong"
    except TooManyFailedLogins as error:
        return "throttled" if 0 < error.retry_after_s <= WINDOW_S else "throttled too long"
    return "in"


async def guess(auth: AuthService, name: str, times: int, address: Callable[[], str]) -> list[str]:
    return [await outcome(auth, name, secrets.token_hex(4), address()) for _ in range(times)]


@pytest.mark.parametrize("exists", [True, False])
async def test_a_name_is_guessed_a_few_times_whether_or_not_it_exists(world: World, exists: bool) -> None:
    name = (await world.make_credential()).username if exists else secrets.token_hex(8)
    found = await guess(world.process(), name, PER_NAME + 2, an_address)
    assert found == ["wrong"] * PER_NAME + ["throttled"] * 2


async def test_an_address_guesses_a_few_times_whatever_the_names(world: World) -> None:
    auth, address = world.process(), an_address()
    found = [await outcome(auth, secrets.token_hex(8), "x", address) for _ in range(PER_ADDRESS + 1)]
    assert found == ["wrong"] * PER_ADDRESS + ["throttled"]


async def test_where_guessing_is_throttled_the_secret_is_not_looked_at(world: World) -> None:
    auth, credential = world.process(), await world.make_credential()
    await guess(auth, credential.username, PER_NAME, an_address)
    assert await outcome(auth, credential.username, credential.secret, an_address()) == "throttled"


async def test_processes_count_together(world: World) -> None:
    name, address = secrets.token_hex(8), an_address()
    found = [(await guess(world.process(), name, 1, lambda: address))[0] for _ in range(PER_NAME + 1)]
    assert found == ["wrong"] * PER_NAME + ["throttled"]


async def test_guessing_side_by_side_gains_next_to_nothing(world: World) -> None:
    auth, name, address = world.process(), secrets.token_hex(8), an_address()
    found = await asyncio.gather(*(outcome(auth, name, str(n), address) for n in range(20)))
    assert PER_NAME <= found.count("wrong") < PER_NAME + CONCURRENT_HASHES_MAX


async def test_time_clears(world: World) -> None:
    auth, credential, address = world.process(), await world.make_credential(), an_address()
    await guess(auth, credential.username, PER_NAME, lambda: address)
    world.later = timedelta(seconds=WINDOW_S - 10)
    assert await outcome(auth, credential.username, credential.secret, address) == "throttled"
    world.later = timedelta(seconds=WINDOW_S + 1)
    assert await outcome(auth, credential.username, credential.secret, address) == "in"


async def test_successful_login_deletes_only_its_own_failures(world: World) -> None:
    auth, credential, address = world.process(), await world.make_credential(), an_address()
    other = secrets.token_hex(8)
    await guess(auth, credential.username, PER_NAME - 1, lambda: address)
    await guess(auth, other, PER_NAME - 1, lambda: address)
    assert await outcome(auth, credential.username, credential.secret, address) == "in"
    assert await guess(auth, credential.username, PER_NAME, lambda: address) == ["wrong"] * PER_NAME
    assert await guess(auth, other, 1, lambda: address) == ["throttled"]  # the address, by now


async def test_other_addresses_do_not_lock_out_a_known_user(world: World) -> None:
    """A neighbour behind the same address cannot lock out a user either, even in a new process."""
    credential, address = await world.make_credential(), an_address()
    assert await outcome(world.process(), credential.username, credential.secret, address) == "in"
    await guess(world.process(), credential.username, PER_NAME, an_address)
    for _ in range(PER_ADDRESS):
        await outcome(world.process(), secrets.token_hex(8), "x", address)
    assert await outcome(world.process(), credential.username, "x", an_address()) == "throttled"
    assert await outcome(world.process(), secrets.token_hex(8), "x", address) == "throttled"
    assert await outcome(world.process(), credential.username, credential.secret, address) == "in"
    # From there, too, it can be guessed a few times only.
    assert await guess(world.process(), credential.username, PER_NAME + 1, lambda: address) == [
        *["wrong"] * PER_NAME,
        "throttled",
    ]


async def test_cached_credentials_need_no_check(world: World) -> None:
    auth, credential, address = world.process(), await world.make_credential(), an_address()
    assert await outcome(auth, credential.username, credential.secret, address) == "in"
    await guess(auth, credential.username, PER_NAME, lambda: address)
    assert await outcome(auth, credential.username, credential.secret, address) == "in"
    world.later = timedelta(seconds=CACHE_S + 1)
    assert await outcome(auth, credential.username, credential.secret, address) == "throttled"


@pytest_asyncio.fixture
async def client(world: World) -> AsyncGenerator[httpx.AsyncClient]:
    """A client behind a trusted proxy, for a service with these limits."""
    services = world.org.services
    config = msgspec.structs.replace(SETTINGS, database_url="")
    bounded = msgspec.structs.replace(services, auth=world.process(), config=config)
    async with client_for(bounded, None) as anybody:
        anybody.headers["X-Forwarded-For"] = an_address()
        yield anybody


async def test_basic_is_throttled_and_says_until_when(client: httpx.AsyncClient) -> None:
    name = secrets.token_hex(8)
    statuses = [(await client.get("/badgeMeta", auth=(name, "x"))).status_code for _ in range(PER_NAME)]
    assert statuses == [401] * PER_NAME
    answer = await client.get("/badgeMeta", auth=(name, "x"))
    assert failure(answer, 429) == [(429, None)]
    assert "Too many failed sign-ins" in message(answer)
    assert WINDOW_S - 60 < int(answer.headers["Retry-After"]) <= WINDOW_S
    elsewhere = {"X-Forwarded-For": an_address()}
    assert (await client.get("/badgeMeta", auth=(name, "x"), headers=elsewhere)).status_code == 429
    assert (await client.get("/badgeMeta", auth=("another", "x"), headers=elsewhere)).status_code == 401


async def test_asking_for_tokens_is_throttled(client: httpx.AsyncClient) -> None:
    key = secrets.token_hex(8)
    form = {"grant_type": "client_credentials", "client_id": key, "client_secret": "x"}
    statuses: list[int] = []
    for _ in range(PER_NAME - 1):
        answer = await client.post(f"{ROOT}/v3/oauth/token/generate", json={"key": key, "secret": "x"})
        statuses.append(answer.status_code)
    statuses.append((await client.post(f"{ROOT}/oauth/token", data=form)).status_code)
    assert statuses == [401] * PER_NAME
    answer = await client.post(f"{ROOT}/v3/oauth/token/generate", json={"key": key, "secret": "x"})
    assert failure(answer, 429) == [(429, None)]
    standard = await client.post(f"{ROOT}/oauth/token", data=form)
    assert (standard.status_code, standard.json()["error"]) == (429, "temporarily_unavailable")
    assert int(standard.headers["Retry-After"]) > 0


def test_an_unknown_name_costs_as_much_as_a_known_one(services: Services) -> None:
    hasher, nobody = services.auth._hasher, services.auth._dummy_hash
    assert extract_parameters(nobody) == extract_parameters(hasher.hash("a secret"))
    with pytest.raises(VerifyMismatchError):  # not InvalidHashError, which comes at once
        hasher.verify(nobody, "a secret")
