"""A working request for every operation of the OpenAPI document, built from its examples.

`ENTRIES` has one line per operation: the preparation that it needs, and the expected response. A test fails
if an operation has no line.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import httpx
import msgspec
from msgspec import Struct

from cockade.app import create_app, create_services
from cockade.config import Config
from tests.support import TRIGGER, Org

ROOT = "http://test"
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
CUSTOMER, OTHER_CUSTOMER = 62090013, 553162563
"""The customers of the examples."""
EMAIL = "a@example.org"
"""The identifier of the examples."""
BADGE, THING, EARNED = "653de334b3cda7078c7c68eb", "0123456789abcdef01234567", "661681a535bc684e9e72553a"
"""The ids of the examples: a badge; a group or custom field; an earned badge."""
JOB = "6746e2a100000001"
"""The id of the examples: a job."""
JOBS = "/customer/earnBulk/jobs"
BY_IDENTIFIER = "X-CAP-CUSTOMER-IDENTIFIER"


class Scene(Struct, kw_only=True):
    """The ids that a request may name: all real ones of an org, or all of things that are nowhere."""

    badge_id: str
    enrolled_badge_id: str
    """Of a badge that customers are enrolled in first."""
    group_id: str
    field_id: str
    webhook_id: str
    earned_badge_id: str
    request_id: str
    job_id: str
    customer: int = CUSTOMER
    other_customer: int = OTHER_CUSTOMER
    email: str = EMAIL

    def names(self) -> list[str]:
        """All of them, in the same order for every scene."""
        return [str(name) for name in msgspec.structs.astuple(self)]


Prepare = Callable[[Org, Scene], Awaitable[object]]


class Entry(Struct, kw_only=True):
    """The requirements of an operation."""

    status: int = 200
    """The answer when it has done it."""
    badge: str = "badge_id"
    """Which of the scene's badges it is about."""
    prepare: Prepare | None = None
    """Requests to send before."""
    headers: Mapping[str, str] = {}
    of_a_request: bool = False
    """The request id in the body refers to an earlier request."""
    public: bool = False
    """It asks for no credential."""


async def deactivate(org: Org, scene: Scene) -> None:
    await org.client.put(f"/badgeMeta/{scene.badge_id}/deactivate")


async def unclaim(org: Org, scene: Scene) -> None:
    await org.client.post(f"/badgeMeta/{scene.badge_id}/unclaim", json=TRIGGER)


async def have_org_meta(org: Org, _: Scene) -> None:
    await org.client.post("/orgMeta", json={"tags": []})


async def place_events(org: Org, _: Scene) -> None:
    await org.services.events.assign_positions()


async def pause(org: Org, scene: Scene) -> None:
    await org.client.put(f"{JOBS}/{scene.job_id}/pause")


MIGRATION = {"X-CAP-BADGES-MIGRATION": "migration"}

ENTRIES: dict[str, Entry] = {
    "createOrgMeta": Entry(status=201),  # first, for an org has its org meta once
    "updateOrgMeta": Entry(prepare=have_org_meta),
    "getOrgMeta": Entry(prepare=have_org_meta),
    "earnBulk": Entry(),
    "earn": Entry(),
    "revokeEarn": Entry(),
    "issueBulk": Entry(badge="enrolled_badge_id"),
    "revokeIssue": Entry(badge="enrolled_badge_id"),
    "createJob": Entry(status=202),
    "listJobs": Entry(),
    "getJob": Entry(),
    "pauseJob": Entry(),
    "resumeJob": Entry(prepare=pause),
    "cancelJob": Entry(),
    "getJobResults": Entry(),
    "getJobRefused": Entry(),
    "importCustomerBadges": Entry(),
    "importCustomerBadgesByPut": Entry(),
    "getCustomerBadges": Entry(),
    "listManagedBadges": Entry(),
    "getManagedBadge": Entry(),
    "listHolders": Entry(),
    "explain": Entry(),
    "getFixedWindowDetails": Entry(),
    "getRequest": Entry(),
    "revokeRequest": Entry(of_a_request=True),
    "createBadge": Entry(status=201, headers=MIGRATION),
    "updateBadge": Entry(),
    "getBadge": Entry(),
    "listBadges": Entry(),
    "activateBadge": Entry(prepare=deactivate),
    "deactivateBadge": Entry(),
    "claimBadge": Entry(prepare=unclaim),
    "unclaimBadge": Entry(),
    "createGroup": Entry(status=201),
    "updateGroup": Entry(),
    "getGroup": Entry(),
    "listGroups": Entry(),
    "createCustomField": Entry(status=201),
    "updateCustomField": Entry(),
    "getCustomField": Entry(),
    "listCustomFields": Entry(),
    "putIdentifiers": Entry(),
    "eraseCustomer": Entry(),
    "mergeCustomers": Entry(),
    "listAudit": Entry(),
    "listEvents": Entry(prepare=place_events),
    "createWebhook": Entry(status=201),
    "listWebhooks": Entry(),
    "getWebhook": Entry(),
    "updateWebhook": Entry(),
    "deleteWebhook": Entry(),
    "rotateWebhookSecret": Entry(),
    "testWebhook": Entry(),  # to a private address, which is refused
    "listDeliveries": Entry(),
    "generateToken": Entry(public=True),
    "issueToken": Entry(public=True),
    "healthz": Entry(public=True),
    "readyz": Entry(public=True),
    "metrics": Entry(public=True),
}


class Operation(Struct, kw_only=True):
    """One operation; by an identifier it is once more another way to the same things."""

    operation_id: str
    method: str
    path: str
    described: dict[str, Any]
    by_identifier: bool = False

    @property
    def label(self) -> str:
        """The name in the matrix."""
        return f"{self.operation_id} by identifier" if self.by_identifier else self.operation_id

    @property
    def entry(self) -> Entry:
        """Its line of ENTRIES."""
        return ENTRIES[self.operation_id]

    @property
    def is_reading(self) -> bool:
        """Whether it promises to change nothing."""
        return self.method in ("get", "head", "options")

    def request(self, client: httpx.AsyncClient, scene: Scene) -> httpx.Request:
        """The request of the examples, about the scene's things."""
        parameters = {item["name"]: item for item in self.described.get("parameters", [])}
        values = {name: _example(item, scene, self) for name, item in parameters.items()}
        path = re.sub(r"{(\w+)}", lambda found: str(values[found[1]]), self.path)
        sent = {
            name: values[name]
            for name, item in parameters.items()
            if item["in"] == "query" and values[name] is not None
        }
        headers = {**self.entry.headers, **({BY_IDENTIFIER: "email"} if self.by_identifier else {})}
        content, kind = self._content(scene)
        headers |= {} if kind is None else {"Content-Type": kind}
        return client.build_request(self.method, ROOT + path, params=sent, content=content, headers=headers)

    def _content(self, scene: Scene) -> tuple[bytes | None, str | None]:
        """The body, and what it is where it is not JSON."""
        if "requestBody" not in self.described:
            return None, None
        kinds = self.described["requestBody"]["content"]
        if "text/csv" in kinds:
            example: str = next(iter(kinds["text/csv"]["examples"].values()))["value"]
            return example.replace(str(CUSTOMER), str(scene.customer)).encode(), "text/csv"
        return msgspec.json.encode(self._body(kinds["application/json"]["schema"], scene)), None

    def _body(self, schema: dict[str, Any], scene: Scene) -> Any:
        body = _replaced(schema["examples"][0], scene, self)
        if not isinstance(body, dict):
            return body
        takes_id = "requestId" in body and not self.entry.of_a_request
        return {**body, "requestId": f"fresh-{secrets.token_hex(8)}"} if takes_id else body


def _example(parameter: dict[str, Any], scene: Scene, operation: Operation) -> Any:
    """The value of a parameter's first example, or None where it has none."""
    examples = list(parameter.get("examples", {}).values())
    if not examples:
        return None
    if parameter["name"] == "customer_id" and operation.by_identifier:
        return scene.email
    if parameter["name"] == "field_id":
        return scene.field_id
    if parameter["name"] == "webhook_id":
        return scene.webhook_id
    return _replaced(examples[0]["value"], scene, operation)


def _replaced(value: Any, scene: Scene, operation: Operation) -> Any:
    """The example with the scene's ids in the place of its own."""
    if isinstance(value, dict):
        return {name: _replaced(inner, scene, operation) for name, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, scene, operation) for inner in cast("list[Any]", value)]
    real: dict[Any, Any] = {
        BADGE: getattr(scene, operation.entry.badge),
        THING: scene.group_id,
        EARNED: scene.earned_badge_id,
        "1234": scene.request_id,
        JOB: scene.job_id,
        CUSTOMER: scene.customer,
        OTHER_CUSTOMER: scene.other_customer,
        str(CUSTOMER): str(scene.customer),
        EMAIL: scene.email,
    }
    return value if isinstance(value, bool) else real.get(value, value)


def openapi() -> dict[str, Any]:
    """The document, without a database."""
    app: Any = create_app(create_services("postgresql://nowhere", Config()))
    return app._app.openapi_schema.to_schema()


def operations(document: dict[str, Any]) -> list[Operation]:
    """All operations, in the order of ENTRIES; those without an entry last."""
    found: list[Operation] = []
    for path, item in document["paths"].items():
        for method, described in item.items():
            if method in METHODS:
                operation_id = described["operationId"]
                found.append(
                    Operation(operation_id=operation_id, method=method, path=path, described=described)
                )
                if BY_IDENTIFIER in [parameter["name"] for parameter in described.get("parameters", [])]:
                    found.append(msgspec.structs.replace(found[-1], by_identifier=True))
    order = list(ENTRIES)
    return sorted(
        found,
        key=lambda each: order.index(each.operation_id) if each.operation_id in ENTRIES else len(order),
    )


async def set_the_scene(org: Org, word: str) -> Scene:
    """One of everything that an operation may name, each with the word in its name."""
    long_ago: dict[str, Any] = {"startOn": "2023-01-01T00:00:00Z", "overlapPolicy": "ALLOW"}
    badge_id = await org.make_badge(name=f"{word} {secrets.token_hex(6)}", **long_ago)
    expiry: dict[str, Any] = {"issuedBadgeExpiry": {"expiryType": "NEVER"}, "earnType": "ISSUE_EARN"}
    enrolled = await org.make_badge(name=f"{word} {secrets.token_hex(6)}", **long_ago, **expiry)
    request_id = secrets.token_hex(12)
    earned = await org.earn_bulk(badge_id, [CUSTOMER], requestId=request_id)
    await _post(
        org,
        "/badgeMeta/customer/issueBulk",
        {"badgeMetaId": enrolled, "customers": [CUSTOMER], "triggeredBy": TRIGGER},
    )
    email = {"customerId": CUSTOMER, "type": "email", "value": EMAIL}
    await org.client.put("/customers/identifiers", json={"identifiers": [email]})
    asked = {"badgeMetaId": badge_id, **TRIGGER, "requestId": f"{word} {secrets.token_hex(6)}"}
    job = await org.client.post(
        JOBS, params=asked, content=b"id\n700000009\n", headers={"Content-Type": "text/csv"}
    )
    assert job.status_code == 202, job.text
    field = {"name": f"{word} {secrets.token_hex(6)}", "dataType": "STRING", "isMandatory": False}
    return Scene(
        badge_id=badge_id,
        enrolled_badge_id=enrolled,
        group_id=(await _post(org, "/group", {"name": f"{word} {secrets.token_hex(6)}"}))["id"],
        field_id=(await _post(org, "/customField", field))["id"],
        webhook_id=(await _post(org, "/webhooks", {"url": f"https://localhost/{word}"}))["id"],
        earned_badge_id=earned.json()["data"]["issuedBadges"][0]["issuedId"],
        request_id=request_id,
        job_id=job.json()["data"]["jobId"],
    )


async def _post(org: Org, path: str, body: dict[str, Any]) -> Any:
    answer = await org.client.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()["data"]


def scene_of_nowhere() -> Scene:
    """Valid ids that do not exist."""
    return Scene(
        badge_id=secrets.token_hex(12),
        enrolled_badge_id=secrets.token_hex(12),
        group_id=secrets.token_hex(12),
        field_id=secrets.token_hex(12),
        webhook_id=secrets.token_hex(12),
        earned_badge_id=secrets.token_hex(12),
        request_id=secrets.token_hex(12),
        job_id=secrets.token_hex(8),
        customer=700000001,
        other_customer=700000002,
        email="nobody@example.org",
    )
