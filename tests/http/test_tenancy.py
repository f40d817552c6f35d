"""The tenancy matrix: every operation of the OpenAPI document with every kind of credential.

A credential of another org reads and changes nothing, a read-only one changes nothing, and a missing or wrong
one gets nothing. The operations come from the document, so that a new one cannot be forgotten. `make
test-tenancy` prints the table.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct

from cockade.api.authentication import TOKEN_HEADER
from cockade.app import Services
from cockade.auth.model import AccessGroup, NewCredential
from cockade.auth.service import ALGORITHM, ISSUER
from tests.http.operations import (
    ENTRIES,
    ROOT,
    Operation,
    Scene,
    openapi,
    operations,
    scene_of_nowhere,
    set_the_scene,
)
from tests.support import Org, client_for, make_org

Headers = list[tuple[str, str]]

WORD = "victim"
"""Part of every name that the victim org has, so that it must not occur in other responses."""
OF_NO_ORG = {"signing_key", "schema_migration", "failed_login", "known_login_address"} | {
    f"pgqueuer{word}" for word in ("", "_log", "_statistics", "_schedules")
}
"""Tables whose rows belong to no org."""
WITHOUT_PROOF = ("revoked", "none", "wrong secret", "expired token", "two different")
COLUMNS = ("own default", "own read-only", "other org", *WITHOUT_PROOF)

OPERATIONS = operations(openapi())
GUARDED = [operation for operation in OPERATIONS if "security" in operation.described]
PUBLIC = [operation for operation in OPERATIONS if "security" not in operation.described]
TOKENS = [operation for operation in PUBLIC if "oauth" in operation.path]


class Cast(Struct, kw_only=True):
    """The callers of the matrix."""

    victim: Org
    reader: NewCredential
    revoked: NewCredential
    revoked_token: str
    """Bought before the credential was revoked."""
    stranger: Org
    """Tries the victim's ids."""
    twin: Org
    """As the stranger; tries ids that are nowhere."""
    expired_token: str

    def headers(self, column: str) -> Headers:
        """Return the credentials of a column's caller."""
        own = self.victim.credential
        proofs: dict[str, Headers] = {
            "own default": [_basic(own)],
            "own read-only": [_basic(self.reader)],
            "other org": [_basic(self.stranger.credential)],
            "revoked": [(TOKEN_HEADER, self.revoked_token)],
            "none": [],
            "wrong secret": [_basic(msgspec.structs.replace(own, secret=own.secret[::-1]))],
            "expired token": [(TOKEN_HEADER, self.expired_token)],
            "two different": [_basic(own), (TOKEN_HEADER, self.expired_token)],
        }
        return proofs[column]


def _basic(credential: NewCredential) -> tuple[str, str]:
    proof = base64.b64encode(f"{credential.username}:{credential.secret}".encode()).decode()
    return "Authorization", f"Basic {proof}"


@pytest_asyncio.fixture(scope="module")
async def cast(services: Services) -> AsyncGenerator[Cast]:
    victim, stranger, twin = [
        await make_org(services, f"{word}-{secrets.token_hex(6)}") for word in (WORD, "stranger", "twin")
    ]
    org_id, auth = victim.caller.org_id, services.auth
    reader = await auth.create_credential(org_id, secrets.token_hex(6), access_group=AccessGroup.READ_ONLY)
    revoked = await auth.create_credential(org_id, secrets.token_hex(6))
    token = await auth.generate_token(revoked.client_key, revoked.client_secret)
    await auth.revoke_credential(revoked.username)
    yield Cast(
        victim=victim,
        reader=reader,
        revoked=revoked,
        revoked_token=token.access_token,
        stranger=stranger,
        twin=twin,
        expired_token=await _expired_token(victim),
    )
    for org in (victim, stranger, twin):
        await org.client.aclose()


async def _expired_token(org: Org) -> str:
    [key, *_] = await org.services.auth._signing_keys()
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    claims = {"iss": ISSUER, "sub": str(org.caller.credential_id), "iat": an_hour_ago, "exp": an_hour_ago}
    return jwt.encode(claims, key.secret, algorithm=ALGORITHM, headers={"kid": key.key_id})


@pytest_asyncio.fixture(scope="module")
async def anybody(cast: Cast) -> AsyncGenerator[httpx.AsyncClient]:
    """A client that proves only what a request brings along."""
    async with client_for(cast.victim.services, None) as client:
        yield client


@pytest_asyncio.fixture(scope="module")
async def unchanged_scene(cast: Cast) -> Scene:
    """For operations that change nothing."""
    return await set_the_scene(cast.victim, WORD)


async def _send(client: httpx.AsyncClient, operation: Operation, scene: Scene, headers: Headers) -> Any:
    request = operation.request(client, scene)
    request.headers = httpx.Headers([*request.headers.multi_items(), *headers])
    return await client.send(request)


async def rows_of(org: Org) -> dict[str, str]:
    """Table → digest of all of its rows that belong to the org."""
    database = org.services.database
    columns = await database.transaction(
        "test.columns",
        lambda tx: tx.rows(
            "select table_name, array_agg(column_name::text) from information_schema.columns"
            " where table_schema = current_schema() group by table_name"
        ),
    )
    queries = [
        f"select '{table}', coalesce(md5(string_agg(t::text, ' ' order by t::text)), '') from {table} t"
        f" where {_belongs(table, names)}"
        for table, names in columns
        if table not in OF_NO_ORG
    ]
    found = await database.transaction(
        "test.rows", lambda tx: tx.rows(" union all ".join(queries), org.caller.org_id)
    )
    return dict(map(tuple, found))


def _belongs(table: str, columns: list[str]) -> str:
    if "org_id" in columns:
        return "t.org_id = $1"
    if "credential_id" in columns:
        return "t.credential_id in (select credential_id from credential where org_id = $1)"
    if "job_key" in columns:
        return "t.job_key in (select job_key from job where org_id = $1)"
    assert "badge_key" in columns, f"Whose rows are in {table}? Say so here, or that it is of no org."
    return "t.badge_key in (select badge_key from badge where org_id = $1)"


def bare(answer: httpx.Response, scene: Scene, org: Org) -> tuple[int, str]:
    """The answer without what differs between two orgs and two moments anyway."""
    text = answer.text.replace(org.credential.username, "<caller>")
    text = re.sub(rf'"(orgId|subject)":"?{org.caller.org_id}\b"?', "<org>", text)
    for number, name in enumerate(scene.names()):
        text = text.replace(name, f"<{number}>")
    text = re.sub(r'whsec_[^"]+', "<secret>", text)
    text = re.sub(r"fresh-[0-9a-f]{16}|\b[0-9a-f]{32}\b", "<request id>", text)
    text = re.sub(r'\b[0-9a-f]{24}\b|(?<="id":)\d+', "<id>", text)  # entries of the audit trail are counted
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    return answer.status_code, re.sub(r"\b\d{9,}(\.\d+)?\b", "<time>", text)


def test_every_operation_has_an_entry() -> None:
    found = {operation.operation_id for operation in OPERATIONS}
    assert found == set(ENTRIES), "add a line to ENTRIES of tests/http/operations.py"
    assert {operation.operation_id for operation in PUBLIC} == {
        name for name, entry in ENTRIES.items() if entry.public
    }


@pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.label)
async def test_every_operation_is_for_its_own_org(
    cast: Cast,
    anybody: httpx.AsyncClient,
    operation: Operation,
    unchanged_scene: Scene,
    matrix: dict[str, dict[str, str]],
) -> None:
    """Callers are tried from the weakest to the owner: any change before the owner's request is a leak."""
    row = matrix.setdefault(operation.label, {})
    scene = unchanged_scene if operation.is_reading else await set_the_scene(cast.victim, WORD)
    if operation.entry.prepare is not None:
        await operation.entry.prepare(cast.victim, scene)
    before = await rows_of(cast.victim)
    for column in WITHOUT_PROOF:
        answer = await _send(anybody, operation, scene, cast.headers(column))
        assert (column, answer.status_code) == (column, 401)
        assert answer.json()["data"] is None
        row[column] = await _nothing_changed(cast, before, answer)
    row["other org"] = await _try_as_a_stranger(cast, anybody, operation, scene, before)
    answer = await _send(anybody, operation, scene, cast.headers("own read-only"))
    assert answer.status_code == (operation.entry.status if operation.is_reading else 403), answer.text
    row["own read-only"] = await _nothing_changed(cast, before, answer)
    answer = await _send(anybody, operation, scene, cast.headers("own default"))
    assert answer.status_code == operation.entry.status, answer.text
    assert (await rows_of(cast.victim) == before) is operation.is_reading
    row["own default"] = f"{answer.status_code}{'' if operation.is_reading else ' changed'}"


async def _try_as_a_stranger(
    cast: Cast, anybody: httpx.AsyncClient, operation: Operation, scene: Scene, before: dict[str, str]
) -> str:
    nowhere = scene_of_nowhere()
    answer = await _send(anybody, operation, scene, cast.headers("other org"))
    control = await _send(anybody, operation, nowhere, [_basic(cast.twin.credential)])
    assert bare(answer, scene, cast.stranger) == bare(control, nowhere, cast.twin)
    assert WORD not in answer.text
    return await _nothing_changed(cast, before, answer)


async def _nothing_changed(cast: Cast, before: dict[str, str], answer: httpx.Response) -> str:
    assert await rows_of(cast.victim) == before, answer.text
    return str(answer.status_code)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in PUBLIC if operation not in TOKENS],
    ids=lambda operation: operation.label,
)
async def test_public_operations_return_the_same_to_every_caller(
    cast: Cast, anybody: httpx.AsyncClient, operation: Operation, matrix: dict[str, dict[str, str]]
) -> None:
    scene, before = scene_of_nowhere(), await rows_of(cast.victim)
    row = matrix.setdefault(operation.label, {})
    for column in COLUMNS:
        answer = await _send(anybody, operation, scene, cast.headers(column))
        assert (column, answer.status_code) == (column, operation.entry.status)
        assert WORD not in answer.text
        row[column] = await _nothing_changed(cast, before, answer)


@pytest.mark.parametrize("operation", TOKENS, ids=lambda operation: operation.label)
async def test_token_is_issued_only_to_its_client(
    cast: Cast, anybody: httpx.AsyncClient, operation: Operation, matrix: dict[str, dict[str, str]]
) -> None:
    own = cast.victim.credential
    wrong = msgspec.structs.replace(own, client_secret=own.secret)
    nobody = msgspec.structs.replace(own, client_key="nobody", client_secret="nothing")
    clients = {
        "own default": (own, 200),
        "own read-only": (cast.reader, 200),
        "other org": (cast.stranger.credential, 200),
        "revoked": (cast.revoked, 401),
        "none": (nobody, 401),
        "wrong secret": (wrong, 401),
    }
    before, row = await rows_of(cast.victim), matrix.setdefault(operation.label, {})
    for column, (client, status) in clients.items():
        answer = await _ask_for_token(anybody, operation, client)
        assert (column, answer.status_code) == (column, status), answer.text
        row[column] = await _nothing_changed(cast, before, answer)


async def _ask_for_token(
    anybody: httpx.AsyncClient, operation: Operation, client: NewCredential
) -> httpx.Response:
    key, secret = client.client_key, client.client_secret
    if operation.operation_id == "generateToken":
        return await anybody.post(ROOT + operation.path, json={"key": key, "secret": secret})
    form = {"grant_type": "client_credentials", "client_id": key, "client_secret": secret}
    return await anybody.post(ROOT + operation.path, data=form)


async def test_a_badge_may_bring_an_id_along_that_another_orgs_badge_has(
    cast: Cast, unchanged_scene: Scene
) -> None:
    """Ids are unique per org: whether another one uses an id cannot be found out by creating it."""
    before, taken = await rows_of(cast.victim), unchanged_scene.badge_id
    assert await cast.stranger.make_badge(id=taken, claim=False) == taken
    assert await rows_of(cast.victim) == before
