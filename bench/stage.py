"""What cases run on: services, yardsticks and badges, each started when it is first asked for and ended with the stage."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from cockade.http.paths import BASE_PATH
from msgspec import Struct

from bench import history, load, yardsticks
from bench.load import Load, Outcome
from bench.yardsticks import WORKERS, Server
from tests.acceptance.service import Service, make_badge, running, temporary_home
from tests.support import earn_bulk_body

T = TypeVar("T")
EARN_BULK = f"{BASE_PATH}/customer/earnBulk"
REFERENCE_EARN_BULK = "/customer/earnBulk"
BADGES, BADGES_MANY = 100, 5_000
"""Of an org, and of one that has very many."""
FIRST_CUSTOMER, LAST_CUSTOMER = 20_000_000, 9_999_999_999
"""Who is issued to; those of `history` are others."""
_request_ids = count()


class Settings(Struct, frozen=True, kw_only=True):
    """What can be chosen on the command line."""

    rounds: int
    growth_rows: int
    seed: int = 20231103


class Running(Struct, frozen=True):
    """A service, who calls it, and how to make badges there."""

    service: Service
    server: Server
    client: httpx.Client

    def make_badge(self, **fields: Any) -> str:
        """A badge that is live and claimed."""
        return make_badge(self.client, **fields)


class Populated(Struct, frozen=True):
    """A running service with an org of many badges, and perhaps a past."""

    running: Running
    badge_ids: list[str]

    def forget(self) -> None:
        """Empty its ledger."""
        history.forget(self.running.server.database_url)


class Stage:
    """Whatever a case asks for."""

    def __init__(self, settings: Settings, home: Path, stack: ExitStack, pool: ProcessPoolExecutor) -> None:
        self.settings = settings
        self.chance = random.Random(settings.seed)
        self._home = home
        self._stack = stack
        self._pool = pool

    @cached_property
    def ours(self) -> Running:
        """The service that most cases measure."""
        return self._start("ours")

    @cached_property
    def echo(self) -> Server:
        """The echo."""
        return self._stack.enter_context(yardsticks.running_echo(self._home))

    @cached_property
    def reference(self) -> Server:
        """The reference, on the database server of the service."""
        url = self.ours.service.database_url
        return self._stack.enter_context(yardsticks.running_reference(self._home, url))

    @cached_property
    def empty(self) -> Populated:
        """A service with so many badges that nobody has."""
        return self._populate("empty")

    @cached_property
    def grown(self) -> Populated:
        """A service with as many badges, and with all that was earned of them."""
        made = self._populate("grown")
        history.issue_long_ago(made.running.server.database_url, made.badge_ids, self.settings.growth_rows)
        return made

    @cached_property
    def crowded(self) -> Running:
        """Another org of the empty service, with very many badges."""
        service = self.empty.running.service
        made = self._as_caller(service, service.make_org("crowded"))
        history.multiply_badge(service.database_url, made.make_badge(), BADGES_MANY - 1)
        return made

    @cached_property
    def stopped_service(self) -> Service:
        """One that was stopped, so that its database is there already."""
        service = self._start_service("stopped")
        service.stop()
        return service

    def _populate(self, name: str) -> Populated:
        made = self._start(name)
        badge_id = made.make_badge()
        copies = history.multiply_badge(made.server.database_url, badge_id, BADGES - 1)
        return Populated(made, [badge_id, *copies])

    def _start(self, name: str) -> Running:
        service = self._start_service(name)
        return self._as_caller(service, service.first_credential())

    def _start_service(self, name: str) -> Service:
        """A `cockade serve` with a database of its own."""
        home = self._home / name
        home.mkdir()
        return self._stack.enter_context(running(Service(home, workers=WORKERS)))

    def _as_caller(self, service: Service, credential: dict[str, Any]) -> Running:
        username, secret = credential["username"], credential["secret"]
        client = self._stack.enter_context(service.client(username, secret))
        proof = base64.b64encode(f"{username}:{secret}".encode()).decode()
        processes = [worker.pid for worker in service.workers]
        server = Server(service.port, processes, f"Basic {proof}", service.database_url)
        return Running(service, server, client)

    def apart(self, work: Callable[..., T], *values: object) -> T:
        """Do it in the process of the load generator, so that the clock there sees nothing of what goes on here."""
        return self._pool.submit(work, *values).result()

    def send(self, server: Server, requests: list[bytes], *, callers: int, **fields: Any) -> Outcome:
        """Send a load, with the callers spread over the server's processes."""
        return self.apart(
            load.run,
            Load(port=server.port, callers=callers, requests=requests, processes=server.processes, **fields),
        )

    def audiences(self, calls: int, size: int) -> list[list[int]]:
        """Distinct customers, in no order, for so many calls."""
        sample = self.chance.sample(range(FIRST_CUSTOMER, LAST_CUSTOMER), calls * size)
        return [sample[start : start + size] for start in range(0, calls * size, size)]

    @staticmethod
    def earn_bulk(
        server: Server, badge_id: str, audiences: list[list[int]], *, path: str = EARN_BULK, **fields: Any
    ) -> list[bytes]:
        """Requests that issue the badge to the audiences, each with a new request id."""
        return [
            load.post(
                path,
                server.authorization,
                msgspec.json.encode(
                    earn_bulk_body(badge_id, audience, requestId=f"bench-{next(_request_ids)}", **fields)
                ),
            )
            for audience in audiences
        ]


@contextmanager
def open_stage(settings: Settings) -> Generator[Stage]:
    """A stage in a temporary directory; nothing of it is left when the block ends."""
    with (
        temporary_home() as home,
        _load_generator() as pool,
        ExitStack() as stack,
    ):
        yield Stage(settings, home, stack, pool)


@contextmanager
def _load_generator() -> Generator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield pool
