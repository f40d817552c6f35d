"""The OpenAPI document matches the service, and its page loads nothing from other hosts."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cockade.app import create_app
from cockade.http.urls import BASE_PATH
from tests.http.answers import success
from tests.support import Org, client_for, earn_bulk_body

ROOT = "http://test"
METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
OPERATIONS = {
    "earn": ("post", f"{BASE_PATH}/customer/earn"),
    "revokeEarn": ("post", f"{BASE_PATH}/customer/revokeEarn"),
    "earnBulk": ("post", f"{BASE_PATH}/customer/earnBulk"),
    "createJob": ("post", f"{BASE_PATH}/customer/earnBulk/jobs"),
    "listJobs": ("get", f"{BASE_PATH}/customer/earnBulk/jobs"),
    "getJob": ("get", f"{BASE_PATH}/customer/earnBulk/jobs/{{job_id}}"),
    "pauseJob": ("put", f"{BASE_PATH}/customer/earnBulk/jobs/{{job_id}}/pause"),
    "resumeJob": ("put", f"{BASE_PATH}/customer/earnBulk/jobs/{{job_id}}/resume"),
    "cancelJob": ("put", f"{BASE_PATH}/customer/earnBulk/jobs/{{job_id}}/cancel"),
    "getJobResults": ("get", f"{BASE_PATH}/customer/earnBulk/jobs/{{job_id}}/results"),
    "getJobRefused": ("get", f"{BASE_PATH}/customer/earnBulk/jobs/{{job_id}}/refused"),
    "importCustomerBadges": ("post", f"{BASE_PATH}/import/customerBadges"),
    "importCustomerBadgesByPut": ("put", f"{BASE_PATH}/import/customerBadges"),
    "issueBulk": ("post", f"{BASE_PATH}/badgeMeta/customer/issueBulk"),
    "revokeIssue": ("post", f"{BASE_PATH}/badgeMeta/customer/revokeIssue"),
    "updateBadge": ("put", f"{BASE_PATH}/badgeMeta"),
    "getCustomerBadges": ("get", f"{BASE_PATH}/customer/{{customer_id}}"),
    "listManagedBadges": ("get", f"{BASE_PATH}/management/{{customer_id}}"),
    "getManagedBadge": ("get", f"{BASE_PATH}/management/{{customer_id}}/badge/{{badge_id}}"),
    "listHolders": ("get", f"{BASE_PATH}/badgeMeta/{{badge_id}}/customers"),
    "explain": ("get", f"{BASE_PATH}/badgeMeta/{{badge_id}}/customers/{{customer_id}}/explain"),
    "getFixedWindowDetails": ("get", f"{BASE_PATH}/badgeMeta/getFixedWindowDetails"),
    "getRequest": ("get", f"{BASE_PATH}/requests"),
    "revokeRequest": ("post", f"{BASE_PATH}/requests/revoke"),
    "createBadge": ("post", f"{BASE_PATH}/badgeMeta"),
    "getBadge": ("get", f"{BASE_PATH}/badgeMeta/{{badge_id}}"),
    "listBadges": ("get", f"{BASE_PATH}/badgeMeta"),
    "activateBadge": ("put", f"{BASE_PATH}/badgeMeta/{{badge_id}}/activate"),
    "deactivateBadge": ("put", f"{BASE_PATH}/badgeMeta/{{badge_id}}/deactivate"),
    "claimBadge": ("post", f"{BASE_PATH}/badgeMeta/{{badge_id}}/claim"),
    "unclaimBadge": ("post", f"{BASE_PATH}/badgeMeta/{{badge_id}}/unclaim"),
    "createGroup": ("post", f"{BASE_PATH}/group"),
    "updateGroup": ("put", f"{BASE_PATH}/{{group_id}}"),
    "getGroup": ("get", f"{BASE_PATH}/group/{{group_id}}"),
    "listGroups": ("get", f"{BASE_PATH}/group"),
    "createCustomField": ("post", f"{BASE_PATH}/customField"),
    "updateCustomField": ("put", f"{BASE_PATH}/customField/{{field_id}}"),
    "getCustomField": ("get", f"{BASE_PATH}/customField/{{field_id}}"),
    "listCustomFields": ("get", f"{BASE_PATH}/customField"),
    "createOrgMeta": ("post", f"{BASE_PATH}/orgMeta"),
    "updateOrgMeta": ("put", f"{BASE_PATH}/orgMeta"),
    "getOrgMeta": ("get", f"{BASE_PATH}/orgMeta"),
    "putIdentifiers": ("put", f"{BASE_PATH}/customers/identifiers"),
    "generateToken": ("post", "/v3/oauth/token/generate"),
    "issueToken": ("post", "/oauth/token"),
    "eraseCustomer": ("delete", f"{BASE_PATH}/customers/{{customer_id}}"),
    "mergeCustomers": ("post", f"{BASE_PATH}/customers/merge"),
    "listEvents": ("get", f"{BASE_PATH}/events"),
    "createWebhook": ("post", f"{BASE_PATH}/webhooks"),
    "listWebhooks": ("get", f"{BASE_PATH}/webhooks"),
    "getWebhook": ("get", f"{BASE_PATH}/webhooks/{{webhook_id}}"),
    "updateWebhook": ("put", f"{BASE_PATH}/webhooks/{{webhook_id}}"),
    "deleteWebhook": ("delete", f"{BASE_PATH}/webhooks/{{webhook_id}}"),
    "rotateWebhookSecret": ("post", f"{BASE_PATH}/webhooks/{{webhook_id}}/rotateSecret"),
    "testWebhook": ("post", f"{BASE_PATH}/webhooks/{{webhook_id}}/test"),
    "listDeliveries": ("get", f"{BASE_PATH}/webhooks/{{webhook_id}}/deliveries"),
    "listAudit": ("get", f"{BASE_PATH}/audit"),
    "healthz": ("get", "/healthz"),
    "readyz": ("get", "/readyz"),
    "metrics": ("get", "/metrics"),
}


@pytest_asyncio.fixture(scope="module")
async def document(shared_org: Org) -> AsyncGenerator[dict[str, Any]]:
    """The document as served."""
    async with client_for(shared_org.services, None) as client:
        answer = await client.get(f"{ROOT}/openapi.json")
        assert answer.status_code == 200
        yield answer.json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/"), reference
    found: Any = document
    for part in reference[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def followed(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return followed(document, resolve(document, schema["$ref"])) if "$ref" in schema else schema


async def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "cockade"
    assert document["info"]["version"]


async def test_every_operation_is_named_once_and_described(document: dict[str, Any]) -> None:
    found = {operation["operationId"]: (method, path) for method, path, operation in operations(document)}
    assert found == OPERATIONS
    assert len(found) == len(list(operations(document)))
    assert all(operation["summary"] for _, _, operation in operations(document))


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)]
    assert references
    assert all(isinstance(resolve(document, reference), dict) for reference in references)


async def test_components_have_plain_names(document: dict[str, Any]) -> None:
    """No module paths: the framework adds them to generic types, and to different types with one name."""
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name), name
        assert schema.get("title", name) == name


async def test_every_parameter_in_a_path_is_declared(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        declared = {
            parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"
        }
        assert set(re.findall(r"{(\w+)}", path)) == declared


async def test_every_error_is_documented_as_the_envelope_of_a_failure(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) < 400 or path == "/oauth/token":
                continue
            schema = followed(document, answer["content"]["application/json"]["schema"])
            assert set(schema["properties"]) == {"data", "errors", "warnings"}, (path, status)
            assert schema["properties"]["data"] == {"type": "null"}
            item = followed(document, schema["properties"]["errors"]["items"])
            assert set(item["properties"]) == {"code", "message", "reference", "details"}


async def test_every_call_that_needs_a_credential_says_so(document: dict[str, Any]) -> None:
    schemes = set(document["components"]["securitySchemes"])
    for _, path, operation in operations(document):
        if path.startswith(BASE_PATH):
            named = {name for choice in operation["security"] for name in choice}
            assert named <= schemes
            assert {"401", "503"} <= set(operation["responses"])
            assert len(operation["security"]) >= 2


def conforms(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    """Whether the value is of the schema, as far as our documents use JSON Schema."""
    schema = followed(document, schema)
    if "allOf" in schema:
        return all(conforms(document, part, value) for part in schema["allOf"])
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return any(conforms(document, option, value) for option in schema[choice])
    kinds = schema.get("type", [])
    if kinds and not any(_is_of(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return set(schema.get("required", [])) <= set(value) and all(
            conforms(document, known[name], inner) for name, inner in value.items() if name in known
        )
    if isinstance(value, list) and "items" in schema:
        return all(conforms(document, schema["items"], inner) for inner in value)
    return True


def _is_of(kind: str, value: Any) -> bool:
    kinds: dict[str, Any] = {
        "null": type(None),
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "string": str,
        "array": list,
        "object": dict,
    }
    return isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool))


def error_responses(document: dict[str, Any], operation_id: str, answer: httpx.Response) -> dict[str, Any]:
    method, path = OPERATIONS[operation_id]
    responses = document["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, (operation_id, answer.status_code)
    return responses[str(answer.status_code)]["content"]["application/json"]["schema"]


async def test_real_answers_are_as_they_are_documented(shared_org: Org, document: dict[str, Any]) -> None:
    client, badge_id = shared_org.client, await shared_org.make_badge()
    claim = {"ownerType": "Loyalty", "referenceId": "123457"}
    a_field = {"name": "size", "dataType": "INTEGER", "isMandatory": True, "defaultValue": 42}
    an_email = {"identifiers": [{"customerId": 1, "type": "email", "value": "a@example.org"}]}
    answers = [
        ("earnBulk", await shared_org.earn_bulk(badge_id, [1, 1], requestId="documented")),
        ("earnBulk", await shared_org.earn_bulk(badge_id, [1, 2])),
        ("earnBulk", await shared_org.earn_bulk(badge_id, [1], requestId="documented")),
        ("earnBulk", await shared_org.earn_bulk("", ["x"])),
        ("earnBulk", await shared_org.earn_bulk("0" * 24, [1])),
        ("earnBulk", await shared_org.earn_bulk(badge_id, [1], earnEventDate=0)),
        ("getRequest", await client.get("/requests?requestId=documented")),
        ("getRequest", await client.get("/requests?requestId=documented&answer=earned")),
        ("getRequest", await client.get("/requests?requestId=nothing")),
        ("getRequest", await client.get("/requests")),
        (
            "earnBulk",
            await client.post("/customer/earnBulk?dryRun=true", json=earn_bulk_body(badge_id, [1, 9])),
        ),
        ("revokeRequest", await client.post("/requests/revoke", json={"requestId": "documented"})),
        ("revokeRequest", await client.post("/requests/revoke", json={"requestId": "nothing"})),
        ("revokeRequest", await client.post("/requests/revoke?dryRun=x", json={})),
        ("createBadge", await client.post("/badgeMeta", json={})),
        ("getBadge", await client.get(f"/badgeMeta/{badge_id}?includeStatistics=true")),
        ("getBadge", await client.get("/badgeMeta/none")),
        ("getBadge", await client.get(f"/badgeMeta/{badge_id}", auth=("nobody", "x"))),
        ("listBadges", await client.get("/badgeMeta")),
        ("listBadges", await client.get("/badgeMeta?size=0")),
        ("activateBadge", await client.put(f"/badgeMeta/{badge_id}/activate")),
        ("deactivateBadge", await client.put("/badgeMeta/none/deactivate")),
        ("claimBadge", await client.post(f"/badgeMeta/{badge_id}/claim", json=claim)),
        ("claimBadge", await client.post(f"/badgeMeta/{badge_id}/claim", json={})),
        ("unclaimBadge", await client.post(f"/badgeMeta/{badge_id}/unclaim", json=claim)),
        ("unclaimBadge", await client.post(f"/badgeMeta/{badge_id}/unclaim", json=claim)),
        ("createGroup", group := await client.post("/group", json={"name": "Socks"})),
        ("createGroup", await client.post("/group", json={})),
        ("updateGroup", await client.put(f"/{group.json()['data']['id']}", json={"rank": 1})),
        ("updateGroup", await client.put("/none", json={})),
        ("getGroup", await client.get(f"/group/{group.json()['data']['id']}")),
        ("getGroup", await client.get("/group/none")),
        ("listGroups", await client.get("/group")),
        ("createCustomField", field := await client.post("/customField", json=a_field)),
        ("createCustomField", await client.post("/customField", json=a_field)),
        ("updateCustomField", await client.put(f"/customField/{field.json()['data']['id']}", json={})),
        ("updateCustomField", await client.put("/customField/none", json={})),
        ("getCustomField", await client.get(f"/customField/{field.json()['data']['id']}")),
        ("listCustomFields", await client.get("/customField")),
        ("getOrgMeta", await client.get("/orgMeta")),
        ("updateOrgMeta", await client.put("/orgMeta", json={"tags": []})),
        ("createOrgMeta", await client.post("/orgMeta", json={"tags": [{"key": "a"}]})),
        ("createOrgMeta", await client.post("/orgMeta", json={"tags": []})),
        ("updateOrgMeta", await client.put("/orgMeta", json={"tags": [{"key": "b"}]})),
        ("getOrgMeta", await client.get("/orgMeta")),
        ("putIdentifiers", await client.put("/customers/identifiers", json=an_email)),
        ("putIdentifiers", await client.put("/customers/identifiers", json={})),
        ("eraseCustomer", await client.delete("/customers/1")),
        ("eraseCustomer", await client.delete("/customers/none")),
        ("mergeCustomers", await client.post("/customers/merge", json={"from": 1, "into": 2})),
        ("mergeCustomers", await client.post("/customers/merge", json={"from": 1, "into": 1})),
        ("listAudit", await client.get("/audit", params={"size": 1000})),
        ("listAudit", await client.get("/audit", params={"action": "none"})),
        (
            "generateToken",
            await client.post(f"{ROOT}/v3/oauth/token/generate", json={"key": "x", "secret": "y"}),
        ),
        ("issueToken", await client.post(f"{ROOT}/oauth/token", data={"grant_type": "client_credentials"})),
        ("healthz", await client.get(f"{ROOT}/healthz")),
        ("readyz", await client.get(f"{ROOT}/readyz")),
    ]
    for operation_id, answer in answers:
        schema = error_responses(document, operation_id, answer)
        assert conforms(document, schema, answer.json()), (operation_id, answer.text)


async def test_examples_are_as_the_schemas_beside_them_say(document: dict[str, Any]) -> None:
    found: list[tuple[dict[str, Any], Any]] = []
    for node in nodes(document):
        examples = node.get("examples")
        if isinstance(examples, dict) and "schema" in node:
            found += [(node["schema"], example["value"]) for example in examples.values()]
        elif isinstance(examples, list):
            found += [(node, example) for example in examples]
    assert len(found) > 20
    for schema, value in found:
        assert conforms(document, schema, value), value


async def test_every_operation_has_an_example_to_try(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        if path.startswith(BASE_PATH):
            parts = [
                operation.get("requestBody", {}),
                operation.get("parameters", []),
                operation["responses"].get("200", {}),
            ]
            assert any("examples" in node for node in nodes(parts)), operation["operationId"]


async def test_the_example_of_a_badge_can_be_created_and_issued(org: Org, document: dict[str, Any]) -> None:
    def example(operation_id: str) -> dict[str, Any]:
        method, path = OPERATIONS[operation_id]
        content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
        return content["schema"]["examples"][0]

    migration = {"X-CAP-BADGES-MIGRATION": "migration"}
    created = success(
        await org.client.post("/badgeMeta", json=example("createBadge"), headers=migration), 201
    )
    success(await org.client.post(f"/badgeMeta/{created['id']}/claim", json=example("claimBadge")))
    sent = {**example("earnBulk"), "badgeMetaId": created["id"], "earnEventDate": created["startOn"]}
    assert success(await org.client.post("/customer/earnBulk", json=sent))["earnedCount"] == 2


async def test_the_page_is_served_and_names_no_other_host(shared_org: Org) -> None:
    async with client_for(shared_org.services, None) as client:
        page = await client.get(f"{ROOT}/docs", follow_redirects=True)
        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/html")
        links = re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)""", page.text)
        assert [link for link in links if re.match(r"(?:[a-z]+:)?//", link)] == []
        assets = [link for link in links if link.startswith("/")]
        assert len(assets) >= 3
        for link in assets:
            asset = await client.get(ROOT + link)
            assert (link, asset.status_code) == (link, 200)
            assert asset.content


@pytest.mark.parametrize(
    "path", ["/docs/assets/../../config.py", "/docs/assets/%2e%2e/%2e%2e/x", "/docs/assets/none.js"]
)
async def test_nothing_but_the_assets_is_served_beside_the_page(shared_org: Org, path: str) -> None:
    async with client_for(shared_org.services, None) as client:
        assert (await client.get(ROOT + path)).status_code == 404


def test_every_process_has_the_same_document(shared_org: Org) -> None:
    documents = [create_app(shared_org.services)._app.openapi_schema.to_schema() for _ in range(4)]  # pyright: ignore
    assert all(document == documents[0] for document in documents)
