"""Requests need valid credentials and see only badges of their own org."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import msgspec
import pytest

from cockade.http.urls import BASE_PATH
from tests.acceptance.service import Service, earn_bulk, make_badge, query
from tests.support import earn_bulk_body

TOKEN = "X-CAP-API-OAUTH-TOKEN"


@pytest.fixture(scope="module")
def badge_id(client: httpx.Client) -> str:
    """A badge of the first org."""
    return make_badge(client)


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    """A token of the first org's credential."""
    shown = service.first_credential()
    client = {"key": shown["client key"], "secret": shown["client secret"]}
    answer = httpx.post(f"{service.origin}/v3/oauth/token/generate", json=client)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["accessToken"]


def _earn(service: Service, badge_id: str, customer: int, **headers: str) -> httpx.Response:
    url = f"{service.origin}{BASE_PATH}/customer/earnBulk"
    return httpx.post(url, json=earn_bulk_body(badge_id, [customer]), headers=headers)


def test_another_orgs_badge_does_not_exist(service: Service, badge_id: str) -> None:
    other = service.make_org("other org")
    with service.client(other["username"], other["secret"]) as client:
        answer = earn_bulk(client, badge_id, [1])
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, 404)
        assert client.get(f"/badgeMeta/{badge_id}").status_code == 404
        assert client.put(f"/badgeMeta/{badge_id}/deactivate").status_code == 404
        assert client.get("/badgeMeta").json()["data"]["metaBasicDetails"] == []


def test_reader_may_read_and_change_nothing(service: Service, client: httpx.Client, badge_id: str) -> None:
    org_id = client.get(f"/badgeMeta/{badge_id}").json()["data"]["orgId"]
    made = service.cockade(
        "credential", "create", "--org", str(org_id), "--name", "watcher", "--access-group", "read-only"
    )
    with service.client("watcher", made["secret"]) as reader:
        assert reader.get(f"/badgeMeta/{badge_id}").status_code == 200
        for answer in (earn_bulk(reader, badge_id, [1]), reader.put(f"/badgeMeta/{badge_id}/deactivate")):
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, 403)


def test_valid_token_is_taken_in_both_headers(service: Service, badge_id: str, token: str) -> None:
    assert _earn(service, badge_id, 101, **{TOKEN: token}).status_code == 200
    assert _earn(service, badge_id, 102, Authorization=f"Bearer {token}").status_code == 200


def test_standard_form_of_the_token_works(service: Service, badge_id: str) -> None:
    shown = service.first_credential()
    answer = httpx.post(
        f"{service.origin}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(shown["client key"], shown["client secret"]),
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] <= 3600
    bearer = f"Bearer {answer.json()['access_token']}"
    assert _earn(service, badge_id, 103, Authorization=bearer).status_code == 200


def _signed(service: Service, token: str, *, own_key: bytes | None = None, **changes: Any) -> str:
    """The token with other claims, signed with the service's key unless another is given."""
    claims = jwt.decode(token, options={"verify_signature": False})
    ((key_id, secret),) = query(service.database_url, "select key_id, secret from signing_key")
    return jwt.encode({**claims, **changes}, own_key or secret, algorithm="HS256", headers={"kid": key_id})


def _unsigned(token: str) -> str:
    header = msgspec.json.encode(
        {"alg": "none", "typ": "JWT", "kid": jwt.get_unverified_header(token)["kid"]}
    )
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    return f"{encoded}.{token.split('.')[1]}."


def test_token_that_we_sign_ourselves_shows_that_the_forgeries_fail_for_their_faults(
    service: Service, badge_id: str, token: str
) -> None:
    assert _earn(service, badge_id, 104, **{TOKEN: _signed(service, token)}).status_code == 200


def test_forged_and_expired_tokens_are_refused(service: Service, badge_id: str, token: str) -> None:
    past = datetime.now(UTC) - timedelta(seconds=2)
    header, claims, signature = token.split(".")
    forgeries = {
        "signed with another key": _signed(service, token, own_key=b"k" * 32),
        "signed with the empty key's cousin": _signed(service, token, own_key=b"\0" * 32),
        "expired": _signed(service, token, exp=past),
        "of another issuer": _signed(service, token, iss="somebody"),
        "without an end": _signed(service, token, exp=None),
        "of no credential": _signed(service, token, sub="999999"),
        "of no number": _signed(service, token, sub="x"),
        "unsigned": _unsigned(token),
        "without its signature": f"{header}.{claims}.",
        "with a broken signature": f"{header}.{claims}.{signature[::-1]}",
        "no token at all": "x",
    }
    for forgery, forged in forgeries.items():
        answer = _earn(service, badge_id, 105, **{TOKEN: forged})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, 401), forgery
        assert "WWW-Authenticate" in answer.headers


def test_missing_wrong_and_double_credentials_are_refused(
    service: Service, badge_id: str, token: str
) -> None:
    shown = service.first_credential()
    basic = base64.b64encode(f"{shown['username']}:{shown['secret']}".encode()).decode()
    wrong = base64.b64encode(f"{shown['username']}:wrong".encode()).decode()
    unknown = base64.b64encode(f"nobody:{shown['secret']}".encode()).decode()
    headers = [
        {},
        {"Authorization": f"Basic {wrong}"},
        {"Authorization": f"Basic {unknown}"},
        {"Authorization": "Basic ???"},
        {"Authorization": f"Digest {basic}"},
        {"Authorization": f"Basic {basic}", TOKEN: token},
        {"Authorization": f"Bearer {token}", TOKEN: f"{token}x"},
    ]
    for sent in headers:
        answer = _earn(service, badge_id, 106, **sent)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, 401), sent
        assert "WWW-Authenticate" in answer.headers
    assert _earn(service, badge_id, 106, Authorization=f"Basic {basic}").status_code == 200


def test_failed_logins_are_limited_without_locking_out_known_users(
    service: Service, client: httpx.Client, badge_id: str
) -> None:
    """From one machine, over whichever worker processes."""
    url = f"{service.origin}{BASE_PATH}/badgeMeta/{badge_id}"
    answers = [httpx.get(url, auth=("guessed", str(secret))) for secret in range(13)]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * 10 + [429] * 3
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 300
    assert client.get(f"/badgeMeta/{badge_id}").status_code == 200


def test_signing_keys_are_changed_under_a_running_service(
    service: Service, badge_id: str, token: str
) -> None:
    made = service.cockade("signing-key", "rotate")
    assert made["signs"] is True
    shown = service.first_credential()
    sent = {"key": shown["client key"], "secret": shown["client secret"]}
    answer = httpx.post(f"{service.origin}/v3/oauth/token/generate", json=sent)
    fresh = answer.json()["data"]["accessToken"]
    assert jwt.get_unverified_header(fresh)["kid"] == made["keyId"]
    for number, each in enumerate((token, fresh)):
        assert _earn(service, badge_id, 200 + number, **{TOKEN: each}).status_code == 200
    old = jwt.get_unverified_header(token)["kid"]
    assert [key["keyId"] for key in service.cockade("signing-key", "list")] == [made["keyId"], old]
    assert service.cockade("signing-key", "retire", old) == {"keyId": old, "retired": True}
    assert _earn(service, badge_id, 202, **{TOKEN: fresh}).status_code == 200
