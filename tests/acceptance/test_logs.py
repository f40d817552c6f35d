"""Log lines lead to the request that they were written for, also while others run beside it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.acceptance.service import Service, make_badge

WAIT_S_MAX = 10.0
CALLERS = 16


def lines_of(service: Service, request_id: str) -> list[dict[str, Any]]:
    """Return the log lines of a request, which are written after its response."""
    deadline = time.monotonic() + WAIT_S_MAX
    while True:
        found = [line for line in service.log_lines() if line.get("request_id") == request_id]
        if any(line["event"] == "request" for line in found):
            return found
        assert time.monotonic() < deadline, service.log()
        time.sleep(0.05)


def test_each_line_names_its_own_request(service: Service, client: httpx.Client) -> None:
    badge_id = make_badge(client)
    org = client.get(f"/badgeMeta/{badge_id}").json()["data"]["orgId"]

    def call(number: int) -> None:
        traceparent = f"00-{number:032x}-{number:016x}-01"
        # All name the same customers, so that some may collide, which is logged from deep within.
        body = {"badgeMetaId": badge_id, "customerIds": list(range(1, 2000)), "requestId": f"logged-{number}"}
        trigger = {"ownerType": "Loyalty", "referenceId": "123457"}
        answer = client.post(
            "/customer/earnBulk", json={**body, "triggeredBy": trigger}, headers={"traceparent": traceparent}
        )
        assert answer.status_code == 200, answer.text

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, range(1, CALLERS + 1)))
    for number in range(1, CALLERS + 1):
        for line in lines_of(service, f"logged-{number}"):
            assert line["trace_id"] == f"{number:032x}", line
            assert line["org"] == org, line
            assert line["action"] in ("earnBulk", "earning.earn_bulk"), line


def test_malformed_traceparent_is_ignored(service: Service, client: httpx.Client) -> None:
    badge_id = make_badge(client)
    headers = {"traceparent": "00-nothing-of-this-kind-01", "X-CAP-REQUEST-ID": f"untraced-{badge_id}"}
    assert client.get(f"/badgeMeta/{badge_id}", headers=headers).status_code == 200
    (line,) = lines_of(service, f"untraced-{badge_id}")
    assert "trace_id" not in line
    assert line["action"] == "getBadge"
