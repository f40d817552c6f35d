"""Those who call: they issue, send again, revoke, and write down what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import Struct

from storm.diary import Answer, Badge, Call, Diary, Fate, Revocation
from storm.plan import TRIGGER, Plot

BASE_PATH = "/api_gateway/v1/badges"
DAY_S = 86400.0
STEP_S = 6 * 3600
CLIENT_TIMEOUT_S = 90.0
"""Longer than any bound of the service, so that a call which hangs is seen to."""
PAUSE_S = 0.3
AUDIENCES = ((0.3, 1, 1), (0.5, 2, 60), (0.2, 60, 400))
"""How likely are how many customers."""
Received = tuple[Answer, Any]
"""An answer, and the data of a success."""


class Line:
    """Calls to several addresses of the service under one credential."""

    def __init__(self, origins: Sequence[str], auth: tuple[str, str], chance: random.Random) -> None:
        self._origins = origins
        self._chance = chance
        self._client = httpx.AsyncClient(auth=auth, timeout=CLIENT_TIMEOUT_S)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def send(self, method: str, path: str, **options: Any) -> Received | None:
        """One call to any of the addresses; None where nobody listened there, so that nothing was sent."""
        url = self._chance.choice(self._origins) + BASE_PATH + path
        sent_at = time.time()
        try:
            received = await self._client.request(method, url, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return None
        except httpx.HTTPError as error:
            note = type(error).__name__
            return Answer(fate=Fate.UNKNOWN, sent_at=sent_at, answered_at=time.time(), note=note), None
        return _read(received, sent_at)

    async def send_until(self, deadline: float, method: str, path: str, **options: Any) -> Received | None:
        """Sends until somebody listens; None where nobody did before the deadline."""
        while time.monotonic() < deadline:
            received = await self.send(method, path, **options)
            if received is not None:
                return received
            await asyncio.sleep(PAUSE_S)
        return None


def _read(received: httpx.Response, sent_at: float) -> Received:
    """What an answer means, by the contract."""
    status, body = received.status_code, None
    try:
        body = received.json()
        fate = _fate(status, body)
    except (ValueError, KeyError, TypeError, IndexError):
        fate = Fate.FAULTY
    failed = fate in (Fate.REFUSED, Fate.UNAVAILABLE)
    answer = Answer(
        fate=fate,
        sent_at=sent_at,
        answered_at=time.time(),
        status=status,
        code=body["errors"][0]["code"] if failed and body else None,
        retry_after=received.headers.get("Retry-After", "").isdigit(),
        note=received.text[:300] if fate is Fate.FAULTY else "",
    )
    return answer, body["data"] if fate is Fate.ACKNOWLEDGED and body else None


def _fate(status: int, body: Any) -> Fate:
    if status == 200 and body["data"] is not None:
        return Fate.ACKNOWLEDGED
    if status == 503:
        unknown = "outcome is unknown" in body["errors"][0]["message"]
        return Fate.UNKNOWN if unknown else Fate.UNAVAILABLE
    refused = status in (400, 404, 409) and body["errors"][0]["code"]
    return Fate.REFUSED if refused else Fate.FAULTY


class Order(Struct, frozen=True, kw_only=True):
    """A request as its caller means it, however often it is sent."""

    request_id: str
    badge_id: str
    audience: list[int]
    event: float | None
    single: bool = False
    """Whether it is sent to earn, and not to earnBulk."""
    revocable: bool = False
    """Whether its caller may take it back."""

    def body(self) -> dict[str, Any]:
        """What is sent."""
        customers = {"customerId": self.audience[0]} if self.single else {"customerIds": self.audience}
        date = {} if self.event is None else {"earnEventDate": int(self.event)}
        named = {"badgeMetaId": self.badge_id, "requestId": self.request_id, "triggeredBy": TRIGGER}
        return {**named, **customers, **date}

    @property
    def path(self) -> str:
        """Where to."""
        return "/customer/earn" if self.single else "/customer/earnBulk"


class Sender:
    """Sends orders, and writes down what became of them."""

    def __init__(self, line: Line, diary: Diary) -> None:
        self._line = line
        self._diary = diary

    async def send(self, order: Order, deadline: float) -> Call | None:
        """One sending; None where nobody listened until the deadline."""
        received = await self._line.send_until(deadline, "POST", order.path, json=order.body())
        return None if received is None else self._note(order, received, told=False)

    async def ask(self, order: Order, deadline: float) -> Call | None:
        """What did it do?"""
        received = await self._line.send_until(
            deadline, "GET", "/requests", params={"requestId": order.request_id}
        )
        return None if received is None else self._note(order, received, told=True)

    async def revoke(self, badge_id: str, customer: int, earned_id: str, deadline: float) -> Answer | None:
        """Take one back."""
        body = {"badgeMetaId": badge_id, "customerId": customer, "earnedBadgeId": earned_id}
        received = await self._line.send_until(deadline, "POST", "/customer/revokeEarn", json=body)
        if received is None:
            return None
        self._diary.note(
            Revocation(badge_id=badge_id, customer=customer, earned_id=earned_id, answer=received[0])
        )
        return received[0]

    def _note(self, order: Order, received: Received, *, told: bool) -> Call:
        answer, data = received
        earned, refused = _outcome(order, data)
        call = Call(
            request_id=order.request_id,
            badge_id=order.badge_id,
            audience=order.audience,
            event=order.event,
            answer=answer,
            told=told,
            earned=earned,
            refused=refused,
            until=None if data is None else data["expiresOn"],
        )
        self._diary.note(call)
        return call


def _outcome(order: Order, data: Any) -> tuple[dict[int, str], dict[int, int]]:
    """Who earned what, and who was refused why."""
    if data is None:
        return {}, {}
    if order.single:
        return {data["customerId"]: data["earnedBadgeId"]}, {}
    entries = data["issuedBadges"]
    earned = {entry["customerId"]: entry["issuedId"] for entry in entries if "error" not in entry}
    refused = {entry["customerId"]: entry["error"]["code"] for entry in entries if "error" in entry}
    return earned, refused


class Field:
    """A badge with its customers: where a caller finds the next audience."""

    def __init__(self, plot: Plot, badge: Badge, now: datetime) -> None:
        self.plot = plot
        self.badge_id = badge.badge_id
        self._now = now
        self._front = 500.0

    def order(self, request_id: str, chance: random.Random) -> Order:
        """A request for customers about the front, which moves on as it is called for."""
        [(_, least, most)] = chance.choices(AUDIENCES, [weight for weight, _, _ in AUDIENCES])
        size = chance.randint(least, most)
        span = max(4 * size, 40)
        first = max(1, int(self._front) - chance.randrange(2 * span))
        self._front += size / self.plot.turnover
        audience = chance.sample(range(first, first + span), size)
        return Order(
            request_id=request_id,
            badge_id=self.badge_id,
            audience=audience,
            event=self._event(chance),
            single=size == 1 and chance.random() < 0.5,
            revocable=self.plot.revoked,
        )

    def _event(self, chance: random.Random) -> float | None:
        """Some day in the past; half of them at full hours, where they meet the edges of each other's windows."""
        if not self.plot.days_back:
            return None
        back_s = chance.randrange(int(self.plot.days_back * DAY_S))
        if chance.random() < 0.5:
            back_s -= back_s % STEP_S
        return self._now.astimezone(UTC).timestamp() - back_s


class Caller:
    """One who calls all the time."""

    def __init__(self, name: str, sender: Sender, fields: Sequence[Field], chance: random.Random) -> None:
        self._name = name
        self._sender = sender
        self._fields = fields
        self._chance = chance
        self._sent = 0
        self._revocable: list[tuple[str, int, str]] = []
        self.unsettled: dict[str, Order] = {}
        """By request id: what nobody knows the outcome of."""
        self.settled: list[Order] = []
        """What was acknowledged."""

    async def call_until(self, deadline: float, pace_s: float) -> None:
        """Call, with pauses of about so long in between."""
        while time.monotonic() < deadline:
            await self._step(deadline)
            await asyncio.sleep(self._chance.uniform(0, 2 * pace_s))

    async def _step(self, deadline: float) -> None:
        dice = self._chance.random()
        if dice < 0.08:
            await self.revoke(deadline)
        elif dice < 0.12 and self.settled:
            await self._sender.send(self._chance.choice(self.settled[-50:]), deadline)
        elif dice < 0.17:
            order = self._next()
            await asyncio.gather(self._issue(order, deadline), self._issue(order, deadline))
        else:
            await self._issue(self._next(), deadline)

    def _next(self) -> Order:
        self._sent += 1
        weights = [field.plot.share for field in self._fields]
        [field] = self._chance.choices(self._fields, weights)
        return field.order(f"{self._name}-{self._sent}", self._chance)

    async def _issue(self, order: Order, deadline: float) -> None:
        """Send it; what was not decided is sent again, mostly, until it is."""
        while (call := await self._sender.send(order, deadline)) is not None:
            fate = call.answer.fate
            if fate is Fate.ACKNOWLEDGED:
                self.settled.append(order)
                self.unsettled.pop(order.request_id, None)
                self._remember(order, call)
                return
            if fate is Fate.UNKNOWN:
                self.unsettled[order.request_id] = order
            if fate in (Fate.REFUSED, Fate.FAULTY) or self._chance.random() < 0.3:
                return
            await asyncio.sleep(PAUSE_S)

    def _remember(self, order: Order, call: Call) -> None:
        """Some of what was issued is taken back one day."""
        if order.revocable:
            some = list(call.earned.items())[:3]
            self._revocable = [(order.badge_id, *each) for each in some] + self._revocable[:50]

    async def revoke(self, deadline: float) -> None:
        """Take something back, if there is anything; at times twice at once."""
        if not self._revocable:
            return
        badge_id, customer, earned_id = self._revocable.pop(self._chance.randrange(len(self._revocable)))
        times = 2 if self._chance.random() < 0.3 else 1
        await asyncio.gather(
            *(self._sender.revoke(badge_id, customer, earned_id, deadline) for _ in range(times))
        )
