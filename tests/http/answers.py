"""Assertions on every response: the envelope, the request id, and the format of errors."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support import Org

Told = list[tuple[int, str | None]]
"""The code and the reference of each error."""


def success(answer: httpx.Response, status: int = 200) -> Any:
    """The data of a success."""
    assert answer.status_code == status, answer.text
    envelope = answer.json()
    assert list(envelope) == ["data", "errors", "warnings"]
    assert envelope["errors"] == []
    assert answer.headers["X-CAP-REQUEST-ID"]
    return envelope["data"]


def failure(answer: httpx.Response, status: int) -> Told:
    """The errors of a failure."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-CAP-REQUEST-ID"]
    envelope = answer.json()
    assert list(envelope) == ["data", "errors", "warnings"]
    assert (envelope["data"], envelope["warnings"]) == (None, None)
    assert 1 <= len(envelope["errors"]) <= 100
    assert all(
        set(error) >= {"code", "message", "reference"} and error["message"] for error in envelope["errors"]
    )
    return [(error["code"], error["reference"]) for error in envelope["errors"]]


def message(answer: httpx.Response) -> str:
    """The words of the only error."""
    [error] = answer.json()["errors"]
    return error["message"]


async def earned_count(org: Org, badge_id: str) -> int:
    """Return the number of unrevoked earned badges."""
    answer = await org.client.get(f"/badgeMeta/{badge_id}", params={"includeStatistics": "true"})
    return success(answer)["earnedCount"]
