"""An org with something of everything in it, and cases of schemathesis that are about what is there."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import httpx
from msgspec import Struct
from schemathesis import Case

from tests.acceptance.service import Service, earn_bulk, make_badge, query
from tests.support import REFERENCE, TRIGGER, badge_body, earn_bulk_body

CUSTOMERS = list(range(1, 21))
LIMITS = [
    {"constraintType": "CUSTOMER_BADGE_FIXED_WINDOW", "maxEarnLimit": 2, "durationType": "MONTHS"},
    {"constraintType": "CUSTOMER_BADGE_ROLLING_WINDOW", "maxEarnForDays": 2, "rollForDays": 30},
]
LIMIT = {"constraintType": "BADGE_FIXED_WINDOW", "maxEarnLimit": 50, "durationType": "DAYS"}
HOOK = {"url": "https://localhost/hooks"}
"""A URL without a server."""
SETTLED = 0.6
"""Probability that a generated value is replaced by an existing one."""
SOUND = 0.5
"""Probability that a body is replaced by a valid one."""
JOBS = 20
LEFT = 0.2
"""Probability that a field of such a body keeps its generated value."""


class World(Struct, frozen=True):
    """The caller, and values that exist, by the names of fields and parameters."""

    username: str
    secret: str
    known: Mapping[str, list[Any]]
    doomed: Mapping[str, list[Any]]
    """Values for calls that delete, so that the other calls keep theirs."""
    sound: Mapping[str, list[dict[str, Any]]]
    """Bodies that would be taken, by path."""


def make_world(service: Service) -> World:
    """An org of its own, which the cases may do anything to."""
    made = service.make_org(f"fuzz-{time.time_ns()}")
    with service.client(made["username"], made["secret"]) as client:
        known, sound = _fill(client)
        doomed = {"webhook_id": [_make_webhook(client) for _ in range(3)]}
        known["job_id"] = _paused_jobs(client, service, known["badge_id"][0])
    known |= {"key": [made["clientKey"]], "secret": [made["clientSecret"]]}
    return World(made["username"], made["secret"], known, doomed, sound)


def _paused_jobs(client: httpx.Client, service: Service, badge_id: str) -> list[str]:
    """Jobs that can be paused and resumed, though they have nothing left to do, and as many that are cancelled.

    Cases of one operation choose the same as those of another, so whatever is resumed is completed when it is cancelled.
    """
    place, sent = "/customer/earnBulk/jobs", {"badgeMetaId": badge_id, **TRIGGER}
    csv = {"Content-Type": "text/csv"}
    jobs = [_made(client.post(place, params=sent, content="1", headers=csv)) for _ in range(JOBS)]
    while {job["state"] for job in _made(client.get(place, params={"size": JOBS}))["jobs"]} != {"completed"}:
        time.sleep(0.05)
    stop = (
        "update job set finished_at = null, state = case job_key % 2 when 0 then 'paused' else 'cancelled' end"
        " where badge_id = $1"
    )
    query(service.database_url, stop, badge_id)
    return [job["jobId"] for job in jobs]


def settle(case: Case, world: World) -> None:
    """Exchange much of what the case names for what is there; the same case is always changed alike."""
    known = {**world.known, **world.doomed} if case.method == "DELETE" else world.known
    chance = random.Random(repr((case.path_parameters, case.query, case.headers, case.body)))
    for part in (case.path_parameters, case.query, case.headers, case.body):
        _settle(part, known, chance)
    if case.path.endswith("/jobs") and isinstance(case.body, str) and chance.random() < SOUND:
        case.body = "1\n2\nnobody\n"
    for path, bodies in world.sound.items():
        if case.path.endswith(path) and isinstance(case.body, dict) and chance.random() < SOUND:
            left = {
                name: value
                for name, value in case.body.items()
                if name == "name" or chance.random() < LEFT  # two badges cannot have the same
            }
            case.body = {**chance.choice(bodies), **left}


def _settle(value: Any, known: Mapping[str, list[Any]], chance: random.Random) -> None:
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            _settle(item, known, chance)
    elif isinstance(value, MutableMapping):
        fields = cast("MutableMapping[str, Any]", value)
        for name in list(fields):
            if name in known and chance.random() < SETTLED:
                fields[name] = chance.choice(known[name])
            else:
                _settle(fields[name], known, chance)


def _fill(client: httpx.Client) -> tuple[dict[str, list[Any]], dict[str, list[dict[str, Any]]]]:
    """Something of everything; how to name it, and what can be done with it."""
    _made(client.post("/orgMeta", json={"tags": [{"key": "colour"}]}))
    group_id = _made(client.post("/group", json={"name": "Socks", "rank": 1}))["id"]
    field_id = _made(client.post("/customField", json={"name": "size", "dataType": "INTEGER"}))["id"]
    badges = [
        make_badge(client, badgeGroupId=group_id, customFields={"size": 1}, overlapPolicy="ALLOW"),
        make_badge(
            client, earnType="ISSUE_EARN", issuedBadgeExpiry={"expiryType": "NEVER"}, overlapPolicy="ALLOW"
        ),
        make_badge(client, customerConstraints=LIMITS, badgeConstraints=[LIMIT]),
    ]
    enrolled = {"badgeMetaId": badges[1], "customers": CUSTOMERS[:10], "triggeredBy": TRIGGER}
    enrolments = _made(client.post("/badgeMeta/customer/issueBulk", json=enrolled))["issuedBadges"]
    answers = [_made(earn_bulk(client, badge, CUSTOMERS[:10], requestId=f"of {badge}")) for badge in badges]
    identifiers = [{"customerId": 1, "type": "email", "value": "a@example.org"}]
    _made(client.put("/customers/identifiers", json={"identifiers": identifiers}))
    earned = [
        {"badgeMetaId": badge, "customerId": entry["customerId"], "earnedBadgeId": entry["issuedId"]}
        for badge, answer in zip(badges, answers, strict=True)
        for entry in answer["issuedBadges"]
    ]
    window = _made(client.get(f"/badgeMeta/{badges[2]}"))["customerConstraints"][0]["referenceId"]
    known = {
        **dict.fromkeys(("badge_id", "badgeMetaId"), badges),
        "id": [*badges, badges[0].upper()],
        **{key: [group_id] for key in ("group_id", "groupId", "badgeGroupId")},
        "field_id": [field_id],
        "webhook_id": [_make_webhook(client)],
        **{key: [*map(str, CUSTOMERS), "a@example.org"] for key in ("customer_id", "customerId")},
        **{key: [CUSTOMERS, CUSTOMERS[5:15], [1], ["2", 3]] for key in ("customerIds", "customers")},
        "earnedBadgeId": [each["earnedBadgeId"] for each in earned],
        "issueId": [entry["issuedId"] for entry in enrolments],
        "X-CAP-CUSTOMER-IDENTIFIER": ["email"],
        "fixedWindowCycleReferenceId": [window],
        **{key: ["Loyalty"] for key in ("ownerType", "owner", "claimedBy")},
        "referenceId": [REFERENCE],
        "triggeredBy": [TRIGGER],
        "requestId": [f"of {badge}" for badge in badges],
        "X-CAP-BADGES-MIGRATION": ["migration"],
    }
    sound = {
        "/customer/earnBulk": [
            earn_bulk_body(badge, [customer, customer + 1]) for badge in badges for customer in CUSTOMERS
        ],
        "/customer/earn": [
            {"badgeMetaId": badge, "customerId": customer, "triggeredBy": TRIGGER}
            for badge in badges
            for customer in CUSTOMERS
        ],
        "/customer/revokeEarn": earned,
        "/customer/issueBulk": [{**enrolled, "customers": [customer]} for customer in CUSTOMERS],
        "/badgeMeta": [
            _without_name(badge_body(startOn=time.time(), customerConstraints=LIMITS)),
            {"id": badges[0], "name": "changed"},
        ],
        "/customers/identifiers": [{"identifiers": identifiers}],
        "/orgMeta": [{"tags": [{"key": "size"}]}],
        "/webhooks": [HOOK],
    }
    return known, sound


def _make_webhook(client: httpx.Client) -> str:
    return _made(client.post("/webhooks", json=HOOK))["id"]


def _without_name(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "name"}


def _made(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()["data"]
