"""Shared fixtures: an org with its caller, badges, and earnBulk bodies."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from msgspec import Struct

from cockade import clock
from cockade.app import Services, create_app
from cockade.auth.model import AccessGroup, Caller, NewCredential
from cockade.http.urls import BASE_PATH
from cockade.storage.database import connect
from cockade.storage.migrate import migrate

REFERENCE = "123457"
_apps: dict[int, tuple[Services, Any]] = {}
TRIGGER = {"ownerType": "Loyalty", "referenceId": REFERENCE}


class Org(Struct, kw_only=True):
    """The tenant of a test."""

    services: Services
    caller: Caller
    credential: NewCredential
    client: httpx.AsyncClient
    """Authenticated, with the base path of the badges API."""

    async def make_badge(self, *, claim: bool = True, **fields: Any) -> str:
        """Create a badge and return its id: live since yesterday for a year, NEVER expiring when earned,
        claimed by Loyalty.
        """
        body = badge_body(**fields)
        answer = await self.client.post(
            "/badgeMeta", json=body, headers={"X-CAP-BADGES-MIGRATION": "migration"}
        )
        assert answer.status_code == 201, answer.text
        badge_id = answer.json()["data"]["id"]
        if claim:
            claimed = await self.client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER)
            assert claimed.status_code == 200, claimed.text
        return badge_id

    async def earn_bulk(self, badge_id: str, customers: list[Any], **fields: Any) -> httpx.Response:
        """POST customer/earnBulk."""
        return await self.client.post(
            "/customer/earnBulk", json=earn_bulk_body(badge_id, customers, **fields)
        )


async def make_org(services: Services, name: str, *, access_group: AccessGroup = AccessGroup.DEFAULT) -> Org:
    """Create an org, and a client that calls the app without a socket."""
    org = await services.auth.create_org(name, "Europe/Berlin")
    credential = await services.auth.create_credential(org.org_id, name, access_group=access_group)
    caller = await services.auth.authenticate_basic(credential.username, credential.secret)
    return Org(
        services=services, caller=caller, credential=credential, client=client_for(services, credential)
    )


@asynccontextmanager
async def migrated_database(database_url: str) -> AsyncGenerator[str]:
    """The URL of a database for one test, on the same server."""
    name = f"cockade_test_{secrets.token_hex(6)}"
    url = urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
    outside = await connect(database_url)
    try:
        await outside.execute(f"create database {name}")
        inside = await connect(url)
        await migrate(inside, clock.now())
        await inside.close()
        yield url
    finally:
        await outside.execute(f"drop database if exists {name} with (force)")
        await outside.close()


def client_for(services: Services, credential: NewCredential | None) -> httpx.AsyncClient:
    """Return a client of the badges API with these credentials, or without any."""
    auth = None if credential is None else (credential.username, credential.secret)
    # httpx does not run the app's lifespan, which would open the pool that the services fixture has opened.
    transport = httpx.ASGITransport(_app_of(services))  # pyright: ignore[reportArgumentType]
    return httpx.AsyncClient(transport=transport, base_url=f"http://test{BASE_PATH}", auth=auth, timeout=60)


def _app_of(services: Services) -> Any:
    """Return the app of the services. Cached, because it takes a moment and every test has a client."""
    if id(services) not in _apps:
        _apps[id(services)] = (services, create_app(services))
    return _apps[id(services)][1]


def badge_body(**fields: Any) -> dict[str, Any]:
    """Return the body of a badge that is live now. `fields` are added or replaced."""
    now = datetime.now(UTC)
    return {
        "name": f"Badge {now.timestamp()}",
        "startOn": (now - timedelta(days=1)).isoformat(),
        "expiresOn": (now + timedelta(days=365)).isoformat(),
        "earnType": "EARN",
        "earnedBadgeExpiry": {"expiryType": "NEVER"},
        "ownership": {"restrictedToOwners": ["Loyalty"]},
        **fields,
    }


def earn_bulk_body(badge_id: str, customers: list[Any], **fields: Any) -> dict[str, Any]:
    """Return the body of an earnBulk for Loyalty. `fields` are added or replaced."""
    return {"badgeMetaId": badge_id, "customerIds": customers, "triggeredBy": TRIGGER, **fields}
