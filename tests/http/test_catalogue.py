"""Groups, custom fields and the org meta over HTTP, and what becomes of them in badges."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from cockade.auth.model import AccessGroup
from cockade.badge.model import BadgeDraft, EarnType, NeverExpiry, Presentation
from cockade.errors import InvalidInput
from cockade.request.model import OwnerType
from tests.http.answers import failure, message, success
from tests.support import Org, badge_body, client_for

NO_ID = ["0" * 24, "no-id", "0" * 23, "g" * 24, "%00", "é", "0" * 24 + "%0A"]
MIGRATION = {"X-CAP-BADGES-MIGRATION": "migration"}
STAMPS = {"createdOn", "createdOnISO", "lastUpdatedOn", "lastUpdatedOnISO"}


def unique(name: str = "Sock") -> str:
    return f"{name} {secrets.token_hex(8)}"


async def make_group(org: Org, **fields: Any) -> dict[str, Any]:
    """The created group, once it has been read back equal."""
    made = success(await org.client.post("/group", json={"name": "Socks", **fields}), 201)
    assert success(await org.client.get(f"/group/{made['id']}")) == made
    return made


async def make_field(org: Org, **fields: Any) -> dict[str, Any]:
    """The created custom field, once it has been read back equal."""
    sent = {"name": unique(), "dataType": "STRING", **fields}
    made = success(await org.client.post("/customField", json=sent), 201)
    assert success(await org.client.get(f"/customField/{made['id']}")) == made
    return made


async def make_badge(org: Org, **fields: Any) -> httpx.Response:
    return await org.client.post("/badgeMeta", json=badge_body(**fields), headers=MIGRATION)


def is_stamped(record: dict[str, Any], org: Org) -> bool:
    """Whether a new record has its org, its creator and its creation time."""
    made_at = datetime.fromtimestamp(record["createdOn"], UTC)
    assert record["createdOnISO"] == made_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert abs((datetime.now(UTC) - made_at).total_seconds()) < 600
    assert (record["lastUpdatedOn"], record["lastUpdatedOnISO"]) == (
        record["createdOn"],
        record["createdOnISO"],
    )
    assert record["createdBy"] == record["lastUpdatedBy"] == org.credential.username
    return record["orgId"] == org.caller.org_id and len(record["id"]) == 24


def is_changed(after: dict[str, Any], before: dict[str, Any], **expected: Any) -> bool:
    """Whether just these fields are others than before, and the time of the change is a later one."""
    assert after["lastUpdatedOn"] > before["lastUpdatedOn"]
    stamps = {name: after[name] for name in ("lastUpdatedOn", "lastUpdatedOnISO")}
    return after == {**before, **stamps, **expected}


# Groups


async def test_a_group_is_made_and_read_back(shared_org: Org) -> None:
    made = await make_group(shared_org, name="Süß 🧦", rank=3)
    assert is_stamped(made, shared_org)
    assert {name: made[name] for name in made.keys() - STAMPS} == {
        "id": made["id"],
        "orgId": shared_org.caller.org_id,
        "name": "Süß 🧦",
        "rank": 3,
        "isActive": True,
        "createdBy": shared_org.credential.username,
        "lastUpdatedBy": shared_org.credential.username,
    }


async def test_a_group_needs_no_rank_and_shares_its_name(shared_org: Org) -> None:
    one, two = await make_group(shared_org), await make_group(shared_org, rank=None)
    assert (one["rank"], two["rank"], one["name"]) == (None, None, two["name"])
    assert one["id"] != two["id"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"rank": 5}, {"rank": 5}),
        ({"rank": None}, {"rank": None}),
        ({"rank": 0, "name": "Other"}, {"rank": 0, "name": "Other"}),
        ({"isActive": False}, {"isActive": False}),
        ({}, {}),
        ({"name": None, "isActive": None}, {}),
        ({"id": "x", "orgId": 1, "createdBy": "me", "more": 1}, {}),
    ],
)
async def test_change_of_a_group_replaces_only_sent_fields(
    shared_org: Org, sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = await make_group(shared_org, rank=7)
    changed = success(await shared_org.client.put(f"/{made['id'].upper()}", json=sent))
    assert is_changed(changed, made, **expected)
    assert success(await shared_org.client.get(f"/group/{made['id'].upper()}")) == changed


async def test_group_has_the_user_of_its_last_change(org: Org) -> None:
    made = await make_group(org)
    other = await org.services.auth.create_credential(org.caller.org_id, unique("other"))
    async with client_for(org.services, other) as client:
        changed = success(await client.put(f"/{made['id']}", json={"rank": 1}))
    assert (changed["createdBy"], changed["lastUpdatedBy"]) == (org.credential.username, other.username)


GROUP_FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": ""}, ["name"]),
    ({"name": "  "}, ["name"]),
    ({"name": "x" * 256}, ["name"]),
    ({"name": "a\0"}, ["name"]),
    ({"name": 5}, ["name"]),
    ({"rank": -1}, ["rank"]),
    ({"rank": 2**31}, ["rank"]),
    ({"rank": "x"}, ["rank"]),
    ({"name": [], "rank": 1.5}, ["name", "rank"]),
    ({"name": " ", "rank": 1.5}, ["rank", "name"]),
]


@pytest.mark.parametrize(("sent", "expected"), GROUP_FAULTS)
async def test_all_errors_of_a_group_are_reported(
    shared_org: Org, sent: dict[str, Any], expected: list[str]
) -> None:
    made = await make_group(shared_org)
    told = [(400, reference) for reference in expected]
    assert failure(await shared_org.client.post("/group", json={"name": "Socks", **sent}), 400) == told
    assert failure(await shared_org.client.put(f"/{made['id']}", json=sent), 400) == told
    assert success(await shared_org.client.get(f"/group/{made['id']}")) == made


async def test_a_group_needs_a_name_and_its_change_none(shared_org: Org) -> None:
    assert failure(await shared_org.client.post("/group", json={}), 400) == [(400, "name")]
    made = await make_group(shared_org)
    answer = await shared_org.client.put(f"/{made['id']}", json={"isActive": "no"})
    assert failure(answer, 400) == [(400, "isActive")]


@pytest.mark.parametrize("group_id", NO_ID)
async def test_a_group_that_is_not_there_is_404(shared_org: Org, group_id: str) -> None:
    for answer in (
        await shared_org.client.get(f"/group/{group_id}"),
        await shared_org.client.put(f"/{group_id}", json={"name": "x"}),
    ):
        assert failure(answer, 404) == [(404, None)]
        assert message(answer) == "There is no such badge group."


async def test_groups_are_listed_by_rank_and_name_page_by_page(org: Org, other_org: Org) -> None:
    await make_group(other_org, name="not ours")
    ranked = [("Z", 2), ("a", 2), ("z", 0), ("z", 1), ("a", 2)]
    sent = [*((letter, None) for letter in "hgfedcba"), *ranked]
    made = [await make_group(org, name=name, rank=rank) for name, rank in sent]
    in_order = sorted(made, key=lambda g: (g["rank"] is None, g["rank"] or 0, g["name"], g["id"]))
    seen: list[dict[str, Any]] = []
    for page, count in ((0, 5), (1, 5), (2, 3), (3, 0), (1_000_000_000, 0)):
        data = success(await org.client.get("/group", params={"page": page, "size": 5}))
        assert list(data) == ["badgeGroups", "pagination"]
        assert len(data["badgeGroups"]) == count
        assert data["pagination"] == {"page": page, "size": 5, "total": 13, "totalPages": 3}
        seen += data["badgeGroups"]
    assert seen == in_order


# Custom fields


async def test_a_custom_field_is_made_and_read_back(shared_org: Org) -> None:
    name = unique("Größe")
    made = await make_field(
        shared_org, name=name, dataType="INTEGER", isMandatory=True, defaultValue="0042", isActive=False
    )
    assert is_stamped(made, shared_org)
    assert {name: made[name] for name in made.keys() - STAMPS} == {
        "id": made["id"],
        "orgId": shared_org.caller.org_id,
        "name": name,
        "isMandatory": True,
        "defaultValue": "0042",
        "isActive": True,
        "dataType": "INTEGER",
        "createdBy": shared_org.credential.username,
        "lastUpdatedBy": shared_org.credential.username,
    }


async def test_a_custom_field_is_not_mandatory_and_has_no_default_unless_it_is_said(shared_org: Org) -> None:
    made = await make_field(shared_org, isMandatory=None, defaultValue=None)
    assert (made["isMandatory"], made["defaultValue"], made["isActive"]) == (False, None, True)


@pytest.mark.parametrize(
    ("data_type", "value"),
    [
        ("INTEGER", -(2**63)),
        ("INTEGER", "-007"),
        ("BOOLEAN", False),
        ("BOOLEAN", "false"),
        ("DATE", "2026-01-01T00:00:00.123456789+01:00"),
        ("DATE", 1767222000.5),
        ("DATE", "1767222000000"),
        ("STRING", ""),
        ("STRING", "ü" * 10_000),
    ],
)
async def test_a_default_is_kept_as_it_was_sent(shared_org: Org, data_type: str, value: Any) -> None:
    made = await make_field(shared_org, dataType=data_type, defaultValue=value, isMandatory=True)
    assert made["defaultValue"] == value
    assert type(made["defaultValue"]) is type(value)


FIELD_FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": None}, ["name"]),
    ({"name": " "}, ["name"]),
    ({"name": "x" * 256}, ["name"]),
    ({"name": "a\0"}, ["name"]),
    ({"dataType": None}, ["dataType"]),
    ({"dataType": "integer"}, ["dataType"]),
    ({"isMandatory": "yes"}, ["isMandatory"]),
    ({"isMandatory": True}, ["defaultValue"]),
    ({"isMandatory": True, "defaultValue": None}, ["defaultValue"]),
    ({"dataType": "INTEGER", "defaultValue": 1.5}, ["defaultValue"]),
    ({"dataType": "INTEGER", "defaultValue": True}, ["defaultValue"]),
    ({"dataType": "INTEGER", "defaultValue": 2**63}, ["defaultValue"]),
    ({"dataType": "BOOLEAN", "defaultValue": 0}, ["defaultValue"]),
    ({"dataType": "DATE", "defaultValue": "2026-01-01"}, ["defaultValue"]),
    ({"dataType": "STRING", "defaultValue": 5}, ["defaultValue"]),
    ({"dataType": "STRING", "defaultValue": "x" * 10_001}, ["defaultValue"]),
    ({"dataType": "STRING", "defaultValue": {"deep": []}}, ["defaultValue"]),
    ({"name": " ", "dataType": "INTEGER", "defaultValue": "x"}, ["name", "defaultValue"]),
    ({"name": 5, "isMandatory": True}, ["name", "defaultValue"]),
    ({"name": 5, "dataType": "x", "isMandatory": True}, ["name", "dataType"]),
]


@pytest.mark.parametrize(("sent", "expected"), FIELD_FAULTS)
async def test_all_errors_of_a_custom_field_are_reported(
    shared_org: Org, sent: dict[str, Any], expected: list[str]
) -> None:
    answer = await shared_org.client.post("/customField", json={"name": "x", "dataType": "STRING", **sent})
    assert failure(answer, 400) == [(400, reference) for reference in expected]


@pytest.mark.parametrize("data_type", ["INTEGER", "BOOLEAN", "DATE", "STRING"])
async def test_default_of_a_wrong_type_is_rejected(shared_org: Org, data_type: str) -> None:
    answer = await shared_org.client.post(
        "/customField", json={"name": "x", "dataType": data_type, "defaultValue": []}
    )
    assert failure(answer, 400) == [(400, "defaultValue")]
    assert data_type in message(answer)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"defaultValue": "7"}, {"defaultValue": "7"}),
        ({"isMandatory": False}, {"isMandatory": False}),
        ({"isMandatory": False, "defaultValue": None}, {"isMandatory": False, "defaultValue": None}),
        ({"isActive": False}, {"isActive": False}),
        ({"dataType": "INTEGER"}, {}),
        ({}, {}),
        ({"name": None, "isMandatory": None, "isActive": None, "dataType": None}, {}),
    ],
)
async def test_change_of_a_custom_field_replaces_only_sent_fields(
    shared_org: Org, sent: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = await make_field(shared_org, dataType="INTEGER", isMandatory=True, defaultValue=5)
    changed = success(await shared_org.client.put(f"/customField/{made['id'].upper()}", json=sent))
    assert is_changed(changed, made, **expected)
    assert success(await shared_org.client.get(f"/customField/{made['id'].upper()}")) == changed


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"dataType": "STRING"}, ["dataType"]),
        ({"dataType": "x"}, ["dataType"]),
        ({"defaultValue": None}, ["defaultValue"]),
        ({"defaultValue": "x"}, ["defaultValue"]),
        ({"defaultValue": "x", "isMandatory": False}, ["defaultValue"]),
        ({"name": " ", "dataType": "DATE", "defaultValue": None}, ["name", "dataType", "defaultValue"]),
        ({"isActive": "x"}, ["isActive"]),
        ({"isActive": "x", "defaultValue": None}, ["isActive", "defaultValue"]),
    ],
)
async def test_invalid_change_is_rejected_and_changes_nothing(
    shared_org: Org, sent: dict[str, Any], expected: list[str]
) -> None:
    made = await make_field(shared_org, dataType="INTEGER", isMandatory=True, defaultValue=5)
    answer = await shared_org.client.put(f"/customField/{made['id']}", json=sent)
    assert failure(answer, 400) == [(400, reference) for reference in expected]
    assert success(await shared_org.client.get(f"/customField/{made['id']}")) == made


async def test_changes_of_a_custom_field_at_once_are_both_kept(shared_org: Org) -> None:
    made = [await make_field(shared_org, defaultValue="summer") for _ in range(20)]
    changes = ({"isMandatory": True}, {"isActive": False})
    await asyncio.gather(
        *(shared_org.client.put(f"/customField/{f['id']}", json=change) for f in made for change in changes)
    )
    for each in made:
        shown = success(await shared_org.client.get(f"/customField/{each['id']}"))
        assert (shown["isMandatory"], shown["isActive"]) == (True, False)


async def test_the_name_of_a_custom_field_is_unique_in_its_org_and_case_sensitive(
    shared_org: Org, other_org: Org
) -> None:
    name = unique("Season")
    made = await make_field(shared_org, name=name)
    other = await make_field(shared_org, name=name.lower())
    answers = [
        await shared_org.client.post("/customField", json={"name": name, "dataType": "DATE"}),
        await shared_org.client.put(f"/customField/{other['id']}", json={"name": name}),
    ]
    for answer in answers:
        assert failure(answer, 409) == [(409, "name")]
        assert message(answer) == "This name is already used by another custom field."
    success(await shared_org.client.put(f"/customField/{made['id']}", json={"name": name}))
    await make_field(other_org, name=name)


@pytest.mark.parametrize("field_id", NO_ID)
async def test_a_custom_field_that_is_not_there_is_404(shared_org: Org, field_id: str) -> None:
    for answer in (
        await shared_org.client.get(f"/customField/{field_id}"),
        await shared_org.client.put(f"/customField/{field_id}", json={"dataType": "x"}),
    ):
        assert failure(answer, 404) == [(404, None)]
        assert message(answer) == "There is no such custom field."


async def test_custom_fields_are_listed_newest_first_page_by_page(org: Org, other_org: Org) -> None:
    await make_field(other_org)
    made = [await make_field(org) for _ in range(5)]
    seen: list[dict[str, Any]] = []
    for page, count in ((0, 2), (1, 2), (2, 1), (3, 0)):
        data = success(await org.client.get("/customField", params={"page": page, "size": 2}))
        assert list(data) == ["customFieldROList", "pagination"]
        assert len(data["customFieldROList"]) == count
        assert data["pagination"] == {"page": page, "size": 2, "total": 5, "totalPages": 3}
        seen += data["customFieldROList"]
    assert seen == made[::-1]


# Badges


async def test_a_badge_is_filled_up_with_the_defaults_of_mandatory_fields(org: Org) -> None:
    await make_field(org, name="season", isMandatory=True, defaultValue="summer")
    await make_field(org, name="size", dataType="INTEGER", isMandatory=True, defaultValue="042")
    await make_field(org, name="free", defaultValue="never filled in")
    gone = await make_field(org, name="gone", isMandatory=True, defaultValue="never filled in")
    success(await org.client.put(f"/customField/{gone['id']}", json={"isActive": False}))
    for sent, expected in (
        ({}, {"season": "summer", "size": "042"}),
        ({"customFields": None}, {"season": "summer", "size": "042"}),
        ({"customFields": {"size": None, "free": None}}, {"season": "summer", "size": "042", "free": None}),
        ({"customFields": {"season": "", "size": 7}}, {"season": "", "size": 7}),
    ):
        answer = await make_badge(org, **sent)
        badge = success(answer, 201)
        assert badge["customFields"] == expected
        assert answer.json()["warnings"] == []
        assert success(await org.client.get(f"/badgeMeta/{badge['id']}"))["customFields"] == expected


async def test_values_of_a_wrong_type_are_reported_with_other_errors(org: Org) -> None:
    await make_field(org, name="size", dataType="INTEGER")
    await make_field(org, name="sold", dataType="DATE")
    gone = await make_field(org, name="gone", dataType="INTEGER")
    success(await org.client.put(f"/customField/{gone['id']}", json={"isActive": False}))
    values = {"size": "big", "sold": "2026-01-01", "gone": "x", "other": "x"}
    answer = await make_badge(
        org, name=5, expiresOn="2020-01-01T00:00:00Z", badgeGroupId="x", customFields=values
    )
    assert set(failure(answer, 400)) == {
        (400, "name"),
        (400, "badgeGroupId"),
        (720, "startOn"),
        (400, "customFields.size"),
        (400, "customFields.sold"),
    }
    sound = success(await make_badge(org, customFields={**values, "size": "5", "sold": 0}), 201)
    assert sound["customFields"] == {**values, "size": "5", "sold": 0}


async def test_unknown_fields_and_groups_of_a_badge_cause_warnings(org: Org, other_org: Org) -> None:
    await make_field(org, name="known")
    gone = await make_field(org, name="gone")
    success(await org.client.put(f"/customField/{gone['id']}", json={"isActive": False}))
    await make_field(other_org, name="theirs")
    group = (await make_group(other_org))["id"]
    values = {"known": "a", "gone": 1, "theirs": [1], "": None}
    answer = await make_badge(org, customFields=values, badgeGroupId=group)
    badge = success(answer, 201)
    assert (badge["customFields"], badge["badgeGroupId"], badge["badgeGroupName"]) == (values, group, None)
    warnings = answer.json()["warnings"]
    assert [(warning["code"], warning["reference"]) for warning in warnings] == [
        (400, "customFields.theirs"),
        (400, "customFields."),
        (400, "badgeGroupId"),
    ]
    assert "No custom field has this name" in warnings[0]["message"]
    assert "no such badge group" in warnings[2]["message"]


async def test_a_badge_tells_the_name_of_its_group(org: Org) -> None:
    group, other = await make_group(org, name="Socks"), await make_group(org, name="Shoes")
    answer = await make_badge(org, badgeGroupId=group["id"].upper(), description="with a \0 in it")
    assert answer.json()["warnings"] == []
    badge = success(answer, 201)
    await make_badge(org, badgeGroupId=other["id"])
    await make_badge(org)
    assert badge["badgeGroupName"] == "Socks"
    success(await org.client.put(f"/{group['id']}", json={"name": "Warm socks", "isActive": False}))
    assert success(await org.client.get(f"/badgeMeta/{badge['id']}"))["badgeGroupName"] == "Warm socks"
    listed = success(await org.client.get("/badgeMeta"))["metaBasicDetails"]
    assert [row["badgeGroupName"] for row in listed] == [None, "Shoes", "Warm socks"]


async def test_badge_service_checks_custom_fields_for_every_caller(org: Org) -> None:
    await make_field(org, name="size", dataType="INTEGER", isMandatory=True, defaultValue=5)
    now = datetime.now(UTC)
    draft = BadgeDraft(
        name=unique(),
        starts_at=now.replace(year=now.year + 1),
        expires_at=now.replace(year=now.year + 2),
        earn_type=EarnType.EARN,
        earned_expiry=NeverExpiry(),
        issued_expiry=None,
        owners=[OwnerType.LOYALTY],
        overlap_policy=None,
        customer_constraints=[],
        badge_constraints=[],
        presentation=Presentation(),
        is_active=True,
    )
    made = await org.services.badges.create(org.caller, draft)
    assert made.draft.presentation.custom_fields == {"size": 5}
    wrong = msgspec.structs.replace(
        draft, expires_at=draft.starts_at, presentation=Presentation(custom_fields={"size": "x"})
    )
    with pytest.raises(InvalidInput) as caught:
        await org.services.badges.create(org.caller, wrong)
    assert [field_error.reference for field_error in caught.value.field_errors()] == [
        "startOn",
        "customFields.size",
    ]


# Org meta


async def test_the_org_meta_is_made_once_and_then_changed(org: Org, other_org: Org) -> None:
    tags = [
        {"key": "colour"},
        {"key": "Colour", "dataType": "DATE", "description": "Of ü", "mandatory": True},
    ]
    defaults = {"dataType": "STRING", "description": None, "mandatory": False}
    for answer in (await org.client.get("/orgMeta"), await org.client.put("/orgMeta", json={"tags": tags})):
        assert failure(answer, 404) == [(404, None)]
        assert message(answer) == "The org has no org meta yet; create it with POST /orgMeta."
    made = success(await org.client.post("/orgMeta", json={"tags": tags}), 201)
    assert is_stamped(made, org)
    assert made["tags"] == [{**defaults, "key": "colour"}, tags[1]]
    again = await org.client.post("/orgMeta", json={"tags": []})
    assert failure(again, 409) == [(409, None)]
    assert message(again) == "The org already has an org meta; change it with PUT /orgMeta."
    assert success(await org.client.get("/orgMeta")) == made
    changed = success(await org.client.put("/orgMeta", json={"tags": [{"key": "b", "mandatory": None}]}))
    assert is_changed(changed, made, tags=[{**defaults, "key": "b"}])
    assert success(await org.client.get("/orgMeta")) == changed
    assert success(await org.client.put("/orgMeta", json={"tags": []}))["tags"] == []
    failure(await other_org.client.get("/orgMeta"), 404)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, ["tags"]),
        ({"tags": None}, ["tags"]),
        ({"tags": {}}, ["tags"]),
        ({"tags": [{}]}, ["tags[0].key"]),
        ({"tags": ["x"]}, ["tags[0]", "tags[0].key"]),
        ({"tags": [{"key": "a"}, {"key": " "}]}, ["tags[1].key"]),
        ({"tags": [{"key": "a\0"}]}, ["tags[0].key"]),
        ({"tags": [{"key": "a"}, {"key": "b"}, {"key": "a"}]}, ["tags[2].key"]),
        ({"tags": [{"key": "a", "dataType": "TEXT"}]}, ["tags[0].dataType"]),
        ({"tags": [{"key": "a", "description": "a\0"}]}, ["tags[0].description"]),
        ({"tags": [{"key": "a", "description": "x" * 10_001}]}, ["tags[0].description"]),
        (
            {"tags": [{"key": "a", "mandatory": 1}, {"key": 5}, {"key": "a"}]},
            ["tags[0].mandatory", "tags[1].key", "tags[2].key"],
        ),
        ({"tags": [{"key": str(number)} for number in range(101)]}, ["tags"]),
    ],
)
async def test_all_errors_of_an_org_meta_are_reported(
    shared_org: Org, sent: dict[str, Any], expected: list[str]
) -> None:
    told = [(400, reference) for reference in expected]
    assert failure(await shared_org.client.post("/orgMeta", json=sent), 400) == told
    assert failure(await shared_org.client.put("/orgMeta", json=sent), 400) == told


async def test_a_hundred_tags_are_taken(org: Org) -> None:
    tags = [{"key": str(number)} for number in range(100)]
    assert len(success(await org.client.post("/orgMeta", json={"tags": tags}), 201)["tags"]) == 100


# Who may


async def test_metadata_of_another_org_is_invisible(shared_org: Org, other_org: Org) -> None:
    group, field = await make_group(shared_org), await make_field(shared_org)
    client = other_org.client
    failure(await client.get(f"/group/{group['id']}"), 404)
    failure(await client.put(f"/{group['id']}", json={"name": "x"}), 404)
    failure(await client.get(f"/customField/{field['id']}"), 404)
    failure(await client.put(f"/customField/{field['id']}", json={"name": "x"}), 404)
    assert success(await client.get("/group"))["pagination"]["total"] == 0
    assert success(await client.get("/customField"))["pagination"]["total"] == 0
    assert success(await shared_org.client.get(f"/group/{group['id']}")) == group
    assert success(await shared_org.client.get(f"/customField/{field['id']}")) == field


async def test_read_only_credential_changes_nothing(org: Org) -> None:
    group = await make_group(org)
    reader = await org.services.auth.create_credential(
        org.caller.org_id, unique("reader"), access_group=AccessGroup.READ_ONLY
    )
    async with client_for(org.services, reader) as client:
        assert success(await client.get(f"/group/{group['id']}")) == group
        for answer in (
            await client.post("/group", json={"name": "x"}),
            await client.put(f"/{group['id']}", json={"name": "x"}),
            await client.post("/customField", json={"name": "x", "dataType": "DATE"}),
            await client.post("/orgMeta", json={"tags": []}),
            await client.put("/orgMeta", json={"tags": []}),
            await client.put("/customers/identifiers", json={}),
        ):
            assert failure(answer, 403) == [(403, None)]


@pytest.mark.parametrize("path", ["/group", "/customField"])
@pytest.mark.parametrize(("name", "value"), [("page", "-1"), ("page", "x"), ("size", "0"), ("size", "1001")])
async def test_invalid_page_is_reported_by_its_parameter(
    shared_org: Org, path: str, name: str, value: str
) -> None:
    assert failure(await shared_org.client.get(path, params={name: value}), 400) == [(400, name)]
