"""Customer identifiers over HTTP, and paths with an identifier."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from httpx import Response

from cockade.api.customer.schemas import IDENTIFIER_HEADER, customer_of
from cockade.config import Config
from cockade.errors import CustomerNotFound, InvalidInput
from cockade.http.request import ApiRequest
from cockade.metrics import retries
from tests.http.answers import failure, message, success
from tests.support import Org, client_for

NO_CUSTOMER = "A customer id must be an integer between 1 and 9223372036854775807."


def entry(customer: Any, value: Any, kind: Any = "email") -> dict[str, Any]:
    return {"customerId": customer, "type": kind, "value": value}


def unique(text: str = "a@example.org") -> str:
    return f"{secrets.token_hex(8)}{text}"


async def put(org: Org, *identifiers: dict[str, Any]) -> Response:
    return await org.client.put("/customers/identifiers", json={"identifiers": identifiers})


async def counts(org: Org, *identifiers: dict[str, Any]) -> tuple[int, int, int]:
    """Return the number of created, updated and unchanged identifiers."""
    data = success(await put(org, *identifiers))
    assert list(data) == ["totalCount", "createdCount", "updatedCount", "unchangedCount"]
    total, *rest = data.values()
    assert sum(rest) == total
    return tuple(rest)


async def find(org: Org, segment: str, header: str | None = "email") -> int:
    """Return the customer of this path segment."""
    raw = f"/v1/badges/customer/{segment}"
    path = raw if "%2F" in raw else unquote(raw)  # as the layer around the app leaves it
    scope: Any = {"type": "http", "path": path, "raw_path": raw.encode(), "user": org.caller, "headers": []}
    return await customer_of(
        ApiRequest(scope), path.removeprefix("/v1/badges/customer/"), header, org.services.customers
    )


async def test_an_identifier_is_one_customers_and_moves(shared_org: Org) -> None:
    one, two, three = unique(), unique(), unique("card")
    sent = [entry(1, one), entry("1", two), entry(2**63 - 1, three, "cardNumber")]
    assert await counts(shared_org, *sent) == (3, 0, 0)
    assert await counts(shared_org, *sent) == (0, 0, 3)
    assert [await find(shared_org, one), await find(shared_org, two)] == [1, 1]
    assert await find(shared_org, three, "cardNumber") == 2**63 - 1
    assert await counts(shared_org, entry(5, two), entry(1, one), entry(1, unique())) == (1, 1, 1)
    assert [await find(shared_org, one), await find(shared_org, two)] == [1, 5]
    assert await counts(shared_org, entry(1, two)) == (0, 1, 0)
    assert await counts(shared_org, entry(1, two)) == (0, 0, 1)


async def test_exact_repeats_count_once(shared_org: Org) -> None:
    name = unique()
    sent = [entry(1, name), entry("01", f" {name.upper()} "), entry(1, name), entry(1, name, "externalId")]
    assert await counts(shared_org, *sent) == (2, 0, 0)


async def test_an_identifier_of_two_customers_in_one_body_is_refused(shared_org: Org) -> None:
    name = unique()
    answer = await put(
        shared_org,
        entry(1, name),
        entry(2, unique()),
        entry(2, name.upper()),
        entry(2, name, "mobile"),
        entry(1, name),
        entry("3", f" {name}"),
    )
    assert failure(answer, 400) == [(400, "identifiers[2].value"), (400, "identifiers[5].value")]
    assert "email" in answer.json()["errors"][0]["message"]
    with pytest.raises(CustomerNotFound):
        await find(shared_org, name)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, [(400, "identifiers")]),
        ({"identifiers": []}, [(400, "identifiers")]),
        ({"identifiers": None}, [(400, "identifiers")]),
        ({"identifiers": {}}, [(400, "identifiers")]),
        (
            {"identifiers": [{}]},
            [(812, "identifiers[0].customerId"), (400, "identifiers[0].type"), (400, "identifiers[0].value")],
        ),
        ({"identifiers": [entry(0, "a")]}, [(400, "identifiers[0].customerId")]),
        ({"identifiers": [entry("0", "a")]}, [(400, "identifiers[0].customerId")]),
        ({"identifiers": [entry(str(2**63), "a")]}, [(400, "identifiers[0].customerId")]),
        ({"identifiers": [entry(2**63, "a")]}, [(400, "identifiers[0].customerId")]),
        ({"identifiers": [entry(1.5, "a")]}, [(400, "identifiers[0].customerId")]),
        ({"identifiers": [entry(True, "a")]}, [(400, "identifiers[0].customerId")]),
        ({"identifiers": [entry(None, "a")]}, [(812, "identifiers[0].customerId")]),
        ({"identifiers": [entry(1, "")]}, [(400, "identifiers[0].value")]),
        ({"identifiers": [entry(1, " \t")]}, [(400, "identifiers[0].value")]),
        ({"identifiers": [entry(1, "a\0")]}, [(400, "identifiers[0].value")]),
        ({"identifiers": [entry(1, "x" * 256)]}, [(400, "identifiers[0].value")]),
        ({"identifiers": [entry(1, 5)]}, [(400, "identifiers[0].value")]),
        ({"identifiers": [entry(1, "a", "Email")]}, [(400, "identifiers[0].type")]),
        (
            {
                "identifiers": [
                    entry("0", "a"),
                    entry(1, "a", "x"),
                    entry(1, " "),
                    entry(1, "b"),
                    entry(2, "b"),
                ]
            },
            [
                (400, "identifiers[1].type"),
                (400, "identifiers[0].customerId"),
                (400, "identifiers[2].value"),
                (400, "identifiers[4].value"),
            ],
        ),
    ],
)
async def test_all_errors_of_identifiers_are_reported(
    shared_org: Org, sent: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    answer = await shared_org.client.put("/customers/identifiers", json=sent)
    assert failure(answer, 400) == expected


async def test_identifiers_of_the_longest_kind_fit(shared_org: Org) -> None:
    names = [f"{secrets.token_hex(4)}{letter * 247}" for letter in ("x", "\U0010ffff", "İ")]
    assert await counts(shared_org, *(entry(1, name) for name in names)) == (3, 0, 0)
    assert [await find(shared_org, name) for name in names] == [1, 1, 1]


async def test_more_entries_than_a_call_takes_are_refused(shared_org: Org) -> None:
    services = msgspec.structs.replace(shared_org.services, config=Config(max_customers_per_request=3))
    body = {"identifiers": [entry(1, unique()) for _ in range(4)]}
    async with client_for(services, shared_org.credential) as client:
        answer = await client.put("/customers/identifiers", json=body)
        assert failure(answer, 400) == [(400, "identifiers")]
        assert "4 entries" in message(answer)
        assert "the maximum is 3 (COCKADE_MAX_CUSTOMERS_PER_REQUEST)" in message(answer)
        body["identifiers"].pop()
        assert success(await client.put("/customers/identifiers", json=body))["createdCount"] == 3


async def test_a_call_takes_many_at_once(shared_org: Org) -> None:
    prefix = unique("")
    sent = [entry(number + 1, f"{prefix}-{number}", "externalId") for number in range(20_000)]
    assert await counts(shared_org, *sent) == (20_000, 0, 0)
    moved = [{**each, "customerId": 7} for each in sent[:5_000]]
    assert await counts(shared_org, *moved, *sent[5_000:]) == (0, 4_999, 15_001)


async def test_calls_at_once_wait_for_each_other_in_one_direction(shared_org: Org) -> None:
    deadlocks = retries.labels("customer.put_identifiers", "DeadlockDetectedError")
    before = deadlocks._value.get()
    prefix = unique("")
    sent = [entry(1, f"{prefix}-{number}", "mobile") for number in range(3_000)]
    answers = await asyncio.gather(*(counts(shared_org, *sent[::step]) for step in (1, -1) * 4))
    assert sum(created for created, _, _ in answers) == 3_000
    assert sum(unchanged for _, _, unchanged in answers) == 3_000 * 7
    assert deadlocks._value.get() == before


async def test_identifiers_of_another_org_are_not_seen(shared_org: Org, other_org: Org) -> None:
    name = unique()
    assert await counts(shared_org, entry(1, name)) == (1, 0, 0)
    with pytest.raises(CustomerNotFound):
        await find(other_org, name)
    assert await counts(other_org, entry(2, name)) == (1, 0, 0)
    assert [await find(shared_org, name), await find(other_org, name)] == [1, 2]


async def test_without_the_header_the_path_has_a_customer_id(shared_org: Org) -> None:
    for segment, expected in (("1", 1), ("007", 7), (str(2**63 - 1), 2**63 - 1)):
        assert await find(shared_org, segment, None) == expected


@pytest.mark.parametrize(
    "segment", ["0", "-1", "+1", "1.0", "x", "%201", "1%0A", "%00", str(2**63), "1" * 5000, "true", "%D9%A3"]
)
async def test_invalid_customer_id_is_rejected(shared_org: Org, segment: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await find(shared_org, segment, None)
    [field_error] = caught.value.field_errors()
    assert (field_error.code, field_error.message, field_error.reference) == (400, NO_CUSTOMER, "customerId")


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("email", "email"),
        ("email", "EMAIL"),
        ("mobile", " Mobile "),
        ("externalId", "externalId"),
        ("externalId", "externalid"),
        ("cardNumber", "CARDNUMBER"),
    ],
)
async def test_header_selects_the_identifier_type_of_the_path(
    shared_org: Org, kind: str, header: str
) -> None:
    name = unique("é +x")
    await counts(shared_org, entry(9, name, kind))
    assert await find(shared_org, f"%20{name}".replace("é", "%C3%A9"), header) == 9
    for other in {"email", "mobile", "externalId", "cardNumber"} - {kind}:
        with pytest.raises(CustomerNotFound):
            await find(shared_org, name, other)


async def test_emails_are_found_in_any_case_and_other_identifiers_in_theirs(shared_org: Org) -> None:
    name = unique("Abc")
    await counts(shared_org, entry(1, name), entry(2, name, "externalId"))
    assert await find(shared_org, name.upper()) == 1
    assert await find(shared_org, name, "externalId") == 2
    with pytest.raises(CustomerNotFound):
        await find(shared_org, name.upper(), "externalId")


async def test_an_identifier_may_have_a_slash_or_a_percent_sign(shared_org: Org) -> None:
    name = unique("")
    await counts(shared_org, entry(1, f"{name}/a%41", "externalId"), entry(2, f"{name}%2F", "externalId"))
    assert await find(shared_org, f"{name}%2Fa%2541", "externalId") == 1
    assert await find(shared_org, f"{name}%252F", "externalId") == 2


@pytest.mark.parametrize("segment", ["nobody@example.org", "%00", "%20", "1", "x" * 5000])
async def test_unknown_identifier_is_404(shared_org: Org, segment: str) -> None:
    with pytest.raises(CustomerNotFound, match=r"^No customer has this email\.$"):
        await find(shared_org, segment)


@pytest.mark.parametrize("header", ["", "id", "e-mail", "external_id"])
async def test_unknown_identifier_type_is_rejected_with_the_known_types(shared_org: Org, header: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await find(shared_org, "1", header)
    [field_error] = caught.value.field_errors()
    assert (field_error.code, field_error.reference) == (400, IDENTIFIER_HEADER)
    assert field_error.message == "Must be one of email, mobile, externalId, cardNumber."
