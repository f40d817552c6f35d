"""Log lines of a request have its context, as known when the line is written."""

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
    """Return the fields of the rendered line."""
    return dict(logs._add_context(None, "info", merge_contextvars(None, "info", {"event": "x", **fields})))


async def test_line_has_the_context_of_its_request() -> None:
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


async def test_fields_of_the_line_override_the_context() -> None:
    logs.follow(RequestContext("header", NOW))
    assert line(action="earning.earn_bulk") == {
        "event": "x",
        "action": "earning.earn_bulk",
        "org": None,
        "request_id": "header",
    }


async def test_line_outside_of_requests_is_unchanged() -> None:
    assert line() == {"event": "x"}


@pytest.mark.parametrize("value", ["a\u2028b", "a\x85b", "\x1b[2J\x9b2J", "é\nü", "\ud800", "plain"])
def test_values_of_callers_cannot_break_lines_or_control_a_terminal(value: str) -> None:
    written = logs._encode({"event": "x", "path": value})
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {"event": "x", "path": value}
