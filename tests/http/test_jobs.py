"""Jobs, step by step: what is staged, what each chunk decides, and that each customer is issued to exactly once."""

from __future__ import annotations

import asyncio
import csv
import gzip
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from cockade import clock
from cockade.api.job.schemas import read_job_id
from cockade.config import Config
from cockade.errors import InvalidInput, JobEnded, RequestIdUsed, UploadSuperseded
from cockade.ids import BadgeId, RequestKey
from cockade.job.model import AudienceFormat, AudienceLayout, Job, JobCommand, JobState
from cockade.job.service import STALLED_S, UPLOAD_ABANDONED_S, JobService
from cockade.request.model import OwnerType
from cockade.worker import TaskInterrupted
from tests.support import REFERENCE, TRIGGER, Org

JOBS = "/customer/earnBulk/jobs"
CHUNK = 3
NEVER = asyncio.Event()


def service(org: Org) -> JobService:
    """Jobs of small chunks."""
    return JobService(org.services.database, clock.now, Config(job_chunk_size=CHUNK))


def command(badge_id: str, request_id: str, **fields: Any) -> JobCommand:
    made = JobCommand(
        request_id=request_id,
        badge_id=BadgeId(badge_id),
        event_at=None,
        owner_type=OwnerType.LOYALTY,
        reference_id=REFERENCE,
        layout=AudienceLayout(format=AudienceFormat.CSV),
    )
    return msgspec.structs.replace(made, **fields)


async def pieces(customers: Iterable[object]) -> AsyncIterator[bytes]:
    yield "\n".join(["customerId", *map(str, customers)]).encode()


async def start(org: Org, badge_id: str, customers: Iterable[object], **fields: Any) -> Job:
    wanted = command(badge_id, fields.pop("request_id", f"job of {badge_id}"), **fields)
    return await service(org).start(org.caller, wanted, pieces(customers))


async def finish(org: Org, job: Job) -> Job:
    """The job, worked through."""
    await service(org)._run_job(job.job_key, NEVER)
    return await service(org).get(org.caller, job.job_key)


async def holders(org: Org, badge_id: str) -> list[int]:
    """Return the customers that earned it, once per earned badge."""
    answer = await org.client.get(f"/badgeMeta/{badge_id}/customers", params={"size": 1000})
    return [row["customerId"] for row in answer.json()["data"]["customers"]]


async def rows(org: Org, job: Job, file: str) -> list[dict[str, str]]:
    answer = await org.client.get(f"{JOBS}/{job.job_key:016x}/{file}")
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(answer.text.splitlines()))


async def post(
    org: Org, content: bytes, params: dict[str, str], headers: dict[str, str] | None = None
) -> httpx.Response:
    return await org.client.post(
        JOBS, params=params, content=content, headers={"Content-Type": "text/csv", **(headers or {})}
    )


def asked(badge_id: str, **params: str) -> dict[str, str]:
    return {"badgeMetaId": badge_id, **TRIGGER, **params}


async def test_repeated_customers_are_issued_to_once(org: Org) -> None:
    """The badge allows several per customer, so only the job itself prevents a second one."""
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    job = await finish(org, await start(org, badge_id, [1, 2, 2, 3, 1, 4, 5, 1, 6]))
    assert (job.state, job.counts.issued, job.counts.duplicates) == (JobState.COMPLETED, 6, 3)
    assert await holders(org, badge_id) == [1, 2, 3, 4, 5, 6]
    found = await rows(org, job, "results")
    assert [row["code"] for row in found] == ["", "", "409", "", "409", "", "", "409", ""]
    assert [row["customerId"] for row in await rows(org, job, "refused")] == ["2", "1", "1"]


async def test_job_is_found_by_job_id_and_request_id(org: Org) -> None:
    badge_id = await org.make_badge()
    job = await finish(org, await start(org, badge_id, range(1, 8), request_id="spring"))
    page = (await org.client.get(f"/badgeMeta/{badge_id}/customers", params={"size": 100})).json()["data"]
    assert {row["requestId"] for row in page["customers"]} == {"spring"}
    issued = {row["customerId"]: row["issuedId"] for row in await rows(org, job, "results")}
    assert issued == {str(row["customerId"]): row["earnedBadgeId"] for row in page["customers"]}
    explained = await org.client.get(f"/badgeMeta/{badge_id}/customers/5/explain")
    assert explained.json()["data"]["earned"][0]["requestId"] == "spring"
    told = await org.client.get("/requests", params={"requestId": "spring"})
    assert (told.json()["data"]["jobId"], told.json()["data"]["state"]) == (
        f"{job.job_key:016x}",
        "completed",
    )
    revoked = {"badgeMetaId": badge_id, "customerId": 5, "earnedBadgeId": issued["5"]}
    assert (await org.client.post("/customer/revokeEarn", json=revoked)).status_code == 200


async def test_concurrent_workers_process_a_job_once(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    job = await start(org, badge_id, range(1, 61))
    await asyncio.gather(*(service(org)._run_job(job.job_key, NEVER) for _ in range(4)))
    assert await holders(org, badge_id) == list(range(1, 61))
    counts = (await service(org).get(org.caller, job.job_key)).counts
    assert counts.issued == 60


async def test_worker_killed_at_any_point_loses_and_repeats_nothing(org: Org) -> None:
    badge_id = await org.make_badge(overlapPolicy="ALLOW")
    job = await start(org, badge_id, [*range(1, 31), 7])
    for number in range(1, 40):
        working = asyncio.create_task(service(org)._run_job(job.job_key, NEVER))
        await asyncio.sleep(0.003 * (number % 10))
        working.cancel()
        await asyncio.wait([working])
    job = await finish(org, job)
    assert (job.state, job.counts.issued, job.counts.duplicates) == (JobState.COMPLETED, 30, 1)
    assert await holders(org, badge_id) == list(range(1, 31))


async def test_a_worker_that_ends_gives_its_job_back(org: Org) -> None:
    job = await start(org, await org.make_badge(), [1])
    ending = asyncio.Event()
    ending.set()
    with pytest.raises(TaskInterrupted):
        await service(org)._run_job(job.job_key, ending)
    assert (await finish(org, job)).counts.issued == 1


async def test_a_paused_job_issues_nothing_until_it_is_resumed(org: Org) -> None:
    badge_id, jobs = await org.make_badge(), service(org)
    job = await start(org, badge_id, range(1, 8))
    assert await jobs._advance(job.job_key)  # sorts
    assert await jobs._advance(job.job_key)
    for _ in range(2):
        assert (await jobs.pause(org.caller, job.job_key)).state is JobState.PAUSED
    paused = await finish(org, job)
    assert (paused.state, paused.processed, len(await holders(org, badge_id))) == (
        JobState.PAUSED,
        CHUNK,
        CHUNK,
    )
    for _ in range(2):
        assert (await jobs.resume(org.caller, job.job_key)).state is JobState.QUEUED
    assert (await finish(org, job)).counts.issued == 7
    for change in (jobs.pause, jobs.resume, jobs.cancel):
        with pytest.raises(JobEnded):
            await change(org.caller, job.job_key)


async def test_cancelled_job_keeps_issued_badges_and_lists_the_other_lines(org: Org) -> None:
    badge_id, jobs = await org.make_badge(), service(org)
    job = await start(org, badge_id, range(1, 8))
    await jobs._advance(job.job_key)
    await jobs._advance(job.job_key)
    for _ in range(2):
        assert (await jobs.cancel(org.caller, job.job_key)).state is JobState.CANCELLED
    assert (await finish(org, job)).counts.issued == CHUNK
    left = await rows(org, job, "refused")
    assert [(row["customerId"], row["reason"]) for row in left] == [
        (str(customer), "Not decided: the job was cancelled.") for customer in range(4, 8)
    ]
    with pytest.raises(JobEnded):
        await jobs.resume(org.caller, job.job_key)


async def test_a_badge_that_is_switched_off_half_way_refuses_the_rest(org: Org) -> None:
    badge_id, jobs = await org.make_badge(), service(org)
    job = await start(org, badge_id, range(1, 8))
    await jobs._advance(job.job_key)
    await jobs._advance(job.job_key)
    await org.client.put(f"/badgeMeta/{badge_id}/deactivate")
    job = await finish(org, job)
    assert (job.state, job.counts.issued, dict(job.counts.failed)) == (JobState.COMPLETED, CHUNK, {815: 4})
    assert {row["reason"] for row in await rows(org, job, "refused")} == {"815 Badge is not live."}


async def test_limits_are_met_in_the_order_of_the_lines_and_a_dry_run_says_so_before(org: Org) -> None:
    limit = {"constraintType": "BADGE_FIXED_VALUE", "maxEarnLimit": 5}
    badge_id = await org.make_badge(badgeConstraints=[limit])
    await org.earn_bulk(badge_id, [8])
    for is_dry_run in (True, False):
        job = await finish(
            org, await start(org, badge_id, range(9, 1, -1), request_id="once", is_dry_run=is_dry_run)
        )
        assert (dict(job.counts.failed), job.counts.issued) == ({1040: 1, 818: 3}, 4)
        last = [row["customer"] for row in await rows(org, job, "results") if row["code"] == "818"]
        assert last == ["4", "3", "2"]
        assert len(await holders(org, badge_id)) == (1 if is_dry_run else 5)


async def test_the_same_request_id_is_refused_unless_its_audience_never_came(org: Org) -> None:
    badge_id, jobs = await org.make_badge(), service(org)

    async def slow(lines: bytes, arrived: asyncio.Event, go_on: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"customerId\n" + lines * 40
        arrived.set()
        await go_on.wait()
        yield lines

    async def send(lines: bytes, go_on: asyncio.Event) -> asyncio.Task[Job]:
        arrived = asyncio.Event()
        sending = asyncio.create_task(
            jobs.start(org.caller, command(badge_id, "twice"), slow(lines, arrived, go_on))
        )
        await arrived.wait()
        return sending

    first_goes_on, second_goes_on = asyncio.Event(), asyncio.Event()
    first = await send(b"1\n2\n", first_goes_on)
    second_sent = await send(b"6\n7\n", second_goes_on)
    first_goes_on.set()
    with pytest.raises(UploadSuperseded):
        await first
    second_goes_on.set()
    second = await second_sent
    assert (await finish(org, second)).counts.issued == 2
    assert await holders(org, badge_id) == [6, 7]
    answer = await post(org, b"8\n", asked(badge_id, requestId="twice"))
    assert [error["code"] for error in answer.json()["errors"]] == [809]
    again = await org.earn_bulk(badge_id, [8], requestId="twice")
    assert [error["code"] for error in again.json()["errors"]] == [809]


async def test_an_audience_that_breaks_off_leaves_nothing_behind(org: Org) -> None:
    badge_id = await org.make_badge()

    async def broken() -> AsyncIterator[bytes]:
        yield b"customerId\n" + b"1\n" * 100
        raise InvalidInput([])

    with pytest.raises(InvalidInput):
        await service(org).start(org.caller, command(badge_id, "broken"), broken())
    assert (await service(org).list_page(org.caller, None, 0, 10))[1] == 0
    assert (await org.earn_bulk(badge_id, [1], requestId="broken")).status_code == 200


@pytest.mark.parametrize(
    ("params", "content", "headers", "status", "found"),
    [
        ({"badgeMetaId": None}, b"1", {}, 400, [(715, "badgeMetaId")]),
        ({"ownerType": "Nobody", "column": "b"}, b"1", {}, 400, [(400, "triggeredBy.ownerType")]),
        (
            {
                "badgeMetaId": None,
                "referenceId": None,
                "dryRun": "x",
                "identifier": "y",
                "earnEventDate": "z",
            },
            b"1",
            {"Content-Type": "text/plain"},
            400,
            [
                (715, "badgeMetaId"),
                (717, "triggeredBy.referenceId"),
                (400, "dryRun"),
                (400, "identifier"),
                (400, "earnEventDate"),
                (400, "Content-Type"),
            ],
        ),
        ({"badgeMetaId": "0" * 24}, b"1", {}, 404, [(404, "badgeMetaId")]),
        ({"referenceId": "other"}, b"1", {}, 409, [(810, None)]),
        ({"column": "b"}, b"a\n1", {}, 400, [(400, "column")]),
        ({}, b"a,b\n1,2", {}, 400, [(400, "column")]),
        ({}, b"\xff\n", {}, 400, [(400, "audience")]),
        ({}, b"", {}, 400, [(812, "audience")]),
        ({}, b"customerId\n\n", {}, 400, [(812, "audience")]),
        ({}, b"1", {"Content-Encoding": "br"}, 415, [(415, None)]),
        ({}, b"1", {"Content-Encoding": "gzip"}, 400, [(400, "audience")]),
        ({}, gzip.compress(b"1\n2\n", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400, [(400, "audience")]),
        ({"requestId": "x" * 256}, b"1", {}, 400, [(400, "requestId")]),
    ],
)
async def test_all_errors_of_a_request_are_reported(
    shared_org: Org,
    params: dict[str, str | None],
    content: bytes,
    headers: dict[str, str],
    status: int,
    found: list[tuple[int, str | None]],
) -> None:
    sent = {**asked(await shared_org.make_badge()), **params}
    given = {name: value for name, value in sent.items() if value is not None}
    answer = await post(shared_org, content, given, headers)
    assert answer.status_code == status, answer.text
    assert sorted((error["code"], str(error["reference"])) for error in answer.json()["errors"]) == sorted(
        (code, str(reference)) for code, reference in found
    )
    assert (await shared_org.client.get(JOBS)).json()["data"]["jobs"] == []


async def test_an_audience_may_be_packed(org: Org) -> None:
    badge_id = await org.make_badge()
    packed = gzip.compress(b"id\n" + b"".join(b"%d\n" % number for number in range(1, 5000)))
    answer = await post(org, packed, asked(badge_id), {"Content-Encoding": "gzip"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["data"]["counts"]["lines"] == 4999
    assert answer.headers["Location"].endswith(f"{JOBS}/{answer.json()['data']['jobId']}")


async def test_identifiers_are_looked_up_and_unknown_ones_named(org: Org) -> None:
    badge_id = await org.make_badge()
    owned = [{"customerId": 7, "type": "email", "value": "seven@example.org"}]
    await org.client.put("/customers/identifiers", json={"identifiers": owned})
    lines = b"name,mail\nSeven,Seven@Example.org\nEight,eight@example.org\n"
    answer = await post(org, lines, asked(badge_id, identifier="email", column="mail"))
    key = read_job_id(answer.json()["data"]["jobId"])
    assert key is not None
    job = await finish(org, await service(org).get(org.caller, key))
    assert (job.counts.issued, job.counts.unknown) == (1, 1)
    assert await holders(org, badge_id) == [7]
    [refused] = await rows(org, job, "refused")
    assert refused == {
        "name": "Eight",
        "mail": "eight@example.org",
        "reason": "404 Line 3: No customer has this email.",
    }
    assert [row["customer"] for row in await rows(org, job, "results")] == [
        "Seven@Example.org",
        "eight@example.org",
    ]


async def test_erased_customer_is_removed_from_audiences(org: Org) -> None:
    """The customer gets nothing from undecided chunks, and the uploaded lines are deleted."""
    badge_id = await org.make_badge()
    job = await start(org, badge_id, range(1, 8))
    erased = await org.client.delete("/customers/5")
    assert erased.json()["data"]["requestCount"] == 1, erased.text
    job = await finish(org, job)
    assert await holders(org, badge_id) == [1, 2, 3, 4, 6, 7]
    assert [row["customerId"] for row in await rows(org, job, "results")] == ["1", "2", "3", "4", "6", "7"]


async def test_customers_merged_during_a_job_are_issued_to_once(org: Org) -> None:
    """Though the badge may be held several times: 2 is decided already when 7 becomes 2; 5 and 6 are in one chunk."""
    badge_id, jobs = await org.make_badge(overlapPolicy="ALLOW"), service(org)
    job = await start(org, badge_id, range(1, 9))
    await jobs._advance(job.job_key)
    await jobs._advance(job.job_key)
    for customer, into in ((7, 2), (5, 6)):
        merged = {"from": customer, "into": into}
        answer = await org.client.post("/customers/merge", json=merged)
        assert answer.status_code == 200, answer.text
    job = await finish(org, job)
    assert (job.counts.issued, job.counts.duplicates) == (6, 2)
    assert await holders(org, badge_id) == [1, 2, 3, 4, 6, 8]


async def test_abandoned_uploads_and_stalled_jobs_are_cleaned_up(org: Org) -> None:
    """An audience that has stopped coming is given up, a job that the queue forgot comes back, old files go."""
    badge_id, database = await org.make_badge(), org.services.database
    done = await finish(org, await start(org, badge_id, [1, "x"], request_id="done"))
    waiting = await start(org, badge_id, [2], request_id="waiting")
    stale = await database.transaction(
        "test.begin", lambda tx: service(org)._begin(tx, org.caller, command(badge_id, "stale"))
    )

    async def age(tx: Any) -> None:
        ago = clock.now() - timedelta(seconds=max(UPLOAD_ABANDONED_S, STALLED_S) + 1)
        keys = [stale.job_key, waiting.job_key]
        await tx.execute("update job set updated_at = $1 where job_key = any($2::bigint[])", ago, keys)
        await tx.execute("delete from pgqueuer where payload = $1", str(waiting.job_key).encode())
        long_ago = clock.now() - timedelta(days=31)
        await tx.execute("update job set finished_at = $1 where job_key = $2", long_ago, done.job_key)

    await database.transaction("test.age", age)
    await service(org).cleanup()
    listed, _ = await service(org).list_page(org.caller, None, 0, 10)
    assert {job.request_id for job in listed} == {"done", "waiting"}
    assert (await org.earn_bulk(badge_id, [3], requestId="stale")).status_code == 200
    queued = await database.transaction(
        "test.queue",
        lambda tx: tx.value(
            "select count(*) from pgqueuer where payload = $1", str(waiting.job_key).encode()
        ),
    )
    assert queued == 1
    gone = await org.client.get(f"{JOBS}/{done.job_key:016x}/results")
    assert (gone.status_code, gone.json()["errors"][0]["code"]) == (410, 410)
    counts = (await org.client.get(f"{JOBS}/{done.job_key:016x}")).json()["data"]["counts"]
    assert (counts["issued"], counts["malformed"]) == (1, 1)


async def test_a_chunk_that_fails_again_and_again_fails_the_job_which_can_be_resumed(org: Org) -> None:
    badge_id, database = await org.make_badge(), org.services.database
    job = await start(org, badge_id, [1])
    spoil = "update job_chunk set line_errors = $2 where job_key = $1"
    await database.transaction("test.spoil", lambda tx: tx.execute(spoil, job.job_key, b"{}"))
    failed = await finish(org, job)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    await database.transaction("test.mend", lambda tx: tx.execute(spoil, job.job_key, b"[]"))
    assert (await service(org).resume(org.caller, job.job_key)).error is None
    assert (await finish(org, job)).state is JobState.COMPLETED


async def test_a_dry_run_asks_whether_its_request_id_is_used_and_takes_none(org: Org) -> None:
    badge_id, database = await org.make_badge(), org.services.database
    for _ in range(2):
        await start(org, badge_id, [1], request_id="once", is_dry_run=True)
    begun = command(badge_id, "arriving")
    await database.transaction("test.begin", lambda tx: service(org)._begin(tx, org.caller, begun))
    await start(org, badge_id, [1], request_id="arriving", is_dry_run=True)  # as the call itself would be
    await start(org, badge_id, [1], request_id="once")
    with pytest.raises(RequestIdUsed):
        await start(org, badge_id, [1], request_id="once", is_dry_run=True)


async def test_an_id_that_is_none_is_no_job(org: Org) -> None:
    for job_id in ("0" * 16, "x", "0" * 24, "-" * 16):
        answer = await org.client.get(f"{JOBS}/{job_id}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, 404)
    assert read_job_id(f"{RequestKey(5):016x}") == 5
