"""Signing keys can be rotated without interruption, and a revoked one stops working within a minute."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import jwt
import pytest
import pytest_asyncio

from cockade import app, clock
from cockade.app import Services
from cockade.audit.model import COMMAND_LINE, Action, EntryFilter
from cockade.auth.model import NewCredential
from cockade.auth.service import CACHE_S, AuthService
from cockade.config import Config
from cockade.errors import NotAuthenticated, SigningKeyInUse, SigningKeyNotFound
from tests.support import Org, make_org, migrated_database


@pytest_asyncio.fixture(scope="module")
async def apart(database_url: str) -> AsyncGenerator[Services]:
    """A database of our own: keys belong to no org, so all other tests would share what is done to them."""
    async with (
        migrated_database(database_url) as url,
        app.running_services(url, Config(pool_size=4)) as services,
    ):
        yield services


@pytest_asyncio.fixture(scope="module")
async def org(apart: Services) -> AsyncGenerator[Org]:
    made = await make_org(apart, f"keys-{time.time_ns()}")
    async with made.client:
        yield made


def kid(token: str) -> str:
    return jwt.get_unverified_header(token)["kid"]


async def token_of(auth: AuthService, credential: NewCredential) -> str:
    return (await auth.generate_token(credential.client_key, credential.client_secret)).access_token


def another_process(services: Services) -> AuthService:
    return AuthService(services.database, services.clock)


async def test_a_new_key_signs_at_once_everywhere_and_the_old_one_still_verifies(
    apart: Services, org: Org
) -> None:
    old = await token_of(apart.auth, org.credential)
    made = await apart.auth.rotate_signing_key()
    new = await token_of(another_process(apart), org.credential)
    assert (kid(new), made.signs) == (made.key_id, True)
    assert kid(old) != kid(new)
    for token in (old, new):
        assert (await another_process(apart).authenticate_token(token)).username == org.credential.username


async def test_tokens_of_a_retired_key_are_rejected_and_others_stay_valid(apart: Services, org: Org) -> None:
    old = await token_of(apart.auth, org.credential)
    await apart.auth.rotate_signing_key()
    new = await token_of(apart.auth, org.credential)
    await apart.auth.retire_signing_key(kid(old))
    with pytest.raises(NotAuthenticated, match="unknown key"):
        await another_process(apart).authenticate_token(old)
    await another_process(apart).authenticate_token(new)
    assert kid(old) not in [key.key_id for key in await apart.auth.list_signing_keys()]


async def test_changes_of_keys_are_in_the_audit_trail(apart: Services) -> None:
    retired = (await apart.auth.list_signing_keys())[0].key_id
    made = await apart.auth.rotate_signing_key()
    await apart.auth.retire_signing_key(retired)
    entries = await apart.audit.list_entries(EntryFilter(), None, 2)
    assert [(entry.action, entry.subject, entry.username, entry.org_id) for entry in entries] == [
        (Action.SIGNING_KEY_RETIRE, retired, COMMAND_LINE, None),
        (Action.SIGNING_KEY_ROTATE, made.key_id, COMMAND_LINE, None),
    ]


async def test_list_shows_when_a_keys_last_token_expires(apart: Services) -> None:
    await apart.auth.rotate_signing_key()
    newest, next_newest, *_ = await apart.auth.list_signing_keys()
    assert (newest.signs, newest.last_token_expires_at) == (True, None)
    assert next_newest.signs is False
    assert next_newest.last_token_expires_at == newest.created_at + timedelta(hours=1)


async def test_the_key_that_signs_cannot_be_retired(apart: Services) -> None:
    made = await apart.auth.rotate_signing_key()
    with pytest.raises(SigningKeyInUse):
        await apart.auth.retire_signing_key(made.key_id)
    with pytest.raises(SigningKeyNotFound):
        await apart.auth.retire_signing_key("none")


async def test_a_key_from_a_clock_that_is_behind_signs_all_the_same(apart: Services) -> None:
    behind = AuthService(apart.database, lambda: clock.now() - timedelta(days=1))
    await apart.auth.rotate_signing_key()
    made = await behind.rotate_signing_key()
    assert (await apart.auth.list_signing_keys())[0].key_id == made.key_id


async def test_revoked_credential_stops_working_within_a_minute(apart: Services, org: Org) -> None:
    """In a process that has verified it just before; its timer is moved, and nothing else."""
    elapsed = [0.0]
    auth = AuthService(apart.database, apart.clock, timer=lambda: elapsed[0])
    made = await apart.auth.create_credential(org.caller.org_id, secrets.token_hex(6))
    token = await token_of(auth, made)
    await auth.authenticate_basic(made.username, made.secret)
    await auth.authenticate_token(token)
    await apart.auth.revoke_credential(made.username)
    elapsed[0] = CACHE_S - 0.001
    await auth.authenticate_basic(made.username, made.secret)
    await auth.authenticate_token(token)
    elapsed[0] = CACHE_S
    assert CACHE_S <= 60
    with pytest.raises(NotAuthenticated):
        await auth.authenticate_basic(made.username, made.secret)
    with pytest.raises(NotAuthenticated):
        await auth.authenticate_token(token)


async def test_the_tokens_of_a_retired_key_end_within_a_minute_too(apart: Services, org: Org) -> None:
    now, elapsed = [clock.now()], [0.0]

    def at() -> datetime:
        return now[0]

    auth = AuthService(apart.database, at, timer=lambda: elapsed[0])
    token = await token_of(auth, org.credential)
    await auth.authenticate_token(token)
    await apart.auth.rotate_signing_key()
    await apart.auth.retire_signing_key(kid(token))
    await auth.authenticate_token(token)
    elapsed[0] = CACHE_S
    with pytest.raises(NotAuthenticated):
        await auth.authenticate_token(token)
