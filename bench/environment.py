"""The environment of the cases: services, baselines and badges.

Each part is started when a case first uses it, and stopped when the environment is closed.
"""

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
from msgspec import Struct

from bench import baselines, load, seed_data
from bench.baselines import WORKERS, Server
from bench.load import Load, LoadResult
from cockade.http.urls import BASE_PATH
from tests.acceptance.service import Service, make_badge, running, temporary_home
from tests.support import earn_bulk_body

T = TypeVar("T")
EARN_BULK = f"{BASE_PATH}/customer/earnBulk"
REFERENCE_EARN_BULK = "/customer/earnBulk"
BADGES, MANY_BADGES = 100, 5_000
"""Badges per org: in most cases, and in the case with many badges."""
FIRST_CUSTOMER, LAST_CUSTOMER = 20_000_000, 9_999_999_999
"""Ids of the customers in requests. They do not overlap with the ids in `seed_data`."""
_request_ids = count()


class Settings(Struct, frozen=True, kw_only=True):
    """Command-line options, and the seed of the random generator."""

    runs: int
    growth_rows: int
    seed: int = 20231103


class Instance(Struct, frozen=True):
    """A running service with an authenticated client."""

    service: Service
    server: Server
    client: httpx.Client

    def make_badge(self, **fields: Any) -> str:
        """Create a badge that is live and claimed. Return its id."""
        return make_badge(self.client, **fields)


class Populated(Struct, frozen=True):
    """A running service with an org of 100 badges, with or without earned badges."""

    instance: Instance
    badge_ids: list[str]

    def delete_earned_badges(self) -> None:
        """Delete all requests and earned badges."""
        seed_data.delete_earned_badges(self.instance.server.database_url)


class Environment:
    """Everything that the cases use."""

    def __init__(self, settings: Settings, home: Path, stack: ExitStack, pool: ProcessPoolExecutor) -> None:
        self.settings = settings
        self.rng = random.Random(settings.seed)
        self._home = home
        self._stack = stack
        self._pool = pool

    @cached_property
    def main(self) -> Instance:
        """The service that most cases measure."""
        return self._start("main")

    @cached_property
    def framework_only(self) -> Server:
        """The baseline "framework only"."""
        return self._stack.enter_context(baselines.running_framework_only(self._home))

    @cached_property
    def reference(self) -> Server:
        """The reference implementation. It uses the database server of the main service."""
        url = self.main.service.database_url
        return self._stack.enter_context(baselines.running_reference(self._home, url))

    @cached_property
    def empty(self) -> Populated:
        """A service with 100 badges and no earned badges."""
        return self._populate("empty")

    @cached_property
    def seeded(self) -> Populated:
        """A service with 100 badges and `growth_rows` earned badges."""
        populated = self._populate("seeded")
        url = populated.instance.server.database_url
        seed_data.insert_earned_badges(url, populated.badge_ids, self.settings.growth_rows)
        return populated

    @cached_property
    def many_badges(self) -> Instance:
        """A second org of the empty service, with 5,000 badges."""
        service = self.empty.instance.service
        instance = self._instance(service, service.make_org("many-badges"))
        seed_data.copy_badge(service.database_url, instance.make_badge(), MANY_BADGES - 1)
        return instance

    @cached_property
    def stopped_service(self) -> Service:
        """A stopped service whose embedded database exists."""
        service = self._start_service("stopped")
        service.stop()
        return service

    def _populate(self, name: str) -> Populated:
        instance = self._start(name)
        badge_id = instance.make_badge()
        copies = seed_data.copy_badge(instance.server.database_url, badge_id, BADGES - 1)
        return Populated(instance, [badge_id, *copies])

    def _start(self, name: str) -> Instance:
        service = self._start_service(name)
        return self._instance(service, service.first_credential())

    def _start_service(self, name: str) -> Service:
        """Start `cockade serve` with a new embedded database."""
        home = self._home / name
        home.mkdir()
        return self._stack.enter_context(running(Service(home, workers=WORKERS)))

    def _instance(self, service: Service, credential: dict[str, Any]) -> Instance:
        username, secret = credential["username"], credential["secret"]
        client = self._stack.enter_context(service.client(username, secret))
        encoded = base64.b64encode(f"{username}:{secret}".encode()).decode()
        worker_pids = [worker.pid for worker in service.workers]
        server = Server(service.port, worker_pids, f"Basic {encoded}", service.database_url)
        return Instance(service, server, client)

    def run_in_load_generator(self, work: Callable[..., T], *values: object) -> T:
        """Run the function in the process of the load generator, so that work in this process does not delay it."""
        return self._pool.submit(work, *values).result()

    def send(self, server: Server, requests: list[bytes], *, connections: int, **fields: Any) -> LoadResult:
        """Send requests, with the connections distributed evenly over the server's workers."""
        return self.run_in_load_generator(
            load.run,
            Load(
                port=server.port,
                connections=connections,
                requests=requests,
                worker_pids=server.worker_pids,
                **fields,
            ),
        )

    def audiences(self, requests: int, size: int) -> list[list[int]]:
        """Return one audience per request: distinct customer ids, unsorted."""
        sample = self.rng.sample(range(FIRST_CUSTOMER, LAST_CUSTOMER), requests * size)
        return [sample[start : start + size] for start in range(0, requests * size, size)]

    @staticmethod
    def earn_bulk(
        server: Server, badge_id: str, audiences: list[list[int]], *, path: str = EARN_BULK, **fields: Any
    ) -> list[bytes]:
        """Encode one earnBulk request per audience, each with a new request id."""
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
def open_environment(settings: Settings) -> Generator[Environment]:
    """Open an environment in a temporary directory, which is deleted when the block ends."""
    with (
        temporary_home() as home,
        _load_generator() as pool,
        ExitStack() as stack,
    ):
        yield Environment(settings, home, stack, pool)


@contextmanager
def _load_generator() -> Generator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield pool
