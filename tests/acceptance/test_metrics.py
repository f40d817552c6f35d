"""Metrics: one scrape covers all worker processes, whichever of them responds."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cockade.metrics import DIRECTORY
from tests.acceptance.service import (
    Service,
    command,
    earn_bulk,
    free_port,
    make_badge,
    running,
    temporary_home,
)
from tests.http.test_openapi import OPERATIONS

CALLS = 24
WAIT_S_MAX = 20.0
POOL_SIZE = 3

Samples = dict[str, float]


@pytest.fixture(scope="module")
def counted() -> Generator[Service]:
    """A service with two workers that only this module uses."""
    settings = {"POOL_SIZE": str(POOL_SIZE), "RUN_WORKER": "off"}
    with temporary_home() as home, running(Service(home, workers=2, settings=settings)) as started:
        yield started


@pytest.fixture(scope="module")
def traffic(counted: Service) -> Samples:
    """A scrape after some calls to both workers."""
    before = scrape(counted)
    credential = counted.first_credential()
    with counted.client(credential["username"], credential["secret"]) as client:
        client.headers["Connection"] = "close"  # so that each call may reach either worker
        badge_id = make_badge(client)
        for first in range(1, CALLS * 2, 2):
            assert earn_bulk(client, badge_id, [first, first + 1, first + 2]).status_code == 200
        assert client.get("/badgeMeta/none").status_code == 404
        assert client.get("/no/such/path/anywhere").status_code == 404
    after = scrape(counted)
    return {name: value - before.get(name, 0) for name, value in after.items()}


def scrape(service: Service) -> Samples:
    """Every sample by its name and labels, as in `name{a="b"}`; asked without credentials."""
    answer = httpx.get(f"{service.origin}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return {
        sample.name + "{" + ",".join(f'{name}="{sample.labels[name]}"' for name in sorted(sample.labels)) + "}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }  # fmt: skip


def files_of(worker: psutil.Process) -> list[Path]:
    """Where a worker keeps its numbers."""
    return list(Path(worker.environ()[DIRECTORY]).glob(f"*_{worker.pid}.db"))


def test_metrics(counted: Service, traffic: Samples) -> None:
    for worker in counted.workers:
        assert any(b"earnBulk" in file.read_bytes() for file in files_of(worker)), (
            "one worker has done it all"
        )
    assert traffic['cockade_request_duration_seconds_count{operation="earnBulk",status="200"}'] == CALLS
    assert (
        traffic['cockade_request_duration_seconds_bucket{le="+Inf",operation="earnBulk",status="200"}']
        == CALLS
    )
    issuing = ("earning.earn_bulk", "earning.batch")
    transactions = [
        traffic.get(f'cockade_transaction_duration_seconds_count{{name="{name}"}}', 0) for name in issuing
    ]
    assert sum(transactions) >= CALLS
    assert traffic['cockade_transaction_duration_seconds_count{name="badge.claim"}'] == 1
    assert traffic['cockade_issuances_total{kind="EARN_BULK",outcome="earned"}'] == CALLS * 2 + 1
    assert traffic['cockade_issuances_total{kind="EARN_BULK",outcome="1040"}'] == CALLS - 1
    assert traffic['cockade_request_errors_total{code="404",operation="getBadge"}'] == 1
    assert traffic['cockade_request_duration_seconds_count{operation="other",status="404"}'] == 1


def test_each_verified_credential_is_remembered_by_each_worker(traffic: Samples) -> None:
    hits, misses = (
        traffic[f'cockade_credential_cache_total{{result="{result}"}}'] for result in ("hit", "miss")
    )
    assert misses == 2
    assert hits + misses >= CALLS


def test_labels_never_contain_values_sent_by_callers(traffic: Samples) -> None:
    operations = {
        name.partition('operation="')[2].partition('"')[0] for name in traffic if 'operation="' in name
    }
    assert operations <= {*OPERATIONS, "other"}


def test_a_worker_that_is_started_apart_tells_its_own(counted: Service) -> None:
    port = free_port()
    environment = counted.environment | {"COCKADE_WORKER_METRICS_PORT": str(port)}
    with counted.log_file.open("ab") as log:
        worker = psutil.Popen(command("worker"), env=environment, stderr=log)
    try:
        deadline, told = time.monotonic() + WAIT_S_MAX, ""
        while 'cockade_transaction_duration_seconds_count{name="webhook.claim"}' not in told:
            assert time.monotonic() < deadline, told
            assert worker.poll() is None
            time.sleep(0.05)
            with suppress(httpx.TransportError):
                told = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        taken = counted.run("worker", "--metrics-port", str(port), check=False)
        assert (taken.returncode, f"127.0.0.1:{port}" in taken.stderr) == (1, True)
    finally:
        worker.terminate()
        assert worker.wait(WAIT_S_MAX) == 0


def test_killed_worker_keeps_its_counters_and_resets_its_gauges(counted: Service, traffic: Samples) -> None:
    before, victim = scrape(counted), counted.workers[0]
    victim.kill()
    counted.await_gone([victim], WAIT_S_MAX)
    deadline = time.monotonic() + WAIT_S_MAX
    while len(counted.workers) < 2 or (after := scrape(counted))["cockade_pool_size{}"] != 2 * POOL_SIZE:
        assert time.monotonic() < deadline, "the dead worker's pool is still counted"
        time.sleep(0.1)
    assert before["cockade_pool_size{}"] == 2 * POOL_SIZE
    assert after["cockade_pool_in_use{}"] == after["cockade_pool_waiting{}"] == 0
    name = 'cockade_issuances_total{kind="EARN_BULK",outcome="earned"}'
    assert after[name] == before[name] >= traffic[name]


def test_a_service_that_ends_takes_its_numbers_with_it(counted: Service) -> None:
    directory = Path(counted.workers[0].environ()[DIRECTORY])
    assert counted.stop() == 0
    assert not directory.exists()
