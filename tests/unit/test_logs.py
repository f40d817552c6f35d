"""Every log line of a request says which one it is, by what is known when the line is written."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars

from cockade import logs
from cockade.http.context import RequestContext

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def line(**fields: Any) -> dict[str, Any]:
    """The line as it would be rendered."""
    return dict(logs._add_context(None, "info", merge_contextvars(None, "info", {"event": "x", **fields})))


async def test_a_line_has_what_is_known_of_its_request() -> None:
    async def work(request_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        context = RequestContext("header", NOW, {}, trace_id=request_id * 2)
        logs.follow(context)
        first = line()
        await asyncio.sleep(0)
        context.request_id = request_id
        return first, line()

    for name, (first, second) in zip("ab", await asyncio.gather(work("a"), work("b")), strict=True):
        assert first["request_id"] == "header"
        assert second == {
            "event": "x",
            "action": None,
            "org": None,
            "request_id": name,
            "trace_id": name * 2,
        }


async def test_what_a_line_says_itself_stands() -> None:
    logs.follow(RequestContext("header", NOW))
    assert line(action="earning.earn_bulk") == {
        "event": "x",
        "action": "earning.earn_bulk",
        "org": None,
        "request_id": "header",
    }


async def test_a_line_outside_of_requests_is_left_alone() -> None:
    assert line() == {"event": "x"}


@pytest.mark.parametrize("told", ["a\u2028b", "a\x85b", "\x1b[2J\x9b2J", "é\nü", "\ud800", "plain"])
def test_what_callers_send_ends_no_line_and_commands_no_terminal(told: str) -> None:
    written = logs._encode({"event": "x", "path": told})
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {"event": "x", "path": told}
