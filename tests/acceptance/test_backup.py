"""Backups of the embedded database: taken while badges are issued, and restored after everything was lost."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import psutil
import pytest

from cockade.storage.embedded import embedded_database
from tests.acceptance.service import Service, command, earn_bulk, make_badge, query, running, temporary_home

CUSTOMERS = 2_000
CALL_S_MAX = 5.0
"""The longest that a call may take while a backup is made; a lock would hold it up for the whole of it."""
TABLES = "select tablename from pg_tables where schemaname = 'public' order by 1"
SEQUENCES = (
    "select sequencename, last_value from pg_sequences where schemaname = 'public' and last_value is not null"
    " and sequencename <> 'outbox_position' order by 1"
)
BROKEN_REQUESTS = (
    "select r.request_id from request r left join earned_badge e using (request_key)"
    " group by r.org_id, r.request_id having count(e.customer_id) <> max(cardinality(r.customer_ids))"
)
UNKNOWN_EARNED_BADGES = (
    "select count(*) from earned_badge where request_key not in (select request_key from request)"
)


@pytest.fixture(scope="module")
def lost() -> Generator[Service]:
    """A service whose data is lost on the way."""
    with temporary_home() as made, running(Service(made, workers=2)) as service:
        yield service


@pytest.fixture(scope="module")
def auth(lost: Service) -> tuple[str, str]:
    """Of the credential that its first start showed; it is lost, too."""
    shown = lost.first_credential()
    return shown["username"], shown["secret"]


def _contents(url: str) -> dict[str, list[str]]:
    """All rows of all tables, and where the sequences are."""
    found = {
        table: [row for (row,) in query(url, f"select t::text from {table} t order by 1")]
        for (table,) in query(url, TABLES)
    }
    return found | {"sequences": [f"{name} {value}" for name, value in query(url, SEQUENCES)]}


def _await_told(service: Service) -> None:
    """Until all that happened has its position in the feed, after which the worker writes nothing."""
    deadline = time.monotonic() + 20
    while query(service.database_url, "select count(*) from outbox where position is null") != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _revoke_one(client: httpx.Client, badge_id: str, issued: Iterable[dict[str, object]]) -> None:
    first = next(iter(issued))
    body = {"badgeMetaId": badge_id, "customerId": first["customerId"], "earnedBadgeId": first["issuedId"]}
    assert client.post("/customer/revokeEarn", json=body).status_code == 200


def test_lost_database_is_restored_to_the_moment_of_its_backup(
    lost: Service, auth: tuple[str, str], record_property: Callable[[str, object], None]
) -> None:
    file, others = lost.home / "quiet.backup", range(CUSTOMERS + 1, 2 * CUSTOMERS + 1)
    with lost.client(*auth) as client:
        badge_id = make_badge(client)
        answer = earn_bulk(client, badge_id, range(1, CUSTOMERS + 1), requestId="before").json()["data"]
        _revoke_one(client, badge_id, answer["issuedBadges"])
        told = client.get("/requests", params={"requestId": "before"}).json()["data"]
        _await_told(lost)
        contents = _contents(lost.database_url)
        started = time.monotonic()
        made = lost.cockade("db", "backup", str(file))
        record_property("a backup of 2,000 earned badges took", f"{time.monotonic() - started:.1f} s")
        assert earn_bulk(client, badge_id, others, requestId="after").status_code == 200
        _await_told(lost)
        end = client.get("/events", params={"after": "latest"}).json()["data"]["next"]
    assert made == {
        "file": str(file),
        "bytes": file.stat().st_size,
        "tables": len(contents) - 1,
        "lastMigration": made["lastMigration"],
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert lost.stop() == 0
    shutil.rmtree(lost.data_dir)

    restored = lost.cockade("db", "restore", str(file))
    assert restored == {
        "dataDir": str(lost.data_dir),
        "replaced": None,
        "pendingMigrations": [],
        "rows": {table: len(rows) for table, rows in contents.items() if table != "sequences"},
    }
    lost.start()
    assert lost.printed() == "", "no new credential, for the old ones are there"
    assert _contents(lost.database_url) == contents
    with lost.client(*auth) as client:
        assert client.get("/requests", params={"requestId": "before"}).json()["data"] == told
        assert client.get("/requests", params={"requestId": "after"}).status_code == 404
        again = earn_bulk(client, badge_id, range(1, CUSTOMERS + 1), requestId="before")
        assert again.json()["errors"][0]["code"] == 809
        later = earn_bulk(client, badge_id, others, requestId="after").json()["data"]
        assert later["earnedCount"] == CUSTOMERS
        assert make_badge(client) != badge_id
        _await_told(lost)
        events = client.get("/events", params={"after": end, "limit": 1}).json()["data"]["events"]
        assert [event["id"] for event in events] == [later["issuedBadges"][0]["issuedId"]], "none is skipped"
    ids = [entry["issuedId"] for data in (answer, later) for entry in data["issuedBadges"]]
    assert len(set(ids)) == 2 * CUSTOMERS, "new ones have ids of their own"


def test_backup_is_one_snapshot_and_blocks_no_requests(
    lost: Service, auth: tuple[str, str], record_property: Callable[[str, object], None]
) -> None:
    file, done = lost.home / "busy.backup", Event()
    with lost.client(*auth) as client, ThreadPoolExecutor(4) as pool:
        badge_id = make_badge(client)
        assert earn_bulk(client, badge_id, range(1, 10_001), requestId="busy").status_code == 200

        def issue(caller: int) -> list[float]:
            """Call until the backup is done; how long each call took."""
            took_s: list[float] = []
            while not done.is_set():
                started, call = time.monotonic(), len(took_s)
                audience = range(caller * 10**6 + call * 100, caller * 10**6 + call * 100 + 100)
                answer = earn_bulk(client, badge_id, audience, requestId=f"busy-{caller}-{call}")
                assert answer.status_code == 200, answer.text
                took_s.append(time.monotonic() - started)
            return took_s

        callers = [pool.submit(issue, caller) for caller in range(1, 5)]
        try:
            lost.cockade("db", "backup", str(file))
        finally:
            done.set()
        took_s = sorted(seconds for caller in callers for seconds in caller.result())
    record_property("calls beside a backup", f"{len(took_s)}, the slowest {took_s[-1] * 1000:.0f} ms")
    assert took_s[-1] < CALL_S_MAX

    other = Service(lost.home / "other")
    other.home.mkdir()
    other.cockade("db", "restore", str(file))
    with embedded_database(other.data_dir) as url:
        assert query(url, "select count(*) from request where request_id = 'busy'") == [(1,)]
        assert query(url, BROKEN_REQUESTS) == [], "no request is half there"
        assert query(url, UNKNOWN_EARNED_BADGES) == [(0,)]


def test_backup_that_is_asked_to_stop_leaves_nothing_behind(lost: Service) -> None:
    folder = lost.home / "stopped"
    folder.mkdir()
    backing_up = psutil.Popen(
        command("db", "backup", str(folder / "never.backup")), cwd=lost.home, env=lost.environment
    )
    while not list(folder.iterdir()):
        assert backing_up.poll() is None
        time.sleep(0.001)
    backing_up.send_signal(signal.SIGTERM)
    assert backing_up.wait(60) != 0
    assert list(folder.iterdir()) == []


def test_running_service_keeps_its_data(lost: Service) -> None:
    refused = lost.run("db", "restore", str(lost.home / "quiet.backup"), "--force", check=False)
    assert (refused.returncode, "already using" in refused.stderr) == (1, True), refused.stderr


@pytest.mark.parametrize("words", [["backup", "file"], ["restore", "file"]])
def test_database_of_ones_own_has_its_own_tools(home: Path, words: list[str]) -> None:
    refused = Service(home, settings={"DATABASE_URL": "postgresql://db/x"}).run("db", *words, check=False)
    assert (refused.returncode, "pg_" in refused.stderr) == (1, True), refused.stderr
