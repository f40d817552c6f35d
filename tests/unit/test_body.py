"""Decoding of bodies: commands, and all errors with code and path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Struct

from cockade.api.badge.schemas import BadgeBody, ClaimBody, to_draft
from cockade.api.badge_import.schemas import ImportBody, to_row
from cockade.api.earning.schemas import EarnBulkBody, to_command
from cockade.api.token.schemas import TokenBody
from cockade.badge.model import BadgeDraft
from cockade.config import Config
from cockade.errors import FIELD_ERRORS_MAX, FieldError, InvalidInput
from cockade.http import decoding as body
from cockade.http.context import RequestContext
from cockade.http.decoding import MISSING
from cockade.http.request import JsonArrayBody
from cockade.request.model import IssueCommand

CONFIG = Config(max_customers_per_request=150)
BADGE_ID = "653de334b3cda7078c7c68eb"
EARN_BULK: dict[str, Any] = {
    "badgeMetaId": BADGE_ID,
    "customerIds": [62090013, 553162563],
    "triggeredBy": {"ownerType": "Loyalty", "referenceId": "123457"},
}
BADGE: dict[str, Any] = {
    "name": "Sock Collector",
    "startOn": "2026-01-01T00:00:00Z",
    "expiresOn": "2035-12-31T23:59:59Z",
    "earnType": "EARN",
    "earnedBadgeExpiry": {"expiryType": "NEVER"},
    "ownership": {"restrictedToOwners": ["Loyalty"]},
}
ABSENT = object()


def read_earn_bulk(raw: bytes, *, header: str | None = None) -> IssueCommand:
    context = RequestContext(header, datetime(2026, 1, 1, tzinfo=UTC))
    return body.read(
        raw, EarnBulkBody, lambda wire, field_errors: to_command(wire, context, CONFIG, field_errors)
    )


def read_badge(raw: bytes) -> BadgeDraft:
    return body.read(raw, BadgeBody, to_draft)


def encoded(valid: dict[str, Any], changes: dict[str, Any]) -> bytes:
    """Return the valid body with changes. ABSENT removes a field."""
    return json.dumps(
        {name: value for name, value in {**valid, **changes}.items() if value is not ABSENT}
    ).encode()


def errors_of(read: Callable[[bytes], object], raw: bytes) -> list[FieldError]:
    with pytest.raises(InvalidInput) as caught:
        read(raw)
    return caught.value.field_errors()


def summary(field_errors: list[FieldError]) -> list[tuple[int, str | None]]:
    return [(field_error.code, field_error.reference) for field_error in field_errors]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{'a': 1}",
        b'{"badgeMetaId": NaN}',
        b'{"badgeMetaId": 1e400}',
        b'{"badgeMetaId": Infinity}',
        b'{"badgeMetaId": "\xff"}',
        b'{"\xff": 1}',
        b'{"badgeMetaId": "\\ud800"}',
        b'{"badgeMetaId": "\\ud800\\u0041"}',
        b'{"badgeMetaId": 1, "other": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"badgeMetaId": "' + BADGE_ID.encode() + b'"} more',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"badgeMetaId": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"badgeMetaId": ' + b"9" * 5_000 + b"}",
    ],
)
def test_invalid_json_is_one_error_of_the_body(raw: bytes) -> None:
    field_errors = errors_of(read_earn_bulk, raw)
    assert summary(field_errors) == [(400, None)]
    assert "JSON" in field_errors[0].message


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"text"', b"true", b"[{}]"])
def test_body_that_is_not_an_object_reports_its_missing_fields(raw: bytes) -> None:
    expected = [(400, None), (715, "badgeMetaId"), (716, "triggeredBy"), (812, "customerIds")]
    assert summary(errors_of(read_earn_bulk, raw)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"badgeMetaId": ABSENT}, [(715, "badgeMetaId")]),
        ({"badgeMetaId": None}, [(715, "badgeMetaId")]),
        ({"badgeMetaId": ""}, [(715, "badgeMetaId")]),
        ({"badgeMetaId": 5}, [(400, "badgeMetaId")]),
        ({"badgeMetaId": {"id": 5}}, [(400, "badgeMetaId")]),
        ({"customerIds": ABSENT}, [(812, "customerIds")]),
        ({"customerIds": None}, [(812, "customerIds")]),
        ({"customerIds": []}, [(812, "customerIds")]),
        ({"customerIds": ""}, [(812, "customerIds")]),
        ({"customerIds": 5}, [(400, "customerIds")]),
        ({"customerIds": "5"}, [(400, "customerIds")]),
        ({"customerIds": {"0": 5}}, [(400, "customerIds")]),
        ({"customerIds": [0]}, [(400, "customerIds[0]")]),
        ({"customerIds": [1, -1]}, [(400, "customerIds[1]")]),
        ({"customerIds": [2**63 - 1, 2**63]}, [(400, "customerIds[1]")]),
        ({"customerIds": [10**30]}, [(400, "customerIds[0]")]),
        ({"customerIds": [True]}, [(400, "customerIds[0]")]),
        ({"customerIds": [1.0]}, [(400, "customerIds[0]")]),
        ({"customerIds": [1.5]}, [(400, "customerIds[0]")]),
        ({"customerIds": [None]}, [(400, "customerIds[0]")]),
        ({"customerIds": [[1]]}, [(400, "customerIds[0]")]),
        ({"customerIds": [{}]}, [(400, "customerIds[0]")]),
        ({"customerIds": [""]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["0"]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["five"]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["1.0"]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["-1"]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["+1"]}, [(400, "customerIds[0]")]),
        ({"customerIds": [" 1"]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["1\n"]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["٣"]}, [(400, "customerIds[0]")]),
        ({"customerIds": [str(2**63)]}, [(400, "customerIds[0]")]),
        ({"customerIds": ["1" * 20]}, [(400, "customerIds[0]")]),
        ({"customerIds": [1, True, 2, "x", 3, 0]}, [(400, f"customerIds[{index}]") for index in (1, 3, 5)]),
        # Indexes are those of the body, even after an item that cannot be decoded.
        ({"customerIds": [True, 1, "0"]}, [(400, "customerIds[0]"), (400, "customerIds[2]")]),
        ({"customerIds": list(range(1, 152))}, [(400, "customerIds")]),
        ({"customerIds": [*range(1, 151), "x"]}, [(400, "customerIds[150]"), (400, "customerIds")]),
        ({"triggeredBy": ABSENT}, [(716, "triggeredBy")]),
        ({"triggeredBy": None}, [(716, "triggeredBy")]),
        ({"triggeredBy": {}}, [(716, "triggeredBy")]),
        (
            {"triggeredBy": "Loyalty"},
            [(400, "triggeredBy"), (716, "triggeredBy.ownerType"), (717, "triggeredBy.referenceId")],
        ),
        ({"triggeredBy": {"referenceId": "1"}}, [(716, "triggeredBy.ownerType")]),
        ({"triggeredBy": {"ownerType": "", "referenceId": "1"}}, [(716, "triggeredBy.ownerType")]),
        ({"triggeredBy": {"ownerType": "loyalty", "referenceId": "1"}}, [(400, "triggeredBy.ownerType")]),
        ({"triggeredBy": {"ownerType": 1, "referenceId": "1"}}, [(400, "triggeredBy.ownerType")]),
        ({"triggeredBy": {"ownerType": "Loyalty"}}, [(717, "triggeredBy.referenceId")]),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": ""}}, [(717, "triggeredBy.referenceId")]),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": None}}, [(717, "triggeredBy.referenceId")]),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": 5}}, [(400, "triggeredBy.referenceId")]),
        ({"triggeredBy": {"ownerType": "Loyalty", "referenceId": "a\0"}}, [(400, "triggeredBy.referenceId")]),
        ({"requestId": ""}, [(400, "requestId")]),
        ({"requestId": "x" * 256}, [(400, "requestId")]),
        ({"requestId": "a\0b"}, [(400, "requestId")]),
        ({"requestId": 1.5}, [(400, "requestId")]),
        ({"requestId": True}, [(400, "requestId")]),
        ({"requestId": ["1"]}, [(400, "requestId")]),
        ({"requestId": 10**300}, [(400, "requestId")]),
        ({"earnEventDate": "yesterday"}, [(400, "earnEventDate")]),
        ({"earnEventDate": ""}, [(400, "earnEventDate")]),
        ({"earnEventDate": True}, [(400, "earnEventDate")]),
        ({"earnEventDate": [1]}, [(400, "earnEventDate")]),
        ({"earnEventDate": "2023-11-03"}, [(400, "earnEventDate")]),
        ({"earnEventDateISO": "2023-11-03T21:51:00"}, [(400, "earnEventDateISO")]),
        ({"earnEvenrDate": -1}, [(400, "earnEvenrDate")]),
        ({"earnEvenrDateISO": "x"}, [(400, "earnEvenrDateISO")]),
        ({"issueEventDate": 1e300}, [(400, "issueEventDate")]),
        ({"issueEventDateISO": {}}, [(400, "issueEventDateISO")]),
        ({"earnEventDate": 1_700_000_000, "issueEventDate": 1_700_000_001}, [(400, "issueEventDate")]),
        (
            {"earnEventDate": 1_700_000_000, "earnEvenrDateISO": "2023-01-01T00:00Z"},
            [(400, "earnEvenrDateISO")],
        ),
        (
            {
                "badgeMetaId": ABSENT,
                "customerIds": ["x"],
                "triggeredBy": {},
                "requestId": "",
                "earnEventDate": "x",
            },
            [
                (715, "badgeMetaId"),
                (400, "customerIds[0]"),
                (716, "triggeredBy"),
                (400, "requestId"),
                (400, "earnEventDate"),
            ],
        ),
    ],
)
def test_all_errors_of_an_earn_bulk_are_reported(
    changes: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    assert sorted(summary(errors_of(read_earn_bulk, encoded(EARN_BULK, changes)))) == sorted(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ABSENT}, [(400, "name")]),
        ({"name": ""}, [(400, "name")]),
        ({"name": "x" * 256}, [(400, "name")]),
        ({"name": "a\0"}, [(400, "name")]),
        ({"name": 5}, [(400, "name")]),
        ({"startOn": ABSENT}, [(400, "startOn")]),
        ({"startOn": None}, [(400, "startOn")]),
        ({"startOn": "2026-01-01"}, [(400, "startOn")]),
        ({"startOn": False}, [(400, "startOn")]),
        ({"startOnISO": "soon"}, [(400, "startOnISO")]),
        ({"expiresOn": ABSENT}, [(400, "expiresOn")]),
        ({"expiresOn": ABSENT, "expiresOnISO": 5e300}, [(400, "expiresOnISO")]),
        ({"earnType": ABSENT}, [(400, "earnType")]),
        ({"earnType": "earn"}, [(400, "earnType")]),
        ({"earnedBadgeExpiry": ABSENT}, [(400, "earnedBadgeExpiry")]),
        ({"earnedBadgeExpiry": {}}, [(400, "earnedBadgeExpiry")]),
        ({"earnedBadgeExpiry": []}, [(400, "earnedBadgeExpiry")]),
        ({"earnedBadgeExpiry": "NEVER"}, [(400, "earnedBadgeExpiry"), (400, "earnedBadgeExpiry.expiryType")]),
        ({"earnedBadgeExpiry": {"value": 1}}, [(400, "earnedBadgeExpiry.expiryType")]),
        ({"earnedBadgeExpiry": {"expiryType": "ALWAYS"}}, [(400, "earnedBadgeExpiry.expiryType")]),
        (
            {"earnedBadgeExpiry": {"expiryType": "RELATIVE", "value": 1}},
            [(400, "earnedBadgeExpiry.relativeExpirytype")],
        ),
        *(
            (
                {"earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": unit, "value": value}},
                [(400, "earnedBadgeExpiry.value")],
            )
            for unit, value in [
                ("DAYS", None),
                ("DAYS", 0),
                ("DAYS", -1),
                ("DAYS", 1.5),
                ("DAYS", "1"),
                ("DAYS", 36_526),
                ("WEEKS", 5_219),
                ("MONTHS", 1_201),
                ("MONTHS", 10**30),
            ]
        ),
        (
            {"issuedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpiryType": "DAYS"}},
            [(400, "issuedBadgeExpiry.value")],
        ),
        ({"earnedBadgeExpiry": {"expiryType": "ABSOLUTE"}}, [(400, "earnedBadgeExpiry.type")]),
        (
            {"earnedBadgeExpiry": {"expiryType": "ABSOLUTE", "type": "FIXED_DATE"}},
            [(400, "earnedBadgeExpiry.expiresOn")],
        ),
        (
            {"earnedBadgeExpiry": {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": "x"}},
            [(400, "earnedBadgeExpiry.expiresOn")],
        ),
        ({"ownership": ABSENT}, [(727, "ownership")]),
        ({"ownership": None}, [(727, "ownership")]),
        ({"ownership": {}}, [(727, "ownership")]),
        ({"ownership": {"claims": []}}, [(728, "ownership.restrictedToOwners")]),
        ({"ownership": {"restrictedToOwners": []}}, [(728, "ownership.restrictedToOwners")]),
        ({"ownership": {"restrictedToOwners": None}}, [(728, "ownership.restrictedToOwners")]),
        ({"ownership": {"restrictedToOwners": "Loyalty"}}, [(400, "ownership.restrictedToOwners")]),
        (
            {"ownership": {"restrictedToOwners": ["Loyalty", "loyalty", 5]}},
            [(400, "ownership.restrictedToOwners[1]"), (400, "ownership.restrictedToOwners[2]")],
        ),
        ({"description": "x" * 10_001}, [(400, "description")]),
        ({"images": [{"tag": "EARNED"}, {"tag": "LATE"}]}, [(400, "images[1].tag")]),
        ({"images": ["a.png"]}, [(400, "images[0]")]),
        ({"benefits": [{}]}, [(400, "benefits[0].benefitType")]),
        ({"benefits": [{"benefitType": "COUPON"}]}, [(400, "benefits[0].seriesId")]),
        ({"benefits": [{"benefitType": "COUPON", "seriesId": ""}]}, [(400, "benefits[0].seriesId")]),
        (
            {"benefits": [{"benefitType": "LOYALTY_POINTS", "programId": 1, "expirationStrategyId": "e"}]},
            [
                (400, "benefits[0].points"),
                (400, "benefits[0].promotionId"),
                (400, "benefits[0].allocationStrategyId"),
            ],
        ),
        ({"benefits": [{"benefitType": "COUPON", "seriesId": 1}] * 11}, [(400, "benefits")]),
        (
            {"name": "", "benefits": [{"benefitType": "COUPON", "seriesId": 1}] * 11},
            [(400, "name"), (400, "benefits")],
        ),
        ({"tags": [{"value": 1}]}, [(400, "tags[0].name")]),
        ({"badgeGroupId": "x"}, [(400, "badgeGroupId")]),
        ({"badgeGroupId": "a" * 24 + "\n"}, [(400, "badgeGroupId")]),
        ({"badgeRank": -1}, [(400, "badgeRank")]),
        ({"badgeRank": 2**31}, [(400, "badgeRank")]),
        ({"defaultTillId": 2**63}, [(400, "defaultTillId")]),
        ({"customFields": []}, [(400, "customFields")]),
        ({"active": "yes"}, [(400, "active")]),
        ({"active": True, "isActive": False}, [(400, "isActive")]),
        ({"overlapPolicy": "SOMETIMES"}, [(400, "overlapPolicy")]),
        ({"customerConstraints": {}}, [(400, "customerConstraints")]),
        ({"customerConstraints": [{}]}, [(400, "customerConstraints[0].constraintType")]),
        (
            {"customerConstraints": [5]},
            [(400, "customerConstraints[0]"), (400, "customerConstraints[0].constraintType")],
        ),
        ({"badgeConstraints": [{"maxEarnLimit": 1}]}, [(400, "badgeConstraints[0].constraintType")]),
        ({"badgeConstraints": [{"constraintType": "NONE"}]}, [(400, "badgeConstraints[0].constraintType")]),
        (
            {"customerConstraints": [{"constraintType": "BADGE_NO_LIMIT"}]},
            [(400, "customerConstraints[0].constraintType")],
        ),
        (
            {"badgeConstraints": [{"constraintType": "CUSTOMER_BADGE_NO_LIMIT"}]},
            [(400, "badgeConstraints[0].constraintType")],
        ),
        (
            {"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": 0}]},
            [(400, "customerConstraints[0].maxEarnLimit")],
        ),
        (
            {"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "rollForWeeks": 1}]},
            [(400, "customerConstraints[0].maxEarnForWeeks")],
        ),
        (
            {"badgeConstraints": [{"constraintType": "BADGE_ROLLING_WINDOW"}]},
            [
                (400, "badgeConstraints[0].rollType"),
                (400, "badgeConstraints[0].rollValue"),
                (400, "badgeConstraints[0].maxEarnLimit"),
            ],
        ),
        (
            {"name": "", "startOn": "x", "earnType": "x", "ownership": {"restrictedToOwners": []}},
            [(400, "name"), (400, "startOn"), (400, "earnType"), (728, "ownership.restrictedToOwners")],
        ),
    ],
)
def test_all_errors_of_a_badge_are_reported(changes: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    field_errors = summary(errors_of(read_badge, encoded(BADGE, changes)))
    # The next test checks that a field is reported once.
    assert sorted(set(field_errors), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "DAYS", "value": "1"}},
            "earnedBadgeExpiry.value",
        ),
        (
            {"earnedBadgeExpiry": {"expiryType": "RELATIVE", "relativeExpirytype": "HOURS", "value": 1}},
            "earnedBadgeExpiry.relativeExpirytype",
        ),
        ({"earnedBadgeExpiry": {"expiryType": "ABSOLUTE", "type": "FIXED"}}, "earnedBadgeExpiry.type"),
        (
            {"earnedBadgeExpiry": {"expiryType": "ABSOLUTE", "type": "FIXED_DATE", "expiresOn": True}},
            "earnedBadgeExpiry.expiresOn",
        ),
        ({"benefits": [{"benefitType": "COUPON", "seriesId": ""}]}, "benefits[0].seriesId"),
        (
            {"customerConstraints": [{"constraintType": "CUSTOMER_BADGE_FIXED_VALUE", "maxEarnLimit": "1"}]},
            "customerConstraints[0].maxEarnLimit",
        ),
        ({"startOn": ABSENT, "startOnISO": True}, "startOnISO"),
        ({"expiresOn": True}, "expiresOn"),
    ],
)
def test_undecodable_field_is_reported_once(changes: dict[str, Any], expected: str) -> None:
    assert summary(errors_of(read_badge, encoded(BADGE, changes))) == [(400, expected)]


@pytest.mark.parametrize(
    ("shape", "sent", "expected"),
    [
        (ClaimBody, {}, [(716, "ownerType"), (717, "referenceId")]),
        (ClaimBody, {"ownerType": "Loyalty"}, [(717, "referenceId")]),
        (ClaimBody, {"ownerType": "x", "referenceId": "x" * 256}, [(400, "ownerType"), (400, "referenceId")]),
        (TokenBody, {}, [(400, "key"), (400, "secret")]),
        (TokenBody, {"key": "\0", "secret": 5}, [(400, "key"), (400, "secret")]),
    ],
)
def test_all_errors_of_the_smaller_bodies_are_reported(
    shape: type[Struct], sent: dict[str, Any], expected: list[tuple[int, str]]
) -> None:
    field_errors = errors_of(
        lambda raw: body.read(raw, shape, lambda wire, _: wire), json.dumps(sent).encode()
    )
    assert summary(field_errors) == expected


def test_at_most_100_errors_are_reported() -> None:
    field_errors = errors_of(read_earn_bulk, encoded(EARN_BULK, {"customerIds": [0] * 140}))
    assert summary(field_errors) == [(400, f"customerIds[{index}]") for index in range(FIELD_ERRORS_MAX)]


@pytest.mark.parametrize(
    ("read", "valid", "changes", "expected"),
    [
        (read_earn_bulk, EARN_BULK, {"badgeMetaId": ""}, "Badge id is mandatory."),
        (read_earn_bulk, EARN_BULK, {"customerIds": []}, "CustomerId information is missing."),
        (read_earn_bulk, EARN_BULK, {"triggeredBy": {}}, "Owner type information is missing."),
        (
            read_earn_bulk,
            EARN_BULK,
            {"triggeredBy": {"ownerType": "Loyalty"}},
            "OwnerId is mandatory.",
        ),
        (read_badge, BADGE, {"ownership": None}, "Owner info is mandatory."),
        (read_badge, BADGE, {"ownership": {"restrictedToOwners": []}}, "At least one owner is required."),
        (read_badge, BADGE, {"earnType": "EARNED"}, "Must be one of EARN, ISSUE_EARN."),
        (read_badge, BADGE, {"overlapPolicy": "x"}, "Must be one of ALLOW, REJECT."),
        (
            read_badge,
            BADGE,
            {"images": [{"tag": "x"}]},
            "Must be one of UN_EARNED, IN_PROGRESS, EARNED.",
        ),
        (
            read_earn_bulk,
            EARN_BULK,
            {"triggeredBy": {"ownerType": "LOYALTY", "referenceId": "1"}},
            "Must be one of Loyalty, Loyalty_Promotion, Referral_Campaigns, Journeys, Audience_Campaigns, "
            "Rewards_Catalog, Goodwill_Module, Milestones, Historical_Import.",
        ),
        (
            read_earn_bulk,
            EARN_BULK,
            {"customerIds": [True]},
            "A customer id must be an integer between 1 and 9223372036854775807.",
        ),
        (
            read_earn_bulk,
            EARN_BULK,
            {"customerIds": list(range(1, 152))},
            "customerIds has 151 entries, the maximum is 150 (COCKADE_MAX_CUSTOMERS_PER_REQUEST). "
            "Send the rest in further requests.",
        ),
        (read_earn_bulk, EARN_BULK, {"badgeMetaId": 5}, "Expected text, got an integer."),
        (read_badge, BADGE, {"name": 5}, "Expected text, got an integer."),
        (read_badge, BADGE, {"name": "x" * 256}, "Expected text of length <= 255."),
        (read_badge, BADGE, {"badgeRank": -1}, "Expected an integer >= 0."),
        (
            read_earn_bulk,
            EARN_BULK,
            {"earnEventDate": "2023-11-03"},
            "The time has no offset; add Z or an offset such as +02:00.",
        ),
    ],
)
def test_error_messages_are_helpful(
    read: Callable[[bytes], object], valid: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    assert [field_error.message for field_error in errors_of(read, encoded(valid, changes))] == [expected]


@pytest.mark.parametrize("spelling", ["earnEventDate", "earnEvenrDate", "issueEventDate"])
@pytest.mark.parametrize("twin", ["", "ISO"])
@pytest.mark.parametrize(
    "value",
    ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20.000+01:00", 1_700_000_000, "1700000000", 1_700_000_000_000],
)
def test_event_date_is_accepted_in_every_format(spelling: str, twin: str, value: object) -> None:
    command = read_earn_bulk(encoded(EARN_BULK, {spelling + twin: value}))
    assert command.event_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"earnEventDate": None, "issueEventDateISO": None}, None),
        ({"earnEventDate": 1, "earnEvenrDate": "1970-01-01T00:00:01Z", "issueEventDate": "1"}, 1),
        ({"earnEventDate": 1, "earnEventDateISO": "1970-01-01T00:00:02Z"}, 2),
        ({"earnEventDate": "nonsense", "earnEventDateISO": "1970-01-01T00:00:02Z"}, 2),
        ({"earnEventDate": 1, "earnEventDateISO": "1970-01-01T00:00:02Z", "issueEventDate": 2}, 2),
    ],
)
def test_iso_twin_has_precedence(changes: dict[str, Any], expected: int | None) -> None:
    event_at = read_earn_bulk(encoded(EARN_BULK, changes)).event_at
    assert event_at == (None if expected is None else datetime.fromtimestamp(expected, UTC))


@pytest.mark.parametrize(
    ("changes", "header", "expected"),
    [
        ({"requestId": "1234"}, None, "1234"),
        ({"requestId": 1234}, None, "1234"),
        ({"requestId": 10**40}, None, "1" + "0" * 40),
        ({"requestId": -1}, None, "-1"),
        ({"requestId": " é "}, None, " é "),
        ({"requestId": "x" * 255}, "header", "x" * 255),
        ({"requestId": None}, "header", "header"),
        ({}, "header", "header"),
    ],
)
def test_request_id_is_from_the_body_else_from_the_header(
    changes: dict[str, Any], header: str | None, expected: str
) -> None:
    assert read_earn_bulk(encoded(EARN_BULK, changes), header=header).request_id == expected


def test_request_id_is_generated_if_missing() -> None:
    request_ids = {read_earn_bulk(encoded(EARN_BULK, {})).request_id for _ in range(20)}
    assert len(request_ids) == 20
    assert all(request_ids)


def test_invalid_request_id_header_is_reported_only_if_it_is_used() -> None:
    raw = encoded(EARN_BULK, {})
    field_errors = errors_of(lambda body: read_earn_bulk(body, header="x" * 256), raw)
    assert summary(field_errors) == [(400, "X-CAP-REQUEST-ID")]
    assert read_earn_bulk(encoded(EARN_BULK, {"requestId": "1"}), header="x" * 256).request_id == "1"


def test_customers_are_distinct_in_the_order_of_first_occurrence() -> None:
    sent = [5, "5", 3, "007", 7, 2**63 - 1, str(2**63 - 1), 3]
    assert read_earn_bulk(encoded(EARN_BULK, {"customerIds": sent})).customers == [5, 3, 7, 2**63 - 1]


def test_unknown_fields_are_ignored() -> None:
    changes = {"unknown": {"deep": [1, 10**400]}, "triggeredBy": {**EARN_BULK["triggeredBy"], "more": None}}
    assert read_earn_bulk(encoded(EARN_BULK, changes)).badge_id == BADGE_ID


def test_malformed_badge_id_means_unknown_badge() -> None:
    assert read_earn_bulk(encoded(EARN_BULK, {"badgeMetaId": "not-hex"})).badge_id is None
    assert read_earn_bulk(encoded(EARN_BULK, {"badgeMetaId": BADGE_ID.upper()})).badge_id == BADGE_ID


def test_duplicate_owners_are_removed() -> None:
    owners = {"restrictedToOwners": ["Loyalty", "Journeys", "Loyalty"]}
    assert read_badge(encoded(BADGE, {"ownership": owners})).owners == ["Loyalty", "Journeys"]


def test_codes_of_missing_fields_are_those_of_the_contract() -> None:
    assert {name: code for name, (code, _) in MISSING.items()} == {
        "id": 715,
        "badgeMetaId": 715,
        "triggeredBy": 716,
        "ownerType": 716,
        "referenceId": 717,
        "customerIds": 812,
        "customerId": 812,
        "ownership": 727,
        "restrictedToOwners": 728,
    }


async def test_other_requests_run_while_many_rows_are_decoded() -> None:
    """Each invalid row is validated field by field: a hundred thousand take seconds."""
    batches = 5
    raw = json.dumps([{"customerId": "x"}] * batches * body.ITEMS_PER_BATCH).encode()
    reading = asyncio.create_task(JsonArrayBody(raw, ImportBody).read(to_row, 100_000))
    steps = 0
    while not reading.done():
        await asyncio.sleep(0)
        steps += 1
    assert len(reading.result()) == batches * body.ITEMS_PER_BATCH
    assert steps > batches
