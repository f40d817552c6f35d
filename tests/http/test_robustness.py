"""Whatever is sent is answered in the envelope, and never with a 5xx."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from cockade import app
from cockade.http.urls import BASE_PATH, SHORT_PATH
from tests.http.answers import failure, message, success
from tests.support import REFERENCE, TRIGGER, Org, badge_body, client_for, earn_bulk_body

NEVER = {"expiryType": "NEVER"}
MIGRATION = {"X-CAP-BADGES-MIGRATION": "migration"}


@pytest_asyncio.fixture(scope="module")
async def badge_id(shared_org: Org) -> AsyncGenerator[str]:
    """A badge that may be held several times, so that it does not matter who was issued what before."""
    yield await shared_org.make_badge(overlapPolicy="ALLOW")


def paths_with_bodies(badge_id: str) -> list[str]:
    return [
        "/badgeMeta",
        f"/badgeMeta/{badge_id}/claim",
        f"/badgeMeta/{badge_id}/unclaim",
        "/customer/earnBulk",
        "/group",
        "/customField",
        "/orgMeta",
        "http://test/v3/oauth/token/generate",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"NaN",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b"\xff\xfe\x00",
        b'{"a": "\xff"}',
        b'{"\xff": 1}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\udc00\\ud800"}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"[" * 50_000,
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"{}{}",
        b"grant_type=client_credentials",
    ],
)
async def test_a_body_that_is_no_object_of_json_is_400_everywhere(
    shared_org: Org, badge_id: str, raw: bytes
) -> None:
    for path in paths_with_bodies(badge_id):
        answer = await shared_org.client.post(path, content=raw, headers={"Content-Type": "application/json"})
        assert (path, answer.status_code) == (path, 400)
        failure(answer, 400)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/x-msgpack",
        "nonsense",
        "",
    ],
)
async def test_a_body_is_read_as_json_whatever_its_type_says(
    shared_org: Org, badge_id: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    raw = json.dumps(earn_bulk_body(badge_id, [1])).encode()
    answer = await shared_org.client.post("/customer/earnBulk", content=raw, headers=headers)
    assert success(answer)["earnedCount"] == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"badgeMetaId": "\0" * 24}, 404),
        ({"badgeMetaId": "\ud7ff\U0010ffff"}, 404),
        ({"badgeMetaId": "x" * 1_000_000}, 404),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": "a\0b"}}, 400),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": "x" * 1_000_000}}, 409),
        ({"triggeredBy": {"ownerType": "Loyalty\0", "referenceId": REFERENCE}}, 400),
        ({"triggeredBy": {**TRIGGER, "huge": 10**1000, "deep": [[[]]]}}, 200),
        ({"requestId": "a\0b"}, 400),
        ({"requestId": 10**254}, 200),
        ({"requestId": 10**255}, 400),
        ({"requestId": 10**1000}, 400),
        ({"customerIds": [10**1000]}, 400),
        ({"customerIds": [-(10**30)]}, 400),
        ({"customerIds": ["9" * 5_000]}, 400),
        ({"customerIds": ["1\n"]}, 400),
        ({"customerIds": [1] * 100_000}, 200),
        ({"customerIds": ["x"] * 100_000}, 400),
        ({"customerIds": [{"a": 1}] * 20_000}, 400),
        ({"earnEventDate": 10**1000}, 400),
        ({"earnEventDate": -(10**30)}, 400),
        ({"earnEventDate": 1e300}, 400),
        ({"earnEventDate": "9" * 5_000}, 400),
        ({"earnEventDate": "0001-01-01T00:00:00+23:59"}, 400),
        ({"earnEventDate": "9999-12-31T23:59:59-23:59"}, 400),
        ({"earnEventDate": "2999-12-31T23:59:59Z"}, 400),
        ({"earnEventDate": 0}, 409),
    ],
)
async def test_earn_bulk_with_invalid_values_is_rejected(
    shared_org: Org, badge_id: str, fields: dict[str, Any], expected: int
) -> None:
    sent = {**earn_bulk_body(badge_id, [1]), "requestId": secrets.token_hex(8), **fields}
    answer = await shared_org.client.post("/customer/earnBulk", content=json.dumps(sent).encode())
    assert answer.status_code == expected, answer.text
    if expected == 200:
        await shared_org.client.get("/requests", params={"requestId": str(sent["requestId"])})
    else:
        failure(answer, expected)


NUL = "a\0b"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": NUL}, 400),
        ({"description": NUL}, 201),
        ({"tags": [{"name": NUL}]}, 400),
        ({"tags": [{"name": "a", "value": {NUL: NUL}}]}, 201),
        ({"images": [{"name": NUL, "url": NUL, "fileSvcHandle": NUL}]}, 201),
        ({"benefits": [{"benefitType": "COUPON", "seriesId": NUL}]}, 201),
        ({"benefits": [{"benefitType": "COUPON", "seriesId": 10**1000}]}, 201),
        ({"customFields": {NUL: [NUL]}}, 201),
        ({"customFields": {"huge": 10**1000, "negative": -(10**30), "float": 1.5e308, "tiny": 5e-324}}, 201),
        ({"customFields": {"a": 2**63, "b": 2**64, "c": -(2**63) - 1}}, 201),
        ({"customFields": {"𝕌": "\ud7ff\ufffe\U0010ffff"}}, 201),
        ({"customFields": {"x" * 100_000: "y" * 100_000}}, 201),
        ({"badgeGroupId": NUL}, 400),
        ({"badgeRank": 10**30}, 400),
        ({"defaultTillId": 2**63}, 400),
        ({"ownership": {"restrictedToOwners": [NUL]}}, 400),
        (
            {
                "earnedBadgeExpiry": {
                    "expiryType": "RELATIVE",
                    "relativeExpirytype": "MONTHS",
                    "value": 10**30,
                }
            },
            400,
        ),
        (
            {"earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "MONTHS", "value": 1_200}},
            201,
        ),
        (
            {
                "earnedBadgeExpiry": {
                    "expiryType": "ABSOLUTE",
                    "type": "FIXED_DATE",
                    "expiresOn": "2999-12-31T23:59:59.999999Z",
                }
            },
            201,
        ),
        ({"startOn": "1970-01-01T00:00:00Z", "expiresOn": "2999-12-31T23:59:59.999999Z"}, 201),
        ({"startOn": "2999-12-31T23:59:59.999998Z", "expiresOn": "2999-12-31T23:59:59.999999Z"}, 201),
        (
            {
                "customerConstraints": [
                    {"constraintType": "CUSTOMER_BADGE_NO_LIMIT", "maxEarnLimit": 10**30, "rollType": NUL}
                ]
            },
            201,
        ),
    ],
)
async def test_a_badge_with_strange_values_is_refused_or_read_back(
    shared_org: Org, fields: dict[str, Any], expected: int
) -> None:
    sent = badge_body(**{"name": secrets.token_hex(8), **fields})
    answer = await shared_org.client.post("/badgeMeta", content=json.dumps(sent).encode(), headers=MIGRATION)
    assert answer.status_code == expected, answer.text
    if expected == 201:
        created = success(answer, 201)
        assert success(await shared_org.client.get(f"/badgeMeta/{created['id']}")) == created
        success(await shared_org.client.get("/badgeMeta", params={"name": sent["name"]}))
    else:
        failure(answer, expected)


@pytest.mark.parametrize("field", ["customFields", "tags"])
async def test_value_of_maximum_nesting_can_be_read_back(org: Org, field: str) -> None:
    """A badge that can be stored and no longer be shown would break every list that it is on."""
    taken: list[str] = []

    async def is_taken(depth: int) -> bool:
        value = "[" * depth + "]" * depth
        nested = f'{{"a": {value}}}' if field == "customFields" else f'[{{"name": "a", "value": {value}}}]'
        raw = json.dumps(badge_body(name=secrets.token_hex(8)))[:-1] + f', "{field}": {nested}}}'
        answer = await org.client.post("/badgeMeta", content=raw.encode(), headers=MIGRATION)
        assert answer.status_code in (201, 400), (depth, answer.text)
        if answer.status_code == 201:
            taken.append(answer.json()["data"]["id"])
        return answer.status_code == 201

    deepest, too_deep = 1, 2_000
    while too_deep - deepest > 1:
        middle = (deepest + too_deep) // 2
        deepest, too_deep = (middle, too_deep) if await is_taken(middle) else (deepest, middle)
    for depth in range(max(1, deepest - 9), deepest + 10):
        assert await is_taken(depth) == (depth <= deepest)
    for badge_id in taken:
        success(await org.client.get(f"/badgeMeta/{badge_id}"))
    page = await org.client.get("/badgeMeta", params={"size": 1000})
    assert success(page)["pagination"]["total"] == len(taken)


@pytest.mark.parametrize(
    "query",
    [
        "name=%FF%FE",
        "name=%ED%A0%80",
        "name=%00",
        "name=" + "x" * 10_000,
        "status=&status=LIVE",
        "page=0&page=x",
        "page=1e3",
        "size=١",
        "=&&&?",
        "%00=1",
        "startOn=" + "9" * 5_000,
        "includeStatistics=perhaps",
    ],
)
async def test_strange_queries_are_never_an_error_of_the_server(
    shared_org: Org, badge_id: str, query: str
) -> None:
    for path in ("/badgeMeta", f"/badgeMeta/{badge_id}", "/requests", "/requests?requestId=%ED%A0%80"):
        answer = await shared_org.client.get(f"{path}{'&' if '?' in path else '?'}{query}")
        assert answer.status_code in (200, 400, 404), answer.text
        assert list(answer.json()) == ["data", "errors", "warnings"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "http://test/", 404),
        ("GET", "http://test/nowhere", 404),
        ("POST", "http://test/v2/oauth/token", 404),
        ("GET", "/", 404),
        ("GET", "/nowhere/at/all", 404),
        ("POST", "/customer/nowhere", 405),
        ("GET", "/%FF/%FF", 404),
        # A single segment may be a group, which is only ever PUT there.
        ("GET", "/nowhere", 405),
        ("POST", "/customer", 404),
        ("GET", "/%FF", 405),
        ("GET", "/badgeMeta/a/b/c", 404),
        ("GET", "/customer/earnBulk", 405),
        ("PATCH", "/badgeMeta", 405),
        ("DELETE", "/badgeMeta/" + "0" * 24, 405),
        ("POST", "/requests", 405),
        ("GET", "http://test/v3/oauth/token/generate", 405),
        ("POST", "http://test/healthz", 405),
    ],
)
async def test_unknown_paths_and_methods_are_reported_in_the_envelope(
    shared_org: Org, method: str, path: str, expected: int
) -> None:
    answer = await shared_org.client.request(method, path)
    assert failure(answer, expected) == [(expected, None)]
    if expected == 405:
        assert answer.headers["Allow"]


async def test_body_over_the_limit_is_413(shared_org: Org, badge_id: str) -> None:
    limit = 5_000
    services = shared_org.services
    smaller = msgspec.structs.replace(
        services, config=msgspec.structs.replace(services.config, max_body_bytes=limit)
    )
    body = json.dumps(earn_bulk_body(badge_id, [1])).encode()

    async def in_chunks() -> AsyncGenerator[bytes]:
        for start in range(0, limit + 1, 1_000):
            yield body.ljust(limit + 1)[start : start + 1_000]

    async with client_for(smaller, shared_org.credential) as client:
        success(await client.post("/customer/earnBulk", content=body.ljust(limit)))
        for content in (body.ljust(limit + 1), in_chunks()):
            answer = await client.post("/customer/earnBulk", content=content)
            assert failure(answer, 413) == [(413, None)]
            assert "COCKADE_MAX_BODY_BYTES" in message(answer)


async def test_both_base_paths_serve_the_same(shared_org: Org, badge_id: str) -> None:
    client, root = shared_org.client, "http://test"
    assert str(client.base_url).rstrip("/") == root + BASE_PATH
    short = root + SHORT_PATH
    assert success(await client.get(f"{short}/badgeMeta/{badge_id}")) == success(
        await client.get(f"/badgeMeta/{badge_id}")
    )
    request_id = secrets.token_hex(8)
    sent = earn_bulk_body(badge_id, [1], requestId=request_id)
    done = success(await client.post(f"{short}/customer/earnBulk", json=sent))
    assert success(await client.get("/requests", params={"requestId": request_id})) == done
    assert failure(await client.post("/customer/earnBulk", json=sent), 400) == [(809, "requestId")]
    answer = await client.get(f"{short}/badgeMeta", auth=("nobody", "x"))
    assert failure(answer, 401) == [(401, None)]


async def test_health_checks_need_no_credential(shared_org: Org) -> None:
    async with client_for(shared_org.services, None) as client:
        for path, status in (("/healthz", "ok"), ("/readyz", "ready")):
            answer = await client.get(f"http://test{path}")
            assert (answer.status_code, answer.json()["status"]) == (200, status)


async def test_without_its_database_the_service_says_so(shared_org: Org) -> None:
    absent = app.create_services("postgresql://nobody@127.0.0.1:1/none", shared_org.services.config)
    await absent.database.open()
    try:
        async with client_for(absent, shared_org.credential) as client:
            assert (await client.get("http://test/healthz")).status_code == 200
            for path in ("http://test/readyz", "/badgeMeta"):
                answer = await client.get(path)
                assert failure(answer, 503) == [(503, None)]
                assert int(answer.headers["Retry-After"]) > 0
    finally:
        await absent.database.close()


async def test_an_answer_can_be_read_while_the_next_is_asked_for(shared_org: Org, badge_id: str) -> None:
    """One client, many requests at once, each with its own id and its own answer."""
    ids = [secrets.token_hex(8) for _ in range(20)]
    answers: list[httpx.Response] = await asyncio.gather(
        *(shared_org.earn_bulk(badge_id, [place + 1], requestId=given) for place, given in enumerate(ids))
    )
    assert [success(answer)["requestId"] for answer in answers] == ids
    assert [answer.headers["X-CAP-REQUEST-ID"] for answer in answers] == ids
