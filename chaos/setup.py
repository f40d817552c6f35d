"""Setup of a run: create an org and its badges, and the clients that use them."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from msgspec import Struct

from chaos.admin_clients import AdminClient
from chaos.clients import BASE_PATH, ApiClient, LoadClient, RecordingClient, RequestGenerator
from chaos.history import Badge, History, Run
from chaos.scenario import TIME_ZONE, TRIGGER, AdminAction, Scenario
from tests.acceptance.service import MIGRATION, Service


class Clients(Struct, frozen=True, kw_only=True):
    """All clients of a run."""

    load: list[LoadClient]
    admin: list[AdminClient]
    direct: RecordingClient
    """Connects without a proxy, to resolve unknown outcomes after the run."""


@asynccontextmanager
async def set_up_clients(
    service: Service,
    history: History,
    scenarios: Sequence[Scenario],
    *,
    seed: int,
    load_clients: int,
    origins: Sequence[str],
    direct_origins: Sequence[str],
    max_response_s: float,
) -> AsyncGenerator[Clients]:
    """Create an org and its badges through `service`, and yield the clients.

    Load clients use `origins`. Admin clients, and the client that resolves unknown outcomes, use
    `direct_origins`.
    """
    credential = service.make_org(f"chaos-{time.time_ns()}")
    auth = (credential["username"], credential["secret"])
    history.append(
        Run(seed=seed, org_id=credential["orgId"], time_zone=TIME_ZONE, max_response_s=max_response_s)
    )
    badges = _create_badges(service, auth, scenarios, seed)
    for badge in badges:
        history.append(badge)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    generators = [
        RequestGenerator(scenario, badge, hour) for scenario, badge in zip(scenarios, badges, strict=True)
    ]
    api = ApiClient(origins, auth, random.Random(f"{seed} origins"))
    direct_api = ApiClient(direct_origins, auth, random.Random(f"{seed} direct origins"))
    client = RecordingClient(api, history)
    try:
        yield Clients(
            load=[
                LoadClient(
                    f"s{seed}-{number}", client, generators, random.Random(f"{seed} load client {number}")
                )
                for number in range(load_clients)
            ],
            admin=[
                AdminClient(
                    direct_api,
                    history,
                    badge,
                    scenario.admin_action,
                    random.Random(f"{seed} {scenario.name}"),
                    service.database_url,
                )
                for scenario, badge in zip(scenarios, badges, strict=True)
                if scenario.admin_action is not None
            ],
            direct=RecordingClient(direct_api, history),
        )
    finally:
        await api.close()
        await direct_api.close()


def _create_badges(
    service: Service, auth: tuple[str, str], scenarios: Sequence[Scenario], seed: int
) -> list[Badge]:
    """Create and claim one badge per scenario."""
    now = datetime.now(UTC)
    with httpx.Client(base_url=service.origin + BASE_PATH, auth=auth, timeout=60) as client:
        return [_create_badge(client, scenario, now, str(seed)) for scenario in scenarios]


def _create_badge(client: httpx.Client, scenario: Scenario, now: datetime, suffix: str) -> Badge:
    body = scenario.body(now, suffix)
    created = client.post("/badgeMeta", json=body, headers=MIGRATION)
    assert created.status_code == 201, created.text
    badge_id = created.json()["data"]["id"]
    claimed = client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)
    assert claimed.status_code == 200, claimed.text
    return Badge(
        badge_id=badge_id,
        name=scenario.name,
        body=body,
        has_changing_limit=scenario.admin_action is AdminAction.CHANGE_LIMIT,
    )
