"""Clients that issue, retry and revoke, and record every response."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import Struct

from chaos.history import Answer, Badge, Call, History, Outcome, Revocation
from chaos.scenario import TRIGGER, Scenario

BASE_PATH = "/api_gateway/v1/badges"
DAY_S = 86400.0
STEP_S = 6 * 3600
CLIENT_TIMEOUT_S = 90.0
"""Longer than any timeout of the service, so that a hanging request is detected."""
PAUSE_S = 0.3
AUDIENCES = ((0.3, 1, 1), (0.5, 2, 60), (0.2, 60, 400))
"""Probability of each range of audience sizes."""
Received = tuple[Answer, Any]
"""A response, and the data of a success."""


class ApiClient:
    """Sends requests to several addresses of the service with one credential."""

    def __init__(self, origins: Sequence[str], auth: tuple[str, str], chance: random.Random) -> None:
        self._origins = origins
        self._chance = chance
        self._client = httpx.AsyncClient(auth=auth, timeout=CLIENT_TIMEOUT_S)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()

    async def send(self, method: str, path: str, **options: Any) -> Received | None:
        """Send a request to one of the addresses. Return None if the connection was refused, so that nothing
        was sent.
        """
        url = self._chance.choice(self._origins) + BASE_PATH + path
        sent_at = time.time()
        try:
            received = await self._client.request(method, url, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return None
        except httpx.HTTPError as error:
            note = type(error).__name__
            return Answer(outcome=Outcome.UNKNOWN, sent_at=sent_at, answered_at=time.time(), note=note), None
        return _read(received, sent_at)

    async def send_until(self, deadline: float, method: str, path: str, **options: Any) -> Received | None:
        """Send until a connection is accepted. Return None if that does not happen before the deadline."""
        while time.monotonic() < deadline:
            received = await self.send(method, path, **options)
            if received is not None:
                return received
            await asyncio.sleep(PAUSE_S)
        return None


def _read(received: httpx.Response, sent_at: float) -> Received:
    """Interpret a response according to the contract."""
    status, body = received.status_code, None
    try:
        body = received.json()
        outcome = _outcome_of(status, body)
    except (ValueError, KeyError, TypeError, IndexError):
        outcome = Outcome.FAULTY
    failed = outcome in (Outcome.REFUSED, Outcome.UNAVAILABLE)
    answer = Answer(
        outcome=outcome,
        sent_at=sent_at,
        answered_at=time.time(),
        status=status,
        code=body["errors"][0]["code"] if failed and body else None,
        retry_after=received.headers.get("Retry-After", "").isdigit(),
        note=received.text[:300] if outcome is Outcome.FAULTY else "",
    )
    return answer, body["data"] if outcome is Outcome.ACKNOWLEDGED and body else None


def _outcome_of(status: int, body: Any) -> Outcome:
    if status == 200 and body["data"] is not None:
        return Outcome.ACKNOWLEDGED
    if status == 503:
        unknown = "outcome is unknown" in body["errors"][0]["message"]
        return Outcome.UNKNOWN if unknown else Outcome.UNAVAILABLE
    failed = status in (400, 404, 409) and body["errors"][0]["code"]
    return Outcome.REFUSED if failed else Outcome.FAULTY


class Order(Struct, frozen=True, kw_only=True):
    """A request as the client wants it, however often it is sent."""

    request_id: str
    badge_id: str
    audience: list[int]
    event: float | None
    single: bool = False
    """Whether to use earn instead of earnBulk."""
    revocable: bool = False
    """Whether the client may revoke what it issued."""

    def body(self) -> dict[str, Any]:
        """The request body."""
        customers = {"customerId": self.audience[0]} if self.single else {"customerIds": self.audience}
        date = {} if self.event is None else {"earnEventDate": int(self.event)}
        named = {"badgeMetaId": self.badge_id, "requestId": self.request_id, "triggeredBy": TRIGGER}
        return {**named, **customers, **date}

    @property
    def path(self) -> str:
        """The request path."""
        return "/customer/earn" if self.single else "/customer/earnBulk"


class Sender:
    """Sends orders and records the responses."""

    def __init__(self, line: ApiClient, history: History) -> None:
        self._line = line
        self._diary = history

    async def send(self, order: Order, deadline: float) -> Call | None:
        """Send the order once. Return None if no connection was accepted before the deadline."""
        received = await self._line.send_until(deadline, "POST", order.path, json=order.body())
        return None if received is None else self._note(order, received, looked_up=False)

    async def look_up(self, order: Order, deadline: float) -> Call | None:
        """Look the request up."""
        received = await self._line.send_until(
            deadline, "GET", "/requests", params={"requestId": order.request_id}
        )
        return None if received is None else self._note(order, received, looked_up=True)

    async def revoke(self, badge_id: str, customer: int, earned_id: str, deadline: float) -> Answer | None:
        """Revoke one earned badge."""
        body = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": earned_id}
        received = await self._line.send_until(deadline, "POST", "/customer/revokeEarn", json=body)
        if received is None:
            return None
        self._diary.note(
            Revocation(badge_id=badge_id, customer=customer, earned_id=earned_id, answer=received[0])
        )
        return received[0]

    def _note(self, order: Order, received: Received, *, looked_up: bool) -> Call:
        answer, data = received
        earned, failed = _outcome(order, data)
        call = Call(
            request_id=order.request_id,
            badge_id=order.badge_id,
            audience=order.audience,
            event=order.event,
            answer=answer,
            looked_up=looked_up,
            earned=earned,
            failed=failed,
            until=None if data is None else data["expiresOn"],
        )
        self._diary.note(call)
        return call


def _outcome(order: Order, data: Any) -> tuple[dict[int, str], dict[int, int]]:
    """Return who earned what, and which customers failed with which code."""
    if data is None:
        return {}, {}
    if order.single:
        return {data["customerId"]: data["earnedBadgeId"]}, {}
    entries = data["issuedBadges"]
    earned = {entry["customerId"]: entry["issuedId"] for entry in entries if "error" not in entry}
    failed = {entry["customerId"]: entry["error"]["code"] for entry in entries if "error" in entry}
    return earned, failed


class Field:
    """A badge with its customers, from which the next audience is drawn."""

    def __init__(self, scenario: Scenario, badge: Badge, now: datetime) -> None:
        self.scenario = scenario
        self.badge_id = badge.badge_id
        self._now = now
        self._front = 500.0

    def order(self, request_id: str, chance: random.Random) -> Order:
        """Return a request for customers near the front, which advances with the number of requests."""
        [(_, least, most)] = chance.choices(AUDIENCES, [weight for weight, _, _ in AUDIENCES])
        size = chance.randint(least, most)
        span = max(4 * size, 40)
        first = max(1, int(self._front) - chance.randrange(2 * span))
        self._front += size / self.scenario.turnover
        audience = chance.sample(range(first, first + span), size)
        return Order(
            request_id=request_id,
            badge_id=self.badge_id,
            audience=audience,
            event=self._event(chance),
            single=size == 1 and chance.random() < 0.5,
            revocable=self.scenario.revoked,
        )

    def _event(self, chance: random.Random) -> float | None:
        """Return a day in the past. Half of them are full hours, which are edges of windows."""
        if not self.scenario.days_back:
            return None
        recovery_s = chance.randrange(int(self.scenario.days_back * DAY_S))
        if chance.random() < 0.5:
            recovery_s -= recovery_s % STEP_S
        return self._now.astimezone(UTC).timestamp() - recovery_s


class Caller:
    """A client that sends requests continuously."""

    def __init__(self, name: str, sender: Sender, fields: Sequence[Field], chance: random.Random) -> None:
        self._name = name
        self._sender = sender
        self._fields = fields
        self._chance = chance
        self._sent = 0
        self._revocable: list[tuple[str, int, str]] = []
        self.unresolved: dict[str, Order] = {}
        """Orders of unknown outcome, by request id."""
        self.resolved: list[Order] = []
        """Orders that were acknowledged."""

    async def call_until(self, deadline: float, pace_s: float) -> None:
        """Send requests until the deadline, with pauses of about `pace_s`."""
        while time.monotonic() < deadline:
            await self._step(deadline)
            await asyncio.sleep(self._chance.uniform(0, 2 * pace_s))

    async def _step(self, deadline: float) -> None:
        dice = self._chance.random()
        if dice < 0.08:
            await self.revoke(deadline)
        elif dice < 0.12 and self.resolved:
            await self._sender.send(self._chance.choice(self.resolved[-50:]), deadline)
        elif dice < 0.17:
            order = self._next()
            await asyncio.gather(self._issue(order, deadline), self._issue(order, deadline))
        else:
            await self._issue(self._next(), deadline)

    def _next(self) -> Order:
        self._sent += 1
        weights = [field.scenario.share for field in self._fields]
        [field] = self._chance.choices(self._fields, weights)
        return field.order(f"{self._name}-{self._sent}", self._chance)

    async def _issue(self, order: Order, deadline: float) -> None:
        """Send the order, and usually retry it until it is decided."""
        while (call := await self._sender.send(order, deadline)) is not None:
            outcome = call.answer.outcome
            if outcome is Outcome.ACKNOWLEDGED:
                self.resolved.append(order)
                self.unresolved.pop(order.request_id, None)
                self._remember(order, call)
                return
            if outcome is Outcome.UNKNOWN:
                self.unresolved[order.request_id] = order
            if outcome in (Outcome.REFUSED, Outcome.FAULTY) or self._chance.random() < 0.3:
                return
            await asyncio.sleep(PAUSE_S)

    def _remember(self, order: Order, call: Call) -> None:
        """Remember some of the issued badges for a later revocation."""
        if order.revocable:
            some = list(call.earned.items())[:3]
            self._revocable = [(order.badge_id, *each) for each in some] + self._revocable[:50]

    async def revoke(self, deadline: float) -> None:
        """Revoke an earned badge, if there is one; sometimes twice concurrently."""
        if not self._revocable:
            return
        badge_id, customer, earned_id = self._revocable.pop(self._chance.randrange(len(self._revocable)))
        times = 2 if self._chance.random() < 0.3 else 1
        await asyncio.gather(
            *(self._sender.revoke(badge_id, customer, earned_id, deadline) for _ in range(times))
        )
