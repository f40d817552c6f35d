"""Whatever the OpenAPI document allows, and what it does not, is answered as the document says, never with a 5xx.

Schemathesis thinks up the calls, the same ones every time. `make fuzz` is the long form: COCKADE_FUZZ_CASES is how many
each operation gets, and the systematic ones of schemathesis come on top.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import BaseSchema, Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cockade.app import create_app, create_services
from cockade.config import Config
from cockade.http.urls import BASE_PATH
from cockade.job.model import PARQUET
from tests.acceptance.fuzz_world import World, make_world, settle
from tests.acceptance.service import Service

CASES_IN_CI = 20
CASES = int(os.environ.get("COCKADE_FUZZ_CASES", str(CASES_IN_CI)))
CHECKS: list[Callable[..., Any]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""Checks that suppose a complete schema are left out: some rules cannot be expressed in a schema."""
REFUSED_ONLY = {"POST /oauth/token", f"POST {BASE_PATH}/orgMeta"}
"""The first takes a form, which the document does not describe, and the org has the second already."""


@schemathesis.serializer("text/csv", "application/x-ndjson", PARQUET)
def _audience(_: Any, value: Any) -> bytes:
    """The audience of a job is bytes, whatever was thought up."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def _schema() -> BaseSchema:
    app: Any = create_app(create_services("postgresql://nobody@127.0.0.1:1/none", Config()))
    loaded = schemathesis.openapi.from_dict(app._app.openapi_schema.to_schema())
    loaded.config.generation.update(with_security_parameters=False)
    loaded.config.phases.coverage.enabled = CASES > CASES_IN_CI
    return loaded


schema = _schema()
_answered: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    return make_world(service)


@pytest.fixture(scope="module")
def session(world: World) -> Generator[requests.Session]:
    with requests.Session() as made:
        made.auth = (world.username, world.secret)
        yield made


@schema.parametrize()  # pyright: ignore[reportUntypedFunctionDecorator]
@settings(
    max_examples=CASES,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
)
def test_answers_are_as_they_are_documented(
    case: Case, world: World, session: requests.Session, service: Service
) -> None:
    settle(case, world)
    answer = case.call(base_url=service.origin, session=session)
    _answered[case.operation.label, answer.status_code] += 1
    case.validate_response(answer, checks=CHECKS)


def test_the_cases_reach_every_operation(record_property: Callable[[str, object], None]) -> None:
    """A fuzzer that is refused at the door finds nothing."""
    operations = {label for label, _ in _answered}
    succeeded = {label for label, status in _answered if status in (200, 201, 202)}
    assert operations - succeeded <= REFUSED_ONLY
    record_property("fuzz", f"{_answered.total()} cases of {len(operations)} operations")
    for label in sorted(operations):
        statuses = {status: count for (name, status), count in sorted(_answered.items()) if name == label}
        record_property("fuzz", f"{label}: {statuses}")
