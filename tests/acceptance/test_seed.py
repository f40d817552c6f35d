"""The published example, byte for byte: its request, its answer's shape and its three errors."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.acceptance.service import MIGRATION, Service, make_badge

SEED_REQUEST = (
    b"{\n"
    b'    "badgeMetaId": "653de334b3cda7078c7c68eb",\n'
    b'    "customerIds": [\n'
    b"  62090013,553162563\n"
    b"    ],\n"
    b'    "requestId": "1234",\n'
    b'  \t"earnEventDate":"2023-11-03T21:51:00.192Z",\n'
    b'    "triggeredBy": {\n'
    b'        "ownerType": "Loyalty",\n'
    b'        "referenceId": "123457"\n'
    b"    }\n"
    b"}"
)
SEED_BADGE: dict[str, Any] = {
    "id": "653de334b3cda7078c7c68eb",
    "name": "The seed's badge",
    "startOn": "2023-10-01T00:00:00Z",
    "expiresOn": "2024-12-31T00:00:00Z",
    "earnedBadgeExpiry": {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": 1717935013.121711},
}
DATA_KEYS = {"badgeMetaId", "triggeredBy", "expiresOn", "issuedBadges", "requestId"}
ENTRY_KEYS = {"customerId", "issuedId", "status"}
HEX24 = re.compile(r"[0-9a-f]{24}")


def _send(client: httpx.Client, body: bytes = SEED_REQUEST) -> httpx.Response:
    return client.post("/customer/earnBulk", content=body, headers={"Content-Type": "application/json"})


@pytest.fixture(scope="module")
def answers(service: Service, client: httpx.Client) -> dict[str, httpx.Response]:
    """The story of the published request: too early, in time, twice, and once more by another name."""
    badge_id = make_badge(client, claim=False, **SEED_BADGE)
    told = {"unclaimed": _send(client)}
    claim = {"ownerType": "Loyalty", "referenceId": "123457"}
    client.post(f"/badgeMeta/{badge_id}/claim", json=claim, headers=MIGRATION).raise_for_status()
    told["issued"] = _send(client)
    told["again"] = _send(client)
    told["held"] = _send(client, SEED_REQUEST.replace(b'"1234"', b'"VGagtK2zN16jkRU56zs1"'))
    return told


def test_earn_bulk_is_answered_in_the_published_shape(answers: dict[str, httpx.Response]) -> None:
    answer = answers["issued"]
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert answer.headers["X-CAP-REQUEST-ID"] == "1234"
    assert (body["errors"], body["warnings"]) == ([], [])
    data = body["data"]
    assert set(data) >= DATA_KEYS
    assert data["badgeMetaId"] == "653de334b3cda7078c7c68eb"
    assert data["triggeredBy"] == {"ownerType": "Loyalty", "referenceId": "123457"}
    assert data["requestId"] == "1234"
    assert '"expiresOn":1717935013.121711,' in answer.text
    assert [entry["customerId"] for entry in data["issuedBadges"]] == [62090013, 553162563]
    for entry in data["issuedBadges"]:
        assert set(entry) == ENTRY_KEYS
        assert HEX24.fullmatch(entry["issuedId"])
        assert entry["status"] == "EXPIRED"


def test_badge_that_is_not_claimed_is_810_and_the_id_is_not_used_up(
    answers: dict[str, httpx.Response],
) -> None:
    message = "The badge needs to be claimed first using the claim badge API."
    assert answers["unclaimed"].status_code == 409
    assert answers["unclaimed"].json() == _failure(810, message, None)
    assert answers["issued"].status_code == 200


def test_same_request_again_is_809(answers: dict[str, httpx.Response]) -> None:
    assert answers["again"].status_code == 400
    message = "Request with the same requestId is not allowed."
    assert answers["again"].json() == _failure(809, message, "requestId")


def test_holding_it_already_is_1040_in_the_customers_own_entry(answers: dict[str, httpx.Response]) -> None:
    answer = answers["held"]
    body = answer.json()
    assert answer.status_code == 200
    assert (body["errors"], body["warnings"]) == ([], [])
    error = {"code": 1040, "message": "An active issue for the badge already exists.", "reference": None}
    held = answers["issued"].json()["data"]["issuedBadges"]
    assert body["data"]["issuedBadges"] == [{**entry, "error": error} for entry in held]
    assert body["data"]["requestId"] == "VGagtK2zN16jkRU56zs1"
    assert body["data"]["expiresOn"] == 1717935013.121711


def _failure(code: int, message: str, reference: str | None) -> dict[str, Any]:
    error = {"code": code, "message": message, "reference": reference}
    return {"data": None, "errors": [error], "warnings": None}
