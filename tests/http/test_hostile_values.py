"""Every field of every body, found in the OpenAPI document, is sent what it least expects."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.http.answers import failure
from tests.http.test_openapi import ROOT, followed, operations
from tests.support import Org

DEPTH_MAX = 6
Path = tuple[str | int, ...]
MARK = "put it here"

VALUES = {
    "NUL": rb'"a\u0000b"',
    "a lone surrogate": rb'"\ud800"',
    "no UTF-8": b'"\xff"',
    "no number": b"NaN",
    "infinity": b"-Infinity",
    "more than 64 bits": b"9" * 30,
    "a huge exponent": b"1e400",
    "deep": b"[" * 5_000 + b"]" * 5_000,
    "a wrong kind": b'{"a":{"a":[{}]}}',
}


@pytest_asyncio.fixture(scope="module")
async def document(shared_org: Org) -> dict[str, Any]:
    return (await shared_org.client.get(f"{ROOT}/openapi.json")).json()


def fields(document: dict[str, Any], schema: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    """The paths of all fields below a schema; in lists, of the first item."""
    schema = followed(document, schema)
    for choice in ("oneOf", "anyOf", "allOf"):
        for option in schema.get(choice, []):
            yield from fields(document, option, path)
    if len(path) < DEPTH_MAX:
        for name, inner in schema.get("properties", {}).items():
            yield (*path, name)
            yield from fields(document, inner, (*path, name))
        if "items" in schema:
            yield (*path, 0)
            yield from fields(document, schema["items"], (*path, 0))


def changed(body: Any, path: Path, value: Any) -> Any:
    """The body with another value at the path; what is missing on the way there is made."""
    if not path:
        return value
    first, *rest = path
    if isinstance(first, int):
        items = body if isinstance(body, list) and body else [None]
        return [changed(items[0], tuple(rest), value), *items[1:]]
    known = body if isinstance(body, dict) else {}
    return {**known, first: changed(known.get(first), tuple(rest), value)}


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, Any, Path]]:
    """Method, path, a sound body, and where to change it: for every field of every operation."""
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            schema = content["schema"]
            example = next(iter(followed(document, schema).get("examples", schema.get("examples", [{}]))), {})
            for place in dict.fromkeys(fields(document, schema)):
                yield method, path, copy.deepcopy(example), place


@pytest.mark.parametrize("kind", VALUES)
async def test_no_field_brings_the_service_down(shared_org: Org, document: dict[str, Any], kind: str) -> None:
    found = list(bodies(document))
    assert len(found) > 100
    for method, path, body, place in found:
        raw = json.dumps(changed(body, place, MARK)).encode().replace(b'"%b"' % MARK.encode(), VALUES[kind])
        url = ROOT + path.replace("{", "").replace("}", "")
        answer = await shared_org.client.request(method, url, content=raw)
        assert answer.status_code < 500, (method, path, place, answer.text)
        if answer.status_code >= 400:
            failure(answer, answer.status_code)


async def test_of_two_fields_of_one_name_the_last_one_counts(shared_org: Org) -> None:
    raw = b'{"name": "first", "name": "twice told"}'
    answer = await shared_org.client.post("/group", content=raw)
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["name"] == "twice told"
