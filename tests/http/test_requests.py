"""Request ids: where they come from, what they are compared by, how they are echoed, and what they tell again."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from tests.http.answers import failure, success
from tests.support import Org, earn_bulk_body

HEADER = "X-CAP-REQUEST-ID"


def fresh() -> str:
    return secrets.token_hex(8)


async def test_the_id_of_the_body_wins_over_that_of_the_header(shared_org: Org) -> None:
    badge_id, in_body, in_header = await shared_org.make_badge(), fresh(), fresh()
    answer = await shared_org.client.post(
        "/customer/earnBulk",
        json=earn_bulk_body(badge_id, [1], requestId=in_body),
        headers={HEADER: in_header},
    )
    assert success(answer)["requestId"] == in_body
    assert answer.headers.get_list(HEADER) == [in_body]
    assert success(await shared_org.earn_bulk(badge_id, [2], requestId=in_header))["requestId"] == in_header


async def test_the_id_of_the_header_is_taken_where_the_body_has_none(shared_org: Org) -> None:
    badge_id, in_header = await shared_org.make_badge(), fresh()
    for expected in (200, 400):
        answer = await shared_org.client.post(
            "/customer/earnBulk", json=earn_bulk_body(badge_id, [1]), headers={HEADER: in_header}
        )
        assert answer.status_code == expected
        assert answer.headers[HEADER] == in_header
    assert failure(answer, 400) == [(809, "requestId")]


async def test_an_id_is_generated_where_there_is_none(shared_org: Org) -> None:
    badge_id = await shared_org.make_badge()
    answers = [await shared_org.earn_bulk(badge_id, [customer]) for customer in (1, 2)]
    ids = [success(answer)["requestId"] for answer in answers]
    assert ids == [answer.headers[HEADER] for answer in answers]
    assert len(set(ids)) == 2
    assert (
        success(await shared_org.client.get("/requests", params={"requestId": ids[0]}))["requestId"] == ids[0]
    )


async def test_an_integer_is_taken_as_its_digits(shared_org: Org) -> None:
    badge_id, number = await shared_org.make_badge(), secrets.randbits(60)
    assert success(await shared_org.earn_bulk(badge_id, [1], requestId=number))["requestId"] == str(number)
    again = await shared_org.earn_bulk(badge_id, [2], requestId=str(number))
    assert failure(again, 400) == [(809, "requestId")]


@pytest.mark.parametrize(
    "shape", ["{}", "{} ", " {}", "{}\u0301", "é{}", "{}%20", "🧦{}", "a/b?c={}&d", "{}\n", "x" * 238 + "{}"]
)
async def test_ids_are_compared_to_the_byte_and_echoed_in_ascii(shared_org: Org, shape: str) -> None:
    badge_id, request_id = await shared_org.make_badge(), shape.format(fresh())
    answer = await shared_org.earn_bulk(badge_id, [1], requestId=request_id)
    assert success(answer)["requestId"] == request_id
    assert answer.headers[HEADER] == quote(request_id, safe="!\"#$&'()*+,/:;<=>?@[\\]^`{|}~")
    assert failure(await shared_org.earn_bulk(badge_id, [2], requestId=request_id), 400) == [
        (809, "requestId")
    ]
    found = await shared_org.client.get("/requests", params={"requestId": request_id})
    assert success(found)["requestId"] == request_id


@pytest.mark.parametrize(("one", "other"), [("a", "A"), ("é", "e\u0301"), ("1", "01"), ("x", "x ")])
async def test_ids_that_only_look_alike_are_two(shared_org: Org, one: str, other: str) -> None:
    badge_id, stem = await shared_org.make_badge(), fresh()
    success(await shared_org.earn_bulk(badge_id, [1], requestId=stem + one))
    success(await shared_org.earn_bulk(badge_id, [2], requestId=stem + other))


async def test_an_id_is_used_in_its_own_org_only(shared_org: Org, other_org: Org) -> None:
    request_id = fresh()
    success(await shared_org.earn_bulk(await shared_org.make_badge(), [1], requestId=request_id))
    params = {"requestId": request_id}
    assert failure(await other_org.client.get("/requests", params=params), 404) == [(404, "requestId")]
    success(await other_org.earn_bulk(await other_org.make_badge(), [2], requestId=request_id))
    for org, customer in ((shared_org, 1), (other_org, 2)):
        data = success(await org.client.get("/requests", params=params))
        assert [entry["customerId"] for entry in data["issuedBadges"]] == [customer]


@pytest.mark.parametrize("shape", ["issued", "earned"])
async def test_a_request_tells_its_answer_again(shared_org: Org, shape: str) -> None:
    badge_id, request_id = await shared_org.make_badge(), fresh()
    await shared_org.earn_bulk(badge_id, [2])
    first = await shared_org.client.post(
        "/customer/earnBulk",
        params={"answer": shape},
        json=earn_bulk_body(badge_id, [3, 2, 1], requestId=request_id),
    )
    again = await shared_org.client.get("/requests", params={"requestId": request_id, "answer": shape})
    assert success(again) == success(first)
    assert again.json()["warnings"] == []


async def test_stored_outcome_keeps_the_decided_statuses(shared_org: Org) -> None:
    badge_id, request_id = await shared_org.make_badge(), fresh()
    ahead = datetime.now(UTC).timestamp() + 0.2
    first = success(await shared_org.earn_bulk(badge_id, [1], requestId=request_id, earnEventDate=ahead))
    assert first["issuedBadges"][0]["status"] == "UPCOMING"
    while datetime.now(UTC).timestamp() <= ahead:
        await shared_org.client.get(f"/badgeMeta/{badge_id}")
    again = success(await shared_org.client.get("/requests", params={"requestId": request_id}))
    assert again == first


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"requestId": "never used"}, (404, 404)),
        ({"requestId": "x" * 5_000}, (404, 404)),
        ({}, (400, 400)),
        ({"requestId": ""}, (400, 400)),
        ({"requestId": "a\0b"}, (400, 400)),
    ],
)
async def test_an_id_that_did_nothing_is_not_found(
    shared_org: Org, params: dict[str, str], expected: tuple[int, int]
) -> None:
    answer = await shared_org.client.get("/requests", params=params)
    assert failure(answer, expected[0]) == [(expected[1], "requestId")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/badgeMeta", 200),
        ("GET", "/badgeMeta/no-id", 404),
        ("GET", "/nowhere/at/all", 404),
        ("DELETE", "/badgeMeta", 405),
        ("POST", "/badgeMeta", 400),
        ("POST", "/customer/earnBulk", 400),
        ("GET", "/badgeMeta?size=0", 400),
    ],
)
async def test_every_answer_echoes_the_id_once(shared_org: Org, method: str, path: str, status: int) -> None:
    given = fresh()
    answer = await shared_org.client.request(method, path, headers={HEADER: given})
    assert (answer.status_code, answer.headers.get_list(HEADER)) == (status, [given])
    without = await shared_org.client.request(method, path)
    assert len(without.headers.get_list(HEADER)) == 1
    assert without.headers[HEADER]


async def test_a_malformed_body_echoes_its_id_where_it_can_be_read(shared_org: Org) -> None:
    sent = {"requestId": fresh(), "customerIds": ["x"]}
    answer = await shared_org.client.post("/customer/earnBulk", json=sent, headers={HEADER: "other"})
    assert len(failure(answer, 400)) == 3
    assert answer.headers[HEADER] == sent["requestId"]


async def test_a_refusal_of_the_credentials_echoes_the_id(shared_org: Org) -> None:
    answer = await shared_org.client.get("/badgeMeta", auth=("nobody", "x"), headers={HEADER: "42"})
    assert (answer.status_code, answer.headers[HEADER]) == (401, "42")


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        (b"plain", "plain"),
        (b"a b", "a%20b"),
        (b"50%", "50%25"),
        ("é".encode(), "%C3%A9"),
        (b"\xff", "%C3%BF"),
    ],
)
async def test_whatever_the_header_carries_is_echoed_in_ascii(
    shared_org: Org, sent: bytes, echoed: str
) -> None:
    answer = await shared_org.client.get("/badgeMeta", headers=[(HEADER.encode(), sent)])
    assert answer.headers[HEADER] == echoed


async def test_request_id_that_is_too_long_is_rejected(shared_org: Org) -> None:
    body = earn_bulk_body(await shared_org.make_badge(), [1])
    answer = await shared_org.client.post("/customer/earnBulk", json=body, headers={HEADER: "x" * 256})
    assert failure(answer, 400) == [(400, HEADER)]
    answer = await shared_org.client.post("/customer/earnBulk", json={**body, "requestId": "x" * 256})
    assert failure(answer, 400) == [(400, "requestId")]
