"""Authentication and authorization: credentials, tokens, orgs, access groups."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import msgspec
import pytest
import pytest_asyncio

from cockade.app import Services
from cockade.auth.model import AccessGroup, NewCredential
from cockade.auth.service import ALGORITHM, FIRST_KEY_ID, ISSUER, AuthService
from cockade.errors import CredentialNotFound, OrgNotFound, UsernameTaken
from cockade.ids import OrgId
from tests.http.answers import failure, message, success
from tests.support import TRIGGER, Org, badge_body, client_for, earn_bulk_body

TOKEN_HEADER = "X-CAP-API-OAUTH-TOKEN"
ROOT = "http://test"


def basic(username: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()


def basic_of(credential: NewCredential) -> str:
    return basic(credential.username, credential.secret)


@pytest_asyncio.fixture
async def anybody(shared_org: Org) -> AsyncGenerator[httpx.AsyncClient]:
    """A client without credentials."""
    async with client_for(shared_org.services, None) as client:
        yield client


async def token_of(org: Org, client: httpx.AsyncClient) -> str:
    sent = {"key": org.credential.client_key, "secret": org.credential.client_secret}
    answer = await client.post(f"{ROOT}/v3/oauth/token/generate", json=sent)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["accessToken"]


def assert_unknown(answer: httpx.Response) -> None:
    assert failure(answer, 401) == [(401, None)]
    assert "Basic" in answer.headers["WWW-Authenticate"]
    assert "Bearer" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        {"Authorization": basic("nobody", "secret")},
        {"Authorization": basic("no\0body", "secret")},
        {"Authorization": basic("", "")},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Digest username=x"},
        {"Authorization": b"Basic \xff"},
        {"Authorization": b"Bearer \xff.\xff.\xff"},
        {TOKEN_HEADER: ""},
        {TOKEN_HEADER: "x"},
        {TOKEN_HEADER: "x" * 10_000},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/badgeMeta"), ("POST", "/customer/earnBulk")])
async def test_requests_without_valid_credentials_are_rejected(
    anybody: httpx.AsyncClient, headers: dict[str, Any], method: str, path: str
) -> None:
    assert_unknown(await anybody.request(method, path, headers=headers))


@pytest.mark.parametrize("change", [str.upper, lambda secret: secret + "x", lambda _: ""])
async def test_a_wrong_secret_is_refused(shared_org: Org, anybody: httpx.AsyncClient, change: Any) -> None:
    header = basic(shared_org.credential.username, change(shared_org.credential.secret))
    assert_unknown(await anybody.get("/badgeMeta", headers={"Authorization": header}))


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_the_scheme_is_written_in_any_case(
    shared_org: Org, anybody: httpx.AsyncClient, scheme: str
) -> None:
    header = basic_of(shared_org.credential).replace("Basic", scheme)
    assert (await anybody.get("/badgeMeta", headers={"Authorization": header})).status_code == 200


async def test_a_secret_may_be_anything(shared_org: Org, anybody: httpx.AsyncClient) -> None:
    for secret in ("5f4dcc3b5aa765d61d8327deb882cf99", "mit:Doppelpunkt und ü 🧦"):
        made = await shared_org.services.auth.create_credential(
            shared_org.caller.org_id, secrets.token_hex(6), secret=secret
        )
        answer = await anybody.get("/badgeMeta", headers={"Authorization": basic_of(made)})
        assert answer.status_code == 200


TWO: list[list[tuple[str, str]]] = [
    [("Authorization", "$basic"), (TOKEN_HEADER, "$token")],
    [("Authorization", "$bearer"), (TOKEN_HEADER, "x")],
    [("Authorization", "Digest x"), (TOKEN_HEADER, "$token")],
    [("Authorization", "$basic"), ("Authorization", "$other")],
    [("Authorization", "$other"), ("Authorization", "$basic")],
    [("Authorization", "$bearer"), ("Authorization", "$basic")],
    [(TOKEN_HEADER, "$token"), (TOKEN_HEADER, "x")],
    [(TOKEN_HEADER, "x"), (TOKEN_HEADER, "$token")],
]


@pytest.mark.parametrize("headers", TWO)
async def test_two_different_credentials_are_refused(
    shared_org: Org, anybody: httpx.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    token = await token_of(shared_org, anybody)
    other = await shared_org.services.auth.create_credential(shared_org.caller.org_id, secrets.token_hex(6))
    values = {
        "$basic": basic_of(shared_org.credential),
        "$other": basic_of(other),
        "$token": token,
        "$bearer": f"Bearer {token}",
    }
    answer = await anybody.get(
        "/badgeMeta", headers=[(name, values.get(given, given)) for name, given in headers]
    )
    assert_unknown(answer)


async def test_the_same_token_twice_is_one_credential(shared_org: Org, anybody: httpx.AsyncClient) -> None:
    token = await token_of(shared_org, anybody)
    headers = [("Authorization", f"Bearer {token}"), (TOKEN_HEADER, token)]
    success(await anybody.get("/badgeMeta", headers=headers))


async def test_a_badge_of_another_org_does_not_exist(shared_org: Org, other_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    stranger = other_org.client
    for answer in (
        await stranger.get(f"/badgeMeta/{badge_id}"),
        await stranger.put(f"/badgeMeta/{badge_id}/activate"),
        await stranger.put(f"/badgeMeta/{badge_id}/deactivate"),
        await stranger.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER),
        await stranger.post(f"/badgeMeta/{badge_id}/unclaim", json=TRIGGER),
        await other_org.earn_bulk(badge_id, [1]),
    ):
        assert [code for code, _ in failure(answer, 404)] == [404]
        assert message(answer) == "Passed badge is not found"
    assert success(await stranger.get("/badgeMeta"))["metaBasicDetails"] == []
    assert success(await shared_org.client.get(f"/badgeMeta/{badge_id}"))["isActive"] is True
    success(await shared_org.earn_bulk(badge_id, [1]))


async def test_a_reader_may_read_and_nothing_else(shared_org: Org) -> None:
    badge_id, request_id = await shared_org.make_badge(), secrets.token_hex(8)
    success(await shared_org.earn_bulk(badge_id, [1], requestId=request_id))
    reader = await shared_org.services.auth.create_credential(
        shared_org.caller.org_id, secrets.token_hex(6), access_group=AccessGroup.READ_ONLY
    )
    async with client_for(shared_org.services, reader) as client:
        for path in ("/badgeMeta", f"/badgeMeta/{badge_id}", f"/requests?requestId={request_id}"):
            success(await client.get(path))
        for answer in (
            await client.post("/badgeMeta", json=badge_body()),
            await client.post("/badgeMeta", content=b"{"),
            await client.put(f"/badgeMeta/{badge_id}/activate"),
            await client.put(f"/badgeMeta/{badge_id}/deactivate"),
            await client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER),
            await client.post(f"/badgeMeta/{badge_id}/unclaim", json=TRIGGER),
            await client.post("/customer/earnBulk", json=earn_bulk_body(badge_id, [2])),
        ):
            assert failure(answer, 403) == [(403, None)]
            assert "only allows reading" in message(answer)
    shown = success(await shared_org.client.get(f"/badgeMeta/{badge_id}?includeStatistics=true"))
    assert (shown["isActive"], shown["earnedCount"], len(shown["ownership"]["claims"])) == (True, 1, 1)


async def test_a_token_is_given_in_the_contracts_form_and_taken_in_both_headers(
    shared_org: Org, anybody: httpx.AsyncClient
) -> None:
    sent = {"key": shared_org.credential.client_key, "secret": shared_org.credential.client_secret}
    answer = await anybody.post(f"{ROOT}/v3/oauth/token/generate", json=sent)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    envelope = answer.json()
    token = envelope["data"].pop("accessToken")
    assert envelope == {"data": {"ttlSeconds": 3600}, "errors": None, "warnings": None}
    badge_id = await shared_org.make_badge()
    for headers in (
        {TOKEN_HEADER: token},
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"bearer {token}"},
    ):
        shown = success(await anybody.get(f"/badgeMeta/{badge_id}", headers=headers))
        assert shown["createdBy"] == shared_org.credential.username


async def test_a_token_of_a_reader_may_only_read(shared_org: Org, anybody: httpx.AsyncClient) -> None:
    reader = await shared_org.services.auth.create_credential(
        shared_org.caller.org_id,
        secrets.token_hex(6),
        access_group=AccessGroup.READ_ONLY,
        token_ttl_minutes=5,
    )
    sent = {"key": reader.client_key, "secret": reader.client_secret}
    answer = await anybody.post(f"{ROOT}/v3/oauth/token/generate", json=sent)
    data = answer.json()["data"]
    assert data["ttlSeconds"] == 300
    headers = {TOKEN_HEADER: data["accessToken"]}
    success(await anybody.get("/badgeMeta", headers=headers))
    assert failure(await anybody.post("/badgeMeta", json=badge_body(), headers=headers), 403) == [(403, None)]


@pytest.mark.parametrize(
    ("sent", "status", "expected"),
    [
        ({"key": "x", "secret": "y"}, 401, [(401, None)]),
        ({"key": "$key", "secret": "y"}, 401, [(401, None)]),
        ({"key": "$key", "secret": "$basic"}, 401, [(401, None)]),
        ({"key": "$username", "secret": "$basic"}, 401, [(401, None)]),
        ({}, 400, [(400, "key"), (400, "secret")]),
        ({"key": "", "secret": 5}, 400, [(400, "key"), (400, "secret")]),
        ({"key": "a\0", "secret": "x"}, 400, [(400, "key")]),
    ],
)
async def test_a_client_that_is_not_known_gets_no_token(
    shared_org: Org,
    anybody: httpx.AsyncClient,
    sent: dict[str, Any],
    status: int,
    expected: list[tuple[int, str | None]],
) -> None:
    credential = shared_org.credential
    known = {"$key": credential.client_key, "$basic": credential.secret, "$username": credential.username}
    answer = await anybody.post(
        f"{ROOT}/v3/oauth/token/generate",
        json={name: known.get(value, value) for name, value in sent.items()},
    )
    assert failure(answer, status) == expected


async def test_a_token_is_given_in_the_standard_form(shared_org: Org, anybody: httpx.AsyncClient) -> None:
    grant = {"grant_type": "client_credentials"}
    key, secret = shared_org.credential.client_key, shared_org.credential.client_secret
    for answer in (
        await anybody.post(f"{ROOT}/oauth/token", data={**grant, "client_id": key, "client_secret": secret}),
        await anybody.post(f"{ROOT}/oauth/token", data=grant, headers={"Authorization": basic(key, secret)}),
    ):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        token = answer.json()
        assert (token.pop("token_type").lower(), token.pop("expires_in")) == ("bearer", 3600)
        bearer = f"Bearer {token.pop('access_token')}"
        assert token == {}
        assert (await anybody.get("/badgeMeta", headers={"Authorization": bearer})).status_code == 200


CREDENTIALS = {"grant_type": "client_credentials"}


@pytest.mark.parametrize(
    ("form", "headers", "expected"),
    [
        ({}, {}, (400, "invalid_request")),
        ({"grant_type": ""}, {}, (400, "invalid_request")),
        ({"grant_type": "password"}, {}, (400, "unsupported_grant_type")),
        (CREDENTIALS, {}, (401, "invalid_client")),
        ({**CREDENTIALS, "client_id": "x", "client_secret": "y"}, {}, (401, "invalid_client")),
        ({**CREDENTIALS, "client_id": "x\0", "client_secret": "y"}, {}, (401, "invalid_client")),
        (CREDENTIALS, {"Authorization": basic("x", "y")}, (401, "invalid_client")),
        (CREDENTIALS, {"Authorization": "Basic !!!"}, (401, "invalid_client")),
        (CREDENTIALS, {"Authorization": basic("%00", "y")}, (401, "invalid_client")),
        (CREDENTIALS, {"Authorization": basic("%ED%A0%80", "%FF")}, (401, "invalid_client")),
    ],
)
async def test_the_standard_form_fails_in_the_standards_words(
    anybody: httpx.AsyncClient, form: dict[str, str], headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = await anybody.post(f"{ROOT}/oauth/token", data=form, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == expected
    assert answer.json()["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"
    if expected[0] == 401:
        assert "Basic" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"grant_type", b"a=%FF&grant_type=%00", b"&&&==="])
async def test_token_endpoint_rejects_malformed_forms(anybody: httpx.AsyncClient, body: bytes) -> None:
    answer = await anybody.post(
        f"{ROOT}/oauth/token", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 400


async def signing_key(services: Services) -> bytes:
    await services.auth._signing_keys()
    found = await services.database.transaction(
        "test.keys", lambda tx: tx.rows("select key_id, secret from signing_key order by created_at desc")
    )
    return found[0][1]


def signed(
    org: Org, key: str | bytes, *, algorithm: str = ALGORITHM, kid: str | None = FIRST_KEY_ID, **changes: Any
) -> str:
    """A token like ours, but for the changes; None takes a claim away."""
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "sub": str(org.caller.credential_id),
        "iat": datetime.now(UTC),
        "exp": datetime.now(UTC) + timedelta(minutes=5),
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(kept, key, algorithm=algorithm, headers=headers)


async def test_a_token_that_is_not_ours_is_refused(shared_org: Org, anybody: httpx.AsyncClient) -> None:
    key = await signing_key(shared_org.services)
    forgeries = {
        "signed with an unknown key": signed(shared_org, secrets.token_bytes(32)),
        "without a signature": signed(shared_org, "", algorithm="none"),
        "cut": signed(shared_org, key)[:-4],
        "by an unknown key": signed(shared_org, key, kid="2"),
        "by a key that is not named": signed(shared_org, key, kid=None),
        "with another algorithm": signed(shared_org, secrets.token_bytes(64) + key, algorithm="HS512"),
        "with another strength": signed(shared_org, key + bytes(32), algorithm="HS384"),
        "expired": signed(shared_org, key, exp=datetime.now(UTC) - timedelta(seconds=1)),
        "without an end": signed(shared_org, key, exp=None),
        "with an end that is no time": signed(shared_org, key, exp=10**30),
        "of another issuer": signed(shared_org, key, iss="somebody"),
        "without an issuer": signed(shared_org, key, iss=None),
        "of no credential": signed(shared_org, key, sub=None),
        "of a credential that is no number": signed(shared_org, key, sub="admin"),
        "of a credential that is not there": signed(shared_org, key, sub="999999999"),
    }
    for why, token in forgeries.items():
        answer = await anybody.get("/badgeMeta", headers={TOKEN_HEADER: token})
        assert (why, answer.status_code) == (why, 401)
        assert_unknown(answer)
    sound = signed(shared_org, key)
    assert (await anybody.get("/badgeMeta", headers={TOKEN_HEADER: sound})).status_code == 200


async def test_a_token_ends_with_its_time(shared_org: Org) -> None:
    """A second service, whose clock is an hour ahead, shares the keys and finds the token expired."""
    now = datetime.now(UTC).replace(microsecond=0)  # tokens count in seconds
    instants = {
        "issuing": now,
        "later": now + timedelta(minutes=59, seconds=59),
        "end": now + timedelta(hours=1),
    }
    database = shared_org.services.database
    auth = {name: AuthService(database, lambda at=at: at) for name, at in instants.items()}
    credential = shared_org.credential
    token = await auth["issuing"].generate_token(credential.client_key, credential.client_secret)
    for name, status in (("issuing", 200), ("later", 200), ("end", 401)):
        services = msgspec.structs.replace(shared_org.services, auth=auth[name])
        async with client_for(services, None) as client:
            answer = await client.get("/badgeMeta", headers={TOKEN_HEADER: token.access_token})
            assert (name, answer.status_code) == (name, status)


async def test_a_revoked_credential_is_refused_by_every_way_in(
    shared_org: Org, anybody: httpx.AsyncClient
) -> None:
    services = shared_org.services
    made = await services.auth.create_credential(shared_org.caller.org_id, secrets.token_hex(6))
    key = {"key": made.client_key, "secret": made.client_secret}
    token = (await anybody.post(f"{ROOT}/v3/oauth/token/generate", json=key)).json()["data"]["accessToken"]
    ways = [{"Authorization": basic_of(made)}, {TOKEN_HEADER: token}]
    assert [(await anybody.get("/badgeMeta", headers=way)).status_code for way in ways] == [200, 200]
    await services.auth.revoke_credential(made.username)
    # What was proved is remembered for a minute; another process remembers nothing.
    elsewhere = msgspec.structs.replace(services, auth=AuthService(services.database, services.clock))
    async with client_for(elsewhere, None) as client:
        for way in ways:
            assert_unknown(await client.get("/badgeMeta", headers=way))
        assert_unknown(await client.post(f"{ROOT}/v3/oauth/token/generate", json=key))


async def test_services_share_their_keys(shared_org: Org, anybody: httpx.AsyncClient) -> None:
    token = await token_of(shared_org, anybody)
    services = shared_org.services
    elsewhere = msgspec.structs.replace(services, auth=AuthService(services.database, services.clock))
    async with client_for(elsewhere, None) as client:
        assert (await client.get("/badgeMeta", headers={TOKEN_HEADER: token})).status_code == 200


async def test_a_username_is_taken_once_everywhere(shared_org: Org, other_org: Org) -> None:
    auth = shared_org.services.auth
    with pytest.raises(UsernameTaken):
        await auth.create_credential(other_org.caller.org_id, shared_org.credential.username)
    with pytest.raises(OrgNotFound):
        await auth.create_credential(OrgId(1), secrets.token_hex(6))
    with pytest.raises(CredentialNotFound):
        await auth.revoke_credential(secrets.token_hex(6))
