"""The audit trail is available over HTTP and on the command line."""

from __future__ import annotations

import httpx

from tests.acceptance.service import Service, make_badge


def test_list_audit(service: Service, client: httpx.Client) -> None:
    badge_id = make_badge(client)
    assert client.put("/badgeMeta", json={"id": badge_id, "badgeRank": 7}).status_code == 200
    answer = client.get("/audit", params={"badgeMetaId": badge_id})
    assert answer.status_code == 200, answer.text
    envelope = answer.json()
    assert (envelope["errors"], envelope["warnings"]) == ([], [])
    page = envelope["data"]
    assert page["next"] is None
    assert [entry["action"] for entry in page["entries"]] == ["badge.update", "badge.claim", "badge.create"]
    assert page["entries"][0]["details"] == {"changed": {"badgeRank": {"from": None, "to": 7}}}
    assert {entry["username"] for entry in page["entries"]} == {"admin"}


def test_command_line_shows_the_same_entries_and_its_own_changes(
    service: Service, client: httpx.Client
) -> None:
    badge_id = make_badge(client)
    told = service.cockade("audit", "--badge", badge_id, "--action", "badge.claim")
    heard = client.get("/audit", params={"badgeMetaId": badge_id, "action": "badge.claim"}).json()["data"]
    assert [entry["id"] for entry in told] == [entry["id"] for entry in heard["entries"]]
    assert told[0]["details"] == {"ownerType": "Loyalty", "referenceId": "123457"}

    made = service.make_org("audited")
    service.cockade("credential", "revoke", "--name", "audited")
    entries = service.cockade("audit", "--org", str(made["orgId"]))
    assert [entry["action"] for entry in entries] == ["credential.revoke", "credential.create", "org.create"]
    assert {entry["username"] for entry in entries} == {"command line"}
    assert made["secret"] not in str(entries)
    assert "credential.revoke" in service.run("audit", "--limit", "1").stdout
    refused = service.run("credential", "create", "--org", "1001", "--name", "command line", check=False)
    assert refused.returncode == 2
