"""Audiences as files: through HTTP and `cockade issue`, with kills on the way."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]
import pytest

from tests.acceptance.service import Service, command, earn_bulk, make_badge, query, running
from tests.support import REFERENCE, TRIGGER

JOBS = "/customer/earnBulk/jobs"
END_S_MAX = 60.0
ISSUED, SOME_REFUSED, STOPPED = 0, 3, 4


def start(client: httpx.Client, badge_id: str, customers: Iterable[int], **params: str) -> dict[str, Any]:
    """POST jobs."""
    answer = client.post(
        JOBS,
        params={"badgeMetaId": badge_id, **TRIGGER, **params},
        content="\n".join(map(str, customers)),
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    return answer.json()["data"]


def ended(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job when nothing more becomes of it."""
    deadline = time.monotonic() + END_S_MAX
    while job["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
        job = client.get(f"{JOBS}/{job['jobId']}").json()["data"]
    return job


def issuing(service: Service, badge_id: str, audience: Path, *options: str) -> list[str]:
    return command(
        "issue", "--badge", badge_id, "--owner", "Loyalty", "--reference", REFERENCE, "--audience", str(audience), *options
    )  # fmt: skip


def environment(service: Service) -> dict[str, str]:
    shown = service.first_credential()
    return service.environment | {
        "COCKADE_URL": service.origin,
        "COCKADE_USERNAME": shown["username"],
        "COCKADE_SECRET": shown["secret"],
    }


def issue(service: Service, badge_id: str, audience: Path, *options: str) -> tuple[int, str]:
    """Exit status and all that `cockade issue` said."""
    done = subprocess.run(
        issuing(service, badge_id, audience, *options),
        env=environment(service), capture_output=True, text=True, check=False, timeout=END_S_MAX,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def earned(service: Service, badge_id: str) -> list[int]:
    """Return the customers that hold the badge, once per earned badge."""
    found = query(
        service.database_url,
        "select customer_id from earned_badge join badge using (badge_key)"
        " where badge_id = $1 and revoked_at is null order by 1",
        badge_id,
    )
    return [customer for (customer,) in found]


def read(file: Path) -> list[list[str]]:
    with file.open(newline="") as opened:
        return list(csv.reader(opened))


def test_a_mixed_file_names_each_refused_line_and_fed_back_issues_only_the_repaired(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    badge_id, audience = make_badge(client), tmp_path / "people.csv"
    owned = [{"customerId": number, "type": "externalId", "value": f"x{number}"} for number in range(1, 9)]
    assert client.put("/customers/identifiers", json={"identifiers": owned}).status_code == 200
    assert earn_bulk(client, badge_id, [3]).status_code == 200
    lines = ["who,note", "x1,first", "x2,", "x3,holds it", "x1,again", "y9,unknown", "x4", '"x5', 'x6,"a, b"']
    audience.write_text("\n".join(lines))
    options = ("--column", "who", "--identifier", "externalId")

    status, said = issue(service, badge_id, audience, *options, "--dry-run")
    assert status == SOME_REFUSED, said
    assert "dry run, no changes" in said
    assert earned(service, badge_id) == [3]

    status, said = issue(service, badge_id, audience, *options)
    assert status == SOME_REFUSED, said
    assert earned(service, badge_id) == [1, 2, 3, 6]
    file = tmp_path / "people.refused.csv"
    refused = read(file)
    assert refused == [
        ["who", "note", "reason"],
        ["x3", "holds it", "1040 An active issue for the badge already exists."],
        ["x1", "again", "409 An earlier line has the same customer."],
        ["y9", "unknown", "404 Line 6: No customer has this externalId."],
        ["x4", "", "400 Line 7: The line has 1 fields; expected 2."],
        ['"x5', "", "400 Line 8: The line has invalid quotes."],
    ]
    job_id = said.partition("job ")[2].split()[1]
    results = list(csv.DictReader(client.get(f"{JOBS}/{job_id}/results").text.splitlines()))
    assert [(row["customer"], row["code"]) for row in results] == [
        ("x1", ""), ("x2", ""), ("x3", "1040"), ("x1", "409"), ("y9", "404"), ("x4", "400"), ('"x5', "400"), ("x6", ""),
    ]  # fmt: skip
    assert all(row["issuedId"] for row in results if not row["code"])

    file.write_text(file.read_text().replace("y9", "x8").replace('"""x5"', "x5"))
    assert issue(service, badge_id, file, *options)[0] == SOME_REFUSED
    assert earned(service, badge_id) == [1, 2, 3, 4, 5, 6, 8]
    assert [row[0] for row in read(file)] == ["who", "x3", "x1"]


def test_a_parquet_file_is_issued_to_and_its_refused_rows_come_as_csv(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    badge_id, audience = make_badge(client), tmp_path / "people.parquet"
    people = pa.table({"note": ["a", "b", "c", "d"], "who": pa.array([5, None, 6, 5])})
    pq.write_table(people, audience)
    status, said = issue(service, badge_id, audience, "--column", "who")
    assert status == SOME_REFUSED, said
    assert earned(service, badge_id) == [5, 6]
    file = tmp_path / "people.refused.csv"
    refused = read(file)
    assert [(row[0], row[1][:10]) for row in refused] == [
        ("who", "reason"),
        ("", "400 Line 3"),
        ("5", "409 An ear"),
    ]
    file.write_text(file.read_text().replace(",400", "7,400"))
    assert issue(service, badge_id, file, "--column", "who")[0] == SOME_REFUSED
    assert earned(service, badge_id) == [5, 6, 7]


def test_the_same_command_again_is_the_same_job(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    badge_id, audience = make_badge(client), tmp_path / "people.csv"
    audience.write_text("1\n2\n")
    first, again = issue(service, badge_id, audience), issue(service, badge_id, audience)
    assert (first[0], again[0]) == (ISSUED, ISSUED)
    assert "state completed" in again[1]
    assert earned(service, badge_id) == [1, 2]
    status, said = issue(service, "0" * 24, audience)
    assert (status, "Passed badge is not found (404)" in said) == (1, True)


def test_a_dry_run_is_of_today_or_refused(service: Service, client: httpx.Client, tmp_path: Path) -> None:
    badge_id, audience = make_badge(client), tmp_path / "people.csv"
    audience.write_text("1\n2\n")
    assert issue(service, badge_id, audience, "--dry-run")[0] == ISSUED
    assert issue(service, badge_id, audience)[0] == ISSUED
    status, said = issue(service, badge_id, audience, "--dry-run")
    assert (status, "(809)" in said) == (1, True), said


def test_a_job_is_listed_paused_resumed_and_cancelled(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    badge_id, size = make_badge(client), 150_000
    audience = tmp_path / "people.csv"
    audience.write_text("\n".join(map(str, range(1, size + 1))))
    job = start(client, badge_id, range(1, size + 1), requestId=f"job {badge_id}")
    place = f"{JOBS}/{job['jobId']}"
    paused = client.put(f"{place}/pause").json()["data"]
    assert paused["state"] == "paused", paused
    time.sleep(0.3)
    assert client.get(place).json()["data"]["counts"] == paused["counts"]
    assert paused["counts"]["decided"] < size
    status, said = issue(service, badge_id, audience, "--request-id", f"job {badge_id}")
    assert (status, "--resume" in said) == (STOPPED, True), said
    status, said = issue(service, badge_id, audience, "--request-id", f"job {badge_id}", "--resume")
    assert status == ISSUED, said
    done = client.get(place).json()["data"]
    assert (done["percentage"], done["counts"]["issued"], done["secondsLeft"]) == (100, size, None)
    assert len(earned(service, badge_id)) == size

    second = start(client, make_badge(client), range(1, size + 1))
    cancelled = client.put(f"{JOBS}/{second['jobId']}/cancel").json()["data"]
    assert cancelled["state"] == "cancelled"
    assert client.put(f"{JOBS}/{second['jobId']}/resume").status_code == 409
    listed = client.get(JOBS, params={"size": 2}).json()["data"]
    assert [each["jobId"] for each in listed["jobs"]] == [second["jobId"], job["jobId"]]
    refused = client.get(f"{JOBS}/{second['jobId']}/refused").text.splitlines()
    assert len(refused) == 1 + size - cancelled["counts"]["decided"]


def test_jobs_side_by_side_each_get_their_share(service: Service, client: httpx.Client) -> None:
    """A large job must not delay a small one or a request."""
    large = start(client, make_badge(client), range(1, 400_001))
    small = start(client, make_badge(client), range(1, 20_001))
    assert ended(client, small)["counts"]["issued"] == 20_000
    assert client.get(f"{JOBS}/{large['jobId']}").json()["data"]["state"] == "running"
    assert earn_bulk(client, make_badge(client), [1]).status_code == 200
    client.put(f"{JOBS}/{large['jobId']}/cancel")


@pytest.fixture
def gentle(home: Path) -> Service:
    """A service with slow jobs, so that there is time to kill processes."""
    settings = {"JOB_CHUNK_SIZE": "500", "JOB_CHUNK_DELAY_MS": "40", "MAX_CUSTOMERS_PER_REQUEST": "1000"}
    return Service(home, workers=1, settings=settings)


def test_kills_during_a_job_or_its_undo_lose_and_repeat_nothing(gentle: Service, tmp_path: Path) -> None:
    """First the worker, then the database and the service; while it is undone the worker and the database."""
    size = 20_000
    audience = tmp_path / "people.csv"
    audience.write_text("customerId\n" + "\n".join(map(str, range(1, size + 1))))
    with running(gentle) as service:
        shown = service.first_credential()
        with service.client(shown["username"], shown["secret"]) as client:
            badge_id = make_badge(client, overlapPolicy="ALLOW")
        caller = environment(service)  # a service that is started again does not show it

        def waiting_for(command_line: list[str]) -> subprocess.Popen[str]:
            return subprocess.Popen(
                command_line, env=caller, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )

        with waiting_for(issuing(service, badge_id, audience)) as waiting:
            _await(service, DECIDED, size // 8)
            _worker(service).kill()
            _await(service, DECIDED, size // 2)
            service.postmaster.kill()
            service.kill()
            service.start()
            said = waiting.communicate(timeout=END_S_MAX)[0]
        assert waiting.returncode == ISSUED, said
        assert earned(service, badge_id) == list(range(1, size + 1))

        [(request_id,)] = query(service.database_url, "select request_id from job")
        with waiting_for(command("undo", request_id)) as waiting:
            _await(service, "select coalesce(sum(revoked), 0)::bigint from undo", size // 8)
            _worker(service).kill()
            service.postmaster.kill()
            said = waiting.communicate(timeout=END_S_MAX)[0]
        assert (waiting.returncode, str(size) in said) == (0, True), said
        assert earned(service, badge_id) == []


DECIDED = "select coalesce(sum(processed), 0)::bigint from job"


def _worker(service: Service) -> psutil.Process:
    [worker] = [child for child in service.process.children() if "worker" in child.cmdline()]
    return worker


def _await(service: Service, counting: str, count: int) -> None:
    deadline = time.monotonic() + END_S_MAX
    while query(service.database_url, counting) < [(count,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
