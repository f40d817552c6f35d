"""Every change leaves one entry that says who made it, and what is not done leaves none."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cockade.audit.model import COMMAND_LINE, Action
from cockade.auth.model import AccessGroup
from cockade.ids import OrgId
from tests.http.answers import failure, success
from tests.support import TRIGGER, Org, client_for

TAGS = {"tags": [{"key": "colour"}]}

Change = Callable[[Org], Awaitable[dict[str, Any]]]
"""Makes one change, and answers what its entry has to have."""


def unique() -> str:
    """Return a unique name."""
    return secrets.token_hex(8)


async def entries(org: Org, **wanted: Any) -> list[dict[str, Any]]:
    """The newest of them."""
    return success(await org.client.get("/audit", params={"size": 1000, **wanted}))["entries"]


async def create_org(org: Org) -> dict[str, Any]:
    made = await org.services.auth.create_org("Audited", "Asia/Tokyo")
    other = await org.services.auth.create_credential(made.org_id, f"audited-{made.org_id}")
    client = client_for(org.services, other)
    details = {"name": "Audited", "timeZone": "Asia/Tokyo"}
    return {"subject": str(made.org_id), "username": COMMAND_LINE, "details": details, "client": client}


async def update_org(org: Org) -> dict[str, Any]:
    expected = await create_org(org)
    for _ in range(2):
        await org.services.auth.set_request_id_is_key(OrgId(int(expected["subject"])), True)
    return {**expected, "details": {"requestIdIsKey": True}}


async def create_credential(org: Org) -> dict[str, Any]:
    name = unique()
    await org.services.auth.create_credential(
        org.caller.org_id, name, access_group=AccessGroup.READ_ONLY, token_ttl_minutes=5
    )
    details = {"accessGroup": "read-only", "tokenTtlMinutes": 5}
    return {"subject": name, "username": COMMAND_LINE, "details": details}


async def revoke_credential(org: Org) -> dict[str, Any]:
    name = (await create_credential(org))["subject"]
    for _ in range(2):
        await org.services.auth.revoke_credential(name)
    return {"subject": name, "username": COMMAND_LINE, "details": {}}


async def create_badge(org: Org) -> dict[str, Any]:
    name = unique()
    badge_id = await org.make_badge(name=name, claim=False)
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": {"name": name}}


async def update_badge(org: Org) -> dict[str, Any]:
    before, after = unique(), unique()
    badge_id = await org.make_badge(name=before, claim=False, description="d" * 300)
    sent = {"id": badge_id, "name": after, "description": None, "badgeRank": 3}
    success(await org.client.put("/badgeMeta", json=sent))
    changed = {
        "name": {"from": before, "to": after},
        "description": {},
        "badgeRank": {"from": None, "to": 3},
    }
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": {"changed": changed}}


async def activate(org: Org) -> dict[str, Any]:
    badge_id = (await deactivate(org))["subject"]
    success(await org.client.put(f"/badgeMeta/{badge_id}/activate"))
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": {}}


async def deactivate(org: Org) -> dict[str, Any]:
    badge_id = await org.make_badge(claim=False)
    success(await org.client.put(f"/badgeMeta/{badge_id}/deactivate"))
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": {}}


async def claim(org: Org) -> dict[str, Any]:
    badge_id = await org.make_badge(claim=False)
    for _ in range(2):
        success(await org.client.post(f"/badgeMeta/{badge_id}/claim", json=TRIGGER))
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": TRIGGER}


async def unclaim(org: Org) -> dict[str, Any]:
    badge_id = await org.make_badge()
    success(await org.client.post(f"/badgeMeta/{badge_id}/unclaim", json=TRIGGER))
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": TRIGGER}


async def create_group(org: Org) -> dict[str, Any]:
    group = success(await org.client.post("/group", json={"name": "Feet", "rank": 1}), 201)
    return {"subject": group["id"], "details": {"name": "Feet", "rank": 1, "isActive": True}}


async def update_group(org: Org) -> dict[str, Any]:
    group_id = (await create_group(org))["subject"]
    success(await org.client.put(f"/{group_id}", json={"rank": 2}))
    return {"subject": group_id, "details": {"changed": {"rank": {"from": 1, "to": 2}}}}


async def create_field(org: Org) -> dict[str, Any]:
    sent = {"name": unique(), "dataType": "INTEGER", "isMandatory": False}
    field = success(await org.client.post("/customField", json=sent), 201)
    return {"subject": field["id"], "details": {"name": sent["name"], "dataType": "INTEGER"}}


async def update_field(org: Org) -> dict[str, Any]:
    field_id = (await create_field(org))["subject"]
    success(await org.client.put(f"/customField/{field_id}", json={"defaultValue": 42}))
    return {"subject": field_id, "details": {"changed": {"defaultValue": {"from": None, "to": 42}}}}


async def create_org_meta(org: Org) -> dict[str, Any]:
    meta = success(await org.client.post("/orgMeta", json=TAGS), 201)
    return {"subject": meta["id"]}


async def update_org_meta(org: Org) -> dict[str, Any]:
    meta = success(await org.client.put("/orgMeta", json={"tags": []}))
    return {"subject": meta["id"]}


async def put_identifiers(org: Org) -> dict[str, Any]:
    sent = [{"customerId": 5, "type": "email", "value": unique()}]
    for _ in range(2):
        success(await org.client.put("/customers/identifiers", json={"identifiers": sent}))
    details = {"createdCount": 1, "updatedCount": 0, "customerCount": 1, "customerIds": [5]}
    return {"subject": "identifiers", "details": details}


async def erase(org: Org) -> dict[str, Any]:
    success(await org.earn_bulk(await org.make_badge(), [11]))
    for _ in range(2):
        success(await org.client.delete("/customers/11"))
    counts = {"earnedBadgeCount": 1, "enrolmentCount": 0, "identifierCount": 0, "requestCount": 1}
    return {"subject": "11", "details": counts}


async def merge(org: Org) -> dict[str, Any]:
    success(await org.earn_bulk(await org.make_badge(), [12]))
    for _ in range(2):
        success(await org.client.post("/customers/merge", json={"from": 12, "into": 13}))
    counts = {"earnedBadgeCount": 1, "enrolmentCount": 0, "identifierCount": 0, "requestCount": 1}
    return {"subject": "12", "details": {"into": 13, **counts}}


async def revoke_earn(org: Org) -> dict[str, Any]:
    badge_id = await org.make_badge()
    earned = success(await org.earn_bulk(badge_id, [7]))["issuedBadges"][0]["issuedId"]
    sent = {"badgeMetaId": badge_id, "customerId": 7, "earnedBadgeId": earned.upper()}
    success(await org.client.post("/customer/revokeEarn", json=sent))
    return {"subject": earned, "badgeMetaId": badge_id, "details": {"customerId": 7}}


async def revoke_request(org: Org) -> dict[str, Any]:
    badge_id, request_id = await org.make_badge(), unique()
    success(await org.earn_bulk(badge_id, [7, 8], requestId=request_id))
    for _ in range(2):
        success(await org.client.post("/requests/revoke", json={"requestId": request_id}))
    details = {"kind": "EARN_BULK", "revokedCount": 2}
    return {"subject": request_id, "badgeMetaId": badge_id, "details": details}


async def revoke_issue(org: Org) -> dict[str, Any]:
    badge_id = await org.make_badge(earnType="ISSUE_EARN", issuedBadgeExpiry={"expiryType": "NEVER"})
    sent = {"badgeMetaId": badge_id, "customers": [8, 9], "triggeredBy": TRIGGER}
    success(await org.client.post("/badgeMeta/customer/issueBulk", json=sent))
    for _ in range(2):
        success(await org.client.post("/badgeMeta/customer/revokeIssue", json=sent))
    details = {"revokedCount": 2, "customerCount": 2, "customerIds": [8, 9]}
    return {"subject": badge_id, "badgeMetaId": badge_id, "details": details}


async def create_webhook(org: Org) -> dict[str, Any]:
    sent = {"url": "https://hooks.example.org", "events": ["badgeEarned"]}
    made = success(await org.client.post("/webhooks", json=sent), 201)
    details = {**sent, "description": "", "badgeMetaIds": None, "isActive": True}
    return {"subject": made["id"], "details": details}


async def update_webhook(org: Org) -> dict[str, Any]:
    webhook_id = (await create_webhook(org))["subject"]
    success(await org.client.put(f"/webhooks/{webhook_id}", json={"isActive": False}))
    return {"subject": webhook_id, "details": {"changed": {"isActive": {"from": True, "to": False}}}}


async def delete_webhook(org: Org) -> dict[str, Any]:
    webhook_id = (await create_webhook(org))["subject"]
    success(await org.client.delete(f"/webhooks/{webhook_id}"))
    failure(await org.client.delete(f"/webhooks/{webhook_id}"), 404)
    return {"subject": webhook_id, "details": {}}


async def rotate_secret(org: Org) -> dict[str, Any]:
    webhook_id = (await create_webhook(org))["subject"]
    success(await org.client.post(f"/webhooks/{webhook_id}/rotateSecret"))
    return {"subject": webhook_id}


CHANGES: dict[Action, Change] = {
    Action.ORG_CREATE: create_org,
    Action.ORG_UPDATE: update_org,
    Action.CREDENTIAL_CREATE: create_credential,
    Action.CREDENTIAL_REVOKE: revoke_credential,
    Action.BADGE_CREATE: create_badge,
    Action.BADGE_UPDATE: update_badge,
    Action.BADGE_ACTIVATE: activate,
    Action.BADGE_DEACTIVATE: deactivate,
    Action.BADGE_CLAIM: claim,
    Action.BADGE_UNCLAIM: unclaim,
    Action.CREATE_GROUP: create_group,
    Action.UPDATE_GROUP: update_group,
    Action.CREATE_FIELD: create_field,
    Action.UPDATE_FIELD: update_field,
    Action.CREATE_ORG_META: create_org_meta,
    Action.UPDATE_ORG_META: update_org_meta,
    Action.PUT_IDENTIFIERS: put_identifiers,
    Action.CUSTOMER_ERASE: erase,
    Action.CUSTOMER_MERGE: merge,
    Action.EARNING_REVOKE: revoke_earn,
    Action.ENROLMENT_REVOKE: revoke_issue,
    Action.REQUEST_REVOKE: revoke_request,
    Action.WEBHOOK_CREATE: create_webhook,
    Action.WEBHOOK_UPDATE: update_webhook,
    Action.WEBHOOK_DELETE: delete_webhook,
    Action.WEBHOOK_ROTATE_SECRET: rotate_secret,
}


OF_NO_ORG = {Action.SIGNING_KEY_ROTATE, Action.SIGNING_KEY_RETIRE}
"""Seen on the command line only; `test_signing_keys.py` looks at them."""

BY_ITSELF = {Action.WEBHOOK_DISABLE}
"""Actions of the worker; see `test_webhooks.py`."""


def test_every_action_is_tried() -> None:
    assert set(CHANGES) == set(Action) - OF_NO_ORG - BY_ITSELF


@pytest.mark.parametrize("action", CHANGES)
async def test_a_change_leaves_one_entry(shared_org: Org, action: Action) -> None:
    before, began = (await entries(shared_org))[0]["id"], datetime.now(UTC)
    expected = await CHANGES[action](shared_org)
    client = expected.pop("client", shared_org.client)
    found = success(await client.get("/audit", params={"size": 1000, "action": action.value}))["entries"]
    (entry,) = [entry for entry in found if entry["id"] > before and entry["subject"] == expected["subject"]]
    assert {"username": shared_org.caller.username, "badgeMetaId": None, **expected}.items() <= entry.items()
    assert began.timestamp() <= entry["changedOn"] <= datetime.now(UTC).timestamp()


async def test_a_change_that_is_undone_leaves_no_entry(org: Org) -> None:
    await org.make_badge(name="Socks")
    second = await org.make_badge(name="Shoes")
    before = await entries(org)
    failure(await org.client.put("/badgeMeta", json={"id": second, "name": "Socks"}), 400)
    failure(await org.client.post(f"/badgeMeta/{second}/unclaim", json={**TRIGGER, "referenceId": "x"}), 400)
    sent = {"badgeMetaId": second, "customerId": 7, "earnedBadgeId": "0" * 24}
    failure(await org.client.post("/customer/revokeEarn", json=sent), 409)
    assert await entries(org) == before


async def test_entries_come_newest_first_in_pages(org: Org) -> None:
    for number in range(5):
        success(await org.client.post("/group", json={"name": f"Group {number}"}), 201)
    every = await entries(org)
    assert [entry["id"] for entry in every] == sorted((entry["id"] for entry in every), reverse=True)
    paged: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = success(await org.client.get("/audit", params={"size": 2, **after}))
        paged += page["entries"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
        success(await org.client.post("/group", json={"name": "made meanwhile"}), 201)
    assert paged == every


async def test_entries_are_filtered(org: Org) -> None:
    badge_id, other_id = await org.make_badge(), await org.make_badge()
    split = success(await org.client.get("/audit", params={"size": 1}))["entries"][0]["changedOn"]
    assert {entry["badgeMetaId"] for entry in await entries(org, badgeMetaId=badge_id)} == {badge_id}
    both = await entries(org, action=["badge.create", "badge.claim"])
    assert [entry["action"] for entry in both] == ["badge.claim", "badge.create"] * 2
    assert [entry["badgeMetaId"] for entry in both] == [other_id, other_id, badge_id, badge_id]
    assert {entry["action"] for entry in await entries(org, username=COMMAND_LINE)} == {
        "org.create",
        "credential.create",
    }
    newer, older = await entries(org, **{"from": str(split)}), await entries(org, until=str(split))
    assert [entry["action"] for entry in newer] == ["badge.claim"]
    assert newer + older == await entries(org)


async def test_an_org_sees_its_own_entries_only(org: Org, other_org: Org) -> None:
    badge_id = await org.make_badge()
    assert await entries(other_org, badgeMetaId=badge_id) == []
    assert await entries(other_org, username=org.caller.username) == []


@pytest.mark.parametrize(
    "wanted", [{"after": "x"}, {"after": "-1"}, {"after": "9" * 20}, {"after": "9" * 5000}, {"after": "²"}, {"action": "none"},
               {"from": "yesterday"}, {"until": "x"}, {"size": 0}, {"username": "a\0"}],
)  # fmt: skip
async def test_invalid_parameters_are_rejected(shared_org: Org, wanted: dict[str, Any]) -> None:
    failure(await shared_org.client.get("/audit", params=wanted), 400)
