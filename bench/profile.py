"""Where the time of one bulk request goes: parse, decide, database, encode, and what the framework takes.

The service runs in this process, as it is; its functions are wrapped here, by name. Whatever runs counts to the stage of
the innermost wrapped function that it runs in.
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

from bench.stage import EARN_BULK, Stage
from bench.table import Part
from cockade import compose, logs
from cockade.config import Config
from cockade.http.app import create_app

SIZE = 10_000
REQUESTS = 10
WARMING = 3
FRAMEWORK, PARSE, DECIDE, DATABASE, ENCODE = STAGES = ("framework", "parse", "decide", "database", "encode")
WRAPPED = {
    "cockade.http.requests:JsonBody.read": PARSE,
    "cockade.request.service:RequestService.carry_out": DECIDE,
    "cockade.storage.database:Database.transaction": DATABASE,
    "cockade.storage.database:Tx": DATABASE,
    "cockade.earning.service:_issue": DECIDE,
    "cockade.http.routes.earning:answer_outcome": ENCODE,
}
"""Functions by module and name, and classes for all of their public coroutine functions. One that is gone is an error."""


class Clock:
    """Attributes time to whatever wrapped function is innermost; one request at a time."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._open = [(FRAMEWORK, "the app")]
        self._since = time.perf_counter()

    @contextmanager
    def inside(self, stage: str, function: str) -> Generator[None]:
        """Until the block ends, time counts to this function."""
        self._turn()
        self._open.append((stage, function))
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def restart(self) -> None:
        """Forget what was spent so far."""
        self._turn()
        self.spent_s.clear()

    def parts(self) -> list[Part]:
        """All that was spent since the last restart."""
        self._turn()
        return [Part(stage, name, spent * 1000) for (stage, name), spent in self.spent_s.items()]

    def _turn(self) -> None:
        now = time.perf_counter()
        self.spent_s[self._open[-1]] += now - self._since
        self._since = now


def profile(stage: Stage) -> list[Part]:
    """The parts of one bulk request: medians of some, after some that warm everything up."""
    server = stage.ours.server
    audiences = stage.audiences(WARMING + REQUESTS, SIZE)
    bodies = [
        request.partition(b"\r\n\r\n")[2]
        for request in stage.earn_bulk(server, stage.ours.make_badge(), audiences)
    ]
    clock = Clock()
    with _wrapped(clock):
        samples = uvloop.run(_requests(clock, server.database_url, server.authorization, bodies))
    by_part: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for sample in samples[WARMING:]:
        for part in sample:
            by_part[part.stage, part.function].append(part.ms)
    parts = [Part(stage, function, median(ms)) for (stage, function), ms in by_part.items()]
    return sorted(parts, key=lambda part: (STAGES.index(part.stage), -part.ms))


async def _requests(clock: Clock, url: str, authorization: str, bodies: list[bytes]) -> list[list[Part]]:
    samples: list[list[Part]] = []
    logs.configure(Config(log_level="warning"))
    async with compose.running_services(url, Config()) as services:
        app: Any = create_app(services)
        for body in bodies:
            clock.restart()
            await _request(app, authorization, body)
            samples.append(clock.parts())
    return samples


async def _request(app: Any, authorization: str, body: bytes) -> None:
    """One call of the app, as a server would make it."""
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
    """The functions of WRAPPED, timed until the block ends."""
    undone: list[tuple[Any, str, Any]] = []
    try:
        for place, stage in WRAPPED.items():
            for owner, name in functions(place):
                function = getattr(owner, name)
                undone.append((owner, name, function))
                setattr(owner, name, _timed(clock, stage, function))
        yield
    finally:
        for owner, name, function in reversed(undone):
            setattr(owner, name, function)


def functions(place: str) -> list[tuple[Any, str]]:
    """Where the functions are kept. Raises AttributeError or ModuleNotFoundError where there is none of the name."""
    module, _, path = place.partition(":")
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
        with clock.inside(stage, name):
            return await function(*values, **named)

    @functools.wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        with clock.inside(stage, name):
            return function(*values, **named)

    return wait if inspect.iscoroutinefunction(function) else call
