"""Set-up of a run: an org, its badges, the clients, and the admin clients that change badges."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from msgspec import Struct

from chaos.admin_clients import AdminClient
from chaos.clients import BASE_PATH, ApiClient, Caller, Field, Sender
from chaos.history import Badge, History, RunInfo
from chaos.scenario import TRIGGER, ZONE, Scenario
from tests.acceptance.service import MIGRATION, Service


class Participants(Struct, frozen=True, kw_only=True):
    """All clients of a run."""

    callers: list[Caller]
    admin_clients: list[AdminClient]
    direct_sender: Sender
    """A sender without a proxy, to resolve unknown outcomes at the end."""


@asynccontextmanager
async def set_up(
    service: Service,
    history: History,
    scenarios: Sequence[Scenario],
    *,
    seed: int,
    callers: int,
    origins: Sequence[str],
    steady: Sequence[str],
    request_timeout_s: float,
) -> AsyncGenerator[Participants]:
    """Create everything through one service. Clients use `origins`; where stability matters, `steady`."""
    shown = service.make_org(f"storm-{time.time_ns()}")
    auth = (shown["username"], shown["secret"])
    history.note(RunInfo(seed=seed, org_id=shown["orgId"], zone=ZONE, request_timeout_s=request_timeout_s))
    badges = make_badges(service, auth, scenarios, seed)
    for badge in badges:
        history.note(badge)
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    fields = [Field(scenario, badge, hour) for scenario, badge in zip(scenarios, badges, strict=True)]
    line = ApiClient(origins, auth, random.Random(f"{seed} line"))
    direct_sender = ApiClient(steady, auth, random.Random(f"{seed} steady"))
    sender = Sender(line, history)
    try:
        yield Participants(
            callers=[
                Caller(f"s{seed}-{number}", sender, fields, random.Random(f"{seed} caller {number}"))
                for number in range(callers)
            ],
            admin_clients=[
                AdminClient(
                    direct_sender,
                    history,
                    badge,
                    scenario.kept,
                    random.Random(f"{seed} {scenario.name}"),
                    service.database_url,
                )
                for scenario, badge in zip(scenarios, badges, strict=True)
                if scenario.kept
            ],
            direct_sender=Sender(direct_sender, history),
        )
    finally:
        await line.close()
        await direct_sender.close()


def make_badges(
    service: Service, auth: tuple[str, str], scenarios: Sequence[Scenario], seed: int
) -> list[Badge]:
    """Create and claim one badge per scenario."""
    now = datetime.now(UTC)
    with httpx.Client(base_url=service.origin + BASE_PATH, auth=auth, timeout=60) as client:
        return [_make_badge(client, scenario, now, str(seed)) for scenario in scenarios]


def _make_badge(client: httpx.Client, scenario: Scenario, now: datetime, suffix: str) -> Badge:
    fields = scenario.fields(now, suffix)
    created = client.post("/badgeMeta", json=fields, headers=MIGRATION)
    assert created.status_code == 201, created.text
    badge_id = created.json()["data"]["id"]
    claimed = client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)
    assert claimed.status_code == 200, claimed.text
    return Badge(
        badge_id=badge_id, name=scenario.name, fields=fields, changing=scenario.kept == "changing limit"
    )
