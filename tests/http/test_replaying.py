"""A request with an idempotency key is executed once, and retries get the same response."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from cockade.http.urls import BASE_PATH
from cockade.idempotency.service import DELETED_PER_REQUEST
from tests.concurrency import ledger
from tests.http.answers import earned_count, failure, success
from tests.http.operations import ENTRIES, Operation, openapi, operations, set_the_scene
from tests.http.test_import import row
from tests.http.test_tenancy import rows_of
from tests.support import TRIGGER, Org, earn_bulk_body

OPERATIONS = [
    each
    for each in operations(openapi())
    if not each.is_reading and not each.entry.public and not each.by_identifier
    if each.operation_id != "createJob"  # which takes none: its body is a stream
]
ISSUE_EARN: dict[str, Any] = {"earnType": "ISSUE_EARN", "issuedBadgeExpiry": {"expiryType": "NEVER"}}


def key(word: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": word or secrets.token_hex(8)}


def is_replay(answer: httpx.Response) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


def same(answer: httpx.Response) -> tuple[int, bytes]:
    return answer.status_code, answer.content


async def earn_bulk(org: Org, body: Any, headers: dict[str, str], **params: str) -> httpx.Response:
    return await org.client.post("/customer/earnBulk", json=body, headers=headers, params=params)


async def count_kept(org: Org) -> int:
    return await org.services.database.transaction(
        "test.count",
        lambda tx: tx.value("select count(*) from idempotency_key where org_id = $1", org.caller.org_id),
    )


def test_every_operation_that_changes_something_is_here() -> None:
    assert {each.operation_id for each in OPERATIONS} > {"earnBulk", "createGroup", "revokeRequest"}
    assert len(OPERATIONS) >= 23


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_every_operation_is_executed_once_and_replayed(shared_org: Org, operation: Operation) -> None:
    org = shared_org
    scene = await set_the_scene(org, "once")
    if operation.entry.prepare is not None:
        await operation.entry.prepare(org, scene)
    request = operation.request(org.client, scene)
    request.headers.update(key())
    first = await _send(org, request)
    assert (first.status_code, is_replay(first)) == (ENTRIES[operation.operation_id].status, False)
    changed = await rows_of(org)
    for _ in range(2):
        again = await _send(org, request)
        assert same(again) == same(first)
        assert is_replay(again)
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert await rows_of(org) == changed, "nothing happened again"


async def _send(org: Org, request: httpx.Request) -> httpx.Response:
    """As it was built, to be sent again and again."""
    headers = [(name, value) for name, value in request.headers.items() if name != "content-length"]
    return await org.client.request(request.method, request.url, content=request.content, headers=headers)


async def test_an_answer_with_refusals_warnings_and_a_generated_id_comes_again_byte_by_byte(
    org: Org,
) -> None:
    """It is made of the outcome again: in either shape, whatever has become of the badge since."""
    badge_id = await org.make_badge(
        overlapPolicy="ALLOW",
        customerConstraints=[
            {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 1, "rollForDays": 1}
        ],
    )
    success(await org.earn_bulk(badge_id, [2]))
    calls = [
        ("/customer/earnBulk", earn_bulk_body(badge_id, [1, 2, 3, 1]), {}),
        ("/customer/earnBulk", earn_bulk_body(badge_id, [3, 4]), {"answer": "earned"}),
        ("/customer/earn", {"badgeMetaId": badge_id, "customerId": 9, "triggeredBy": TRIGGER}, {}),
        ("/import/customerBadges", [row(badge_id), row("0" * 24), {"badgeMetaId": 1}], {}),
    ]
    sent = [(path, body, params, key()) for path, body, params in calls]
    firsts = [
        await org.client.post(path, json=body, params=params, headers=headers)
        for path, body, params, headers in sent
    ]
    assert [answer.status_code for answer in firsts] == [200] * 4
    assert await count_kept(org) == 4
    success(await org.client.put(f"/badgeMeta/{badge_id}/deactivate"))
    for (path, body, params, headers), first in zip(sent, firsts, strict=True):
        again = await org.client.post(path, json=body, params=params, headers=headers)
        assert same(again) == same(first)
        assert is_replay(again)
        assert again.headers["X-CAP-REQUEST-ID"] == first.headers["X-CAP-REQUEST-ID"]
    told = firsts[0].json()
    assert ([entry.get("error", {}).get("code") for entry in told["data"]["issuedBadges"]]) == [
        None,
        817,
        None,
    ]
    assert told["warnings"]


async def test_of_a_request_hardly_anything_is_kept(org: Org) -> None:
    badge_id = await org.make_badge()
    success(await earn_bulk(org, earn_bulk_body(badge_id, list(range(1, 5_000))), key()))
    [size] = await org.services.database.transaction(
        "test.size",
        lambda tx: tx.row(
            "select pg_column_size(k.*) from idempotency_key k where org_id = $1", org.caller.org_id
        ),
    ) or [0]
    assert 0 < size < 300


async def test_the_key_is_looked_up_before_the_request_id(shared_org: Org) -> None:
    badge_id, named = await shared_org.make_badge(), key()
    body = earn_bulk_body(badge_id, [1], requestId="once")
    first = await earn_bulk(shared_org, body, named)
    assert is_replay(again := await earn_bulk(shared_org, body, named))
    assert same(again) == same(first)
    assert failure(await earn_bulk(shared_org, body, key()), 400) == [(809, "requestId")]
    assert failure(await earn_bulk(shared_org, body, {}), 400) == [(809, "requestId")], (
        "without a key as ever"
    )


@pytest.mark.parametrize(
    "another",
    [
        lambda org, body, named: org.client.post(
            "/customer/earnBulk", json={**body, "customerIds": [2]}, headers=named
        ),
        lambda org, body, named: org.client.post("/customer/earn", json=body, headers=named),
        lambda org, body, named: org.client.post(
            "/customer/earnBulk", json=body, params={"answer": "earned"}, headers=named
        ),
        lambda org, body, named: org.client.put(
            f"/badgeMeta/{body['badgeMetaId']}/deactivate", headers=named
        ),
        lambda org, body, named: org.client.delete("/customers/1", headers=named),
    ],
    ids=["other customers", "other operation", "other query", "no body", "delete"],
)
async def test_a_key_that_was_used_for_another_call_is_422_and_changes_nothing(
    shared_org: Org, another: Callable[[Org, Any, dict[str, str]], Awaitable[httpx.Response]]
) -> None:
    body, named = earn_bulk_body(await shared_org.make_badge(), [1]), key()
    success(await earn_bulk(shared_org, body, named))
    before = await rows_of(shared_org)
    answer = await another(shared_org, body, named)
    assert failure(answer, 422) == [(422, "Idempotency-Key")]
    assert not is_replay(answer)
    assert await rows_of(shared_org) == before


async def test_two_paths_to_one_operation_are_one_call(shared_org: Org) -> None:
    body, named = earn_bulk_body(await shared_org.make_badge(), [1]), key()
    first = await earn_bulk(shared_org, body, named)
    short = f"http://test{BASE_PATH.removeprefix('/api_gateway')}/customer/earnBulk"
    assert same(await shared_org.client.post(short, json=body, headers=named)) == same(first)


async def test_a_key_in_quotes_is_the_same_key(shared_org: Org) -> None:
    body = earn_bulk_body(await shared_org.make_badge(), [1])
    first = await earn_bulk(shared_org, body, key("in-quotes"))
    assert same(await earn_bulk(shared_org, body, key('"in-quotes"'))) == same(first)


@pytest.mark.parametrize("sent", ["", '""', "two words", "x" * 256, "ä".encode("latin-1")])
async def test_invalid_key_is_rejected(shared_org: Org, sent: Any) -> None:
    answer = await shared_org.client.post("/customer/earnBulk", json={}, headers={"Idempotency-Key": sent})
    assert failure(answer, 400) == [(400, "Idempotency-Key")]


async def test_two_keys_are_a_fault(shared_org: Org) -> None:
    answer = await shared_org.client.post(
        "/customer/earnBulk", json={}, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    )
    assert failure(answer, 400) == [(400, "Idempotency-Key")]


async def test_a_refusal_is_not_kept_for_nothing_has_happened(org: Org) -> None:
    """The same call is decided afresh: what was wrong may have been put right."""
    badge_id, named = await org.make_badge(claim=False), key()
    body = earn_bulk_body(badge_id, [1], requestId="refused first")
    assert failure(await earn_bulk(org, body, named), 409) == [(810, None)]
    assert await count_kept(org) == 0
    success(await org.client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER))
    answer = await earn_bulk(org, body, named)
    assert success(answer)["earnedCount"] == 1
    assert not is_replay(answer)


async def test_response_to_a_malformed_body_is_not_stored(shared_org: Org) -> None:
    badge_id, named = await shared_org.make_badge(), key()
    answer = await shared_org.client.post("/customer/earnBulk", content=b"{", headers=named)
    assert failure(answer, 400)[0][0] == 400
    success(await earn_bulk(shared_org, earn_bulk_body(badge_id, [1]), named))


async def test_a_dry_run_takes_no_key(shared_org: Org) -> None:
    badge_id, named = await shared_org.make_badge(), key()
    body = earn_bulk_body(badge_id, [1], requestId="dry")
    before = await rows_of(shared_org)
    for _ in range(2):
        answer = await earn_bulk(shared_org, body, named, dryRun="true")
        assert (success(answer)["earnedCount"], is_replay(answer)) == (1, False)
    assert await rows_of(shared_org) == before
    assert success(await earn_bulk(shared_org, body, named))["earnedCount"] == 1


async def test_keys_of_two_orgs_have_nothing_to_do_with_each_other(org: Org, other_org: Org) -> None:
    named = key()
    for each in (org, other_org):
        answer = await earn_bulk(each, earn_bulk_body(await each.make_badge(), [1]), named)
        assert (success(answer)["earnedCount"], is_replay(answer)) == (1, False)


async def test_while_one_is_running_the_same_key_is_409_at_once(shared_org: Org, database_url: str) -> None:
    badge_id, named = await shared_org.make_badge(), key()
    body = earn_bulk_body(badge_id, [1], requestId="slow")
    async with ledger.connection(database_url) as holder:
        await holder.execute("begin")
        await holder.execute(
            "insert into request (org_id, request_id, request_key, kind) values ($1, 'slow', 1, 'EARN_BULK')",
            shared_org.caller.org_id,
        )
        first = asyncio.create_task(earn_bulk(shared_org, body, named))
        await ledger.await_blocked(holder, by=holder.get_server_pid())
        async with asyncio.timeout(5):
            meanwhile = await earn_bulk(shared_org, body, named)
        assert failure(meanwhile, 409) == [(409, None)]
        assert int(meanwhile.headers["Retry-After"]) > 0
        await holder.execute("rollback")
    answer = await first
    assert success(answer)["earnedCount"] == 1
    assert same(await earn_bulk(shared_org, body, named)) == same(answer)


async def test_twenty_at_once_with_one_key_make_one_set_of_issuances(
    shared_org: Org, database_url: str
) -> None:
    badge_id, named = await shared_org.make_badge(), key()
    body = earn_bulk_body(badge_id, list(range(1, 501)))

    async def call_until_told() -> httpx.Response:
        for _ in range(200):
            answer = await earn_bulk(shared_org, body, named)
            if answer.status_code != 409:
                return answer
            await asyncio.sleep(0.05)
        raise AssertionError("it never ends")

    answers = await asyncio.gather(*(call_until_told() for _ in range(20)))
    assert len({same(answer) for answer in answers}) == 1
    assert sorted(map(is_replay, answers)) == [False] + [True] * 19
    assert await ledger.count_earned(database_url, shared_org, badge_id) == 500


async def test_calls_with_keys_that_meet_over_a_customer_are_decided_one_after_the_other(
    shared_org: Org, database_url: str
) -> None:
    """A collision undoes a part of the transaction, which is then run again alone."""
    badge_id = await shared_org.make_badge()
    answers = await asyncio.gather(
        *(earn_bulk(shared_org, earn_bulk_body(badge_id, list(range(1, 301))), key()) for _ in range(8))
    )
    assert sum(success(answer)["earnedCount"] for answer in answers) == 300
    assert await ledger.count_earned(database_url, shared_org, badge_id) == 300


async def test_response_is_stored_for_the_retention_time_and_then_deleted(org: Org) -> None:
    named = key()
    body = {"name": "Gold", "rank": 1}
    first = await org.client.post("/group", json=body, headers=named)
    assert same(await org.client.post("/group", json=body, headers=named)) == same(first)
    long_ago = datetime.now(UTC) - timedelta(days=9)
    for number in range(DELETED_PER_REQUEST + 3):
        answer = await org.client.post("/group", json={"name": f"{number}"}, headers=key(f"old-{number}"))
        assert answer.status_code == 201
    await org.services.database.transaction(
        "test.age",
        lambda tx: tx.execute(
            "update idempotency_key set created_at = $2 where org_id = $1", org.caller.org_id, long_ago
        ),
    )
    again = await org.client.post("/group", json={"name": "another"}, headers=named)
    assert (again.status_code, is_replay(again)) == (201, False), "the old key is free for another call"
    assert await count_kept(org) in (4, 5), "the old key may have been among those taken away"
    await org.client.post("/group", json={"name": "x"}, headers=key())
    assert await count_kept(org) == 2


async def test_expired_responses_are_deleted_in_batches_without_requests(org: Org) -> None:
    kept = key("kept")
    first = await org.client.post("/group", json={"name": "kept"}, headers=kept)
    for number in range(5):
        await org.client.post("/group", json={"name": f"{number}"}, headers=key(f"old-{number}"))
    await org.services.database.transaction(
        "test.age",
        lambda tx: tx.execute(
            "update idempotency_key set created_at = $2 where org_id = $1 and key like '%old-%'",
            org.caller.org_id,
            datetime.now(UTC) - timedelta(days=9),
        ),
    )
    assert await org.services.idempotency.delete_expired(per_transaction=2) >= 5
    assert await count_kept(org) == 1
    assert same(await org.client.post("/group", json={"name": "kept"}, headers=kept)) == same(first)


async def test_an_org_may_have_its_request_ids_taken_for_keys(org: Org) -> None:
    """Answered alike: earnBulk, earn, issueBulk and imports; everything else needs a key."""
    badge_id, enrolled_id = await org.make_badge(), await org.make_badge(**ISSUE_EARN)
    auth = org.services.auth
    assert (await auth.set_request_id_is_key(org.caller.org_id, True)).request_id_is_key
    auth._cached_callers.clear()
    earn = {"badgeMetaId": badge_id, "customerId": 3, "requestId": 3, "triggeredBy": TRIGGER}
    enrol = {"badgeMetaId": enrolled_id, "customers": [1], "requestId": "4", "triggeredBy": TRIGGER}
    calls = [
        ("/customer/earnBulk", earn_bulk_body(badge_id, [1], requestId="1"), {}),
        ("/customer/earnBulk", earn_bulk_body(badge_id, [2]), {"X-CAP-REQUEST-ID": "2"}),
        ("/customer/earn", earn, {}),
        ("/badgeMeta/customer/issueBulk", enrol, {}),
        ("/import/customerBadges", [row(badge_id, 5)], {"X-CAP-REQUEST-ID": "5"}),
    ]
    for path, body, headers in calls:
        first = await org.client.post(path, json=body, headers=headers)
        assert (first.status_code, is_replay(first)) == (200, False), first.text
        again = await org.client.post(path, json=body, headers=headers)
        assert (same(again), is_replay(again)) == (same(first), True)
    other = await org.earn_bulk(badge_id, [9], requestId="1")
    assert failure(other, 422) == [(422, "requestId")]
    assert await earned_count(org, badge_id) == 4
    generated = [await org.earn_bulk(badge_id, [customer]) for customer in (21, 22)]
    assert [success(answer)["earnedCount"] for answer in generated] == [1, 1]
    assert not (await auth.set_request_id_is_key(org.caller.org_id, False)).request_id_is_key
    auth._cached_callers.clear()
    assert failure(await org.earn_bulk(badge_id, [1], requestId="1"), 400) == [(809, "requestId")]
    page = success(await org.client.get("/audit", params={"action": "org.update"}))
    assert [entry["details"] for entry in page["entries"]] == [
        {"requestIdIsKey": False},
        {"requestIdIsKey": True},
    ]


async def test_the_document_describes_the_header_and_its_failures() -> None:
    for operation in OPERATIONS:
        [header] = [each for each in operation.described["parameters"] if each["name"] == "Idempotency-Key"]
        assert (header["in"], header["required"]) == ("header", False)
        responses = operation.described["responses"]
        assert {"400", "409", "422"} <= set(responses), operation.label
        assert "still running" in responses["409"]["description"]
    reading = [each for each in operations(openapi()) if each.is_reading]
    assert not any(
        each["name"] == "Idempotency-Key"
        for operation in reading
        for each in operation.described.get("parameters", [])
    )
