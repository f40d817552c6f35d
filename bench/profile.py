"""Profile of one bulk request: time spent in parsing, the decision, the database, encoding, and the framework.

The unmodified service runs in this process. The functions in WRAPPED are replaced by timed wrappers. Time counts towards
the innermost wrapped function.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from statistics import median
from typing import Any

import uvloop

from bench.environment import EARN_BULK, Environment
from bench.report_table import ProfileEntry
from cockade import logs
from cockade.app import create_app, running_services
from cockade.config import Config

CUSTOMERS = 10_000
REQUESTS = 10
WARM_UP_REQUESTS = 3
FRAMEWORK, PARSE, DECIDE, DATABASE, ENCODE = STAGES = ("framework", "parse", "decide", "database", "encode")
WRAPPED = {
    "cockade.http.request:JsonBody.read": PARSE,
    "cockade.request.service:RequestService.execute": DECIDE,
    "cockade.storage.database:Database.transaction": DATABASE,
    "cockade.storage.database:Tx": DATABASE,
    "cockade.earning.issuing:issue": DECIDE,
    "cockade.api.earning.routes:outcome_response": ENCODE,
}
"""Stages by `module:name` of a function or class. For a class, all public coroutine functions are timed."""


class Clock:
    """Add time to the innermost wrapped function. Supports one request at a time."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._open = [(FRAMEWORK, "the app")]
        self._since = time.perf_counter()

    @contextmanager
    def measure(self, stage: str, function: str) -> Generator[None]:
        """Add time to this function until the block ends."""
        self._add_elapsed()
        self._open.append((stage, function))
        try:
            yield
        finally:
            self._add_elapsed()
            self._open.pop()

    def restart(self) -> None:
        """Reset all times to zero."""
        self._add_elapsed()
        self.spent_s.clear()

    def entries(self) -> list[ProfileEntry]:
        """Return the times since the last restart."""
        self._add_elapsed()
        return [ProfileEntry(stage, name, spent * 1000) for (stage, name), spent in self.spent_s.items()]

    def _add_elapsed(self) -> None:
        now = time.perf_counter()
        self.spent_s[self._open[-1]] += now - self._since
        self._since = now


def profile(environment: Environment) -> list[ProfileEntry]:
    """Profile several bulk requests after a warm-up. Return the median time of each function, ordered by stage."""
    server = environment.main.server
    audiences = environment.audiences(WARM_UP_REQUESTS + REQUESTS, CUSTOMERS)
    bodies = [
        request.partition(b"\r\n\r\n")[2]
        for request in environment.earn_bulk(server, environment.main.make_badge(), audiences)
    ]
    clock = Clock()
    with _wrapped(clock):
        samples = uvloop.run(_requests(clock, server.database_url, server.authorization, bodies))
    by_function: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples[WARM_UP_REQUESTS:]:
        for entry in sample:
            by_function[entry.stage, entry.function].append(entry.ms)
    entries = [ProfileEntry(stage, function, median(ms)) for (stage, function), ms in by_function.items()]
    return sorted(entries, key=lambda entry: (STAGES.index(entry.stage), -entry.ms))


async def _requests(
    clock: Clock, url: str, authorization: str, bodies: list[bytes]
) -> list[list[ProfileEntry]]:
    samples: list[list[ProfileEntry]] = []
    logs.configure(Config(log_level="warning"))
    async with running_services(url, Config()) as services:
        app: Any = create_app(services)
        for body in bodies:
            clock.restart()
            await _request(app, authorization, body)
            samples.append(clock.entries())
    return samples


async def _request(app: Any, authorization: str, body: bytes) -> None:
    """Send one request to the ASGI app."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", authorization.encode()), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": EARN_BULK, "raw_path": EARN_BULK.encode(), "root_path": "", "query_string": b"",
        "headers": [*headers, (b"content-type", b"application/json")], "state": {}, "extensions": {},
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent


@contextmanager
def _wrapped(clock: Clock) -> Generator[None]:
    """Time the functions in WRAPPED until the block ends."""
    originals: list[tuple[Any, str, Any]] = []
    try:
        for target, stage in WRAPPED.items():
            for owner, name in functions(target):
                function = getattr(owner, name)
                originals.append((owner, name, function))
                setattr(owner, name, _timed(clock, stage, function))
        yield
    finally:
        for owner, name, function in reversed(originals):
            setattr(owner, name, function)


def functions(target: str) -> list[tuple[Any, str]]:
    """Return owner and name of each function at `module:name`.

    Raises AttributeError or ModuleNotFoundError if the target does not exist.
    """
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    found: Any = getattr(owner, name)
    if not inspect.isclass(found):
        return [(owner, name)]
    coroutines = inspect.getmembers(found, inspect.iscoroutinefunction)
    return [(found, name) for name, _ in coroutines if not name.startswith("_")]


def _timed(clock: Clock, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
    name = function.__qualname__

    @functools.wraps(function)
    async def wait(*values: Any, **named: Any) -> Any:
        with clock.measure(stage, name):
            return await function(*values, **named)

    @functools.wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        with clock.measure(stage, name):
            return function(*values, **named)

    return wait if inspect.iscoroutinefunction(function) else call
