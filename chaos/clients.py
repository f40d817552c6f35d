"""Clients that issue, retry and revoke concurrently, and record every response in the history."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import Struct

from chaos.history import Attempt, Badge, History, Outcome, Response, Revocation
from chaos.scenario import TRIGGER, Scenario

BASE_PATH = "/api_gateway/v1/badges"
DAY_S = 86400.0
EVENT_STEP_S = 6 * 3600
CLIENT_TIMEOUT_S = 90.0
"""Longer than every timeout of the service, so that a request that hangs is recorded with its duration."""
RETRY_DELAY_S = 0.3
AUDIENCE_SIZES = ((0.3, 1, 1), (0.5, 2, 60), (0.2, 60, 400))
"""Probability, minimum and maximum of the number of customers per request."""
Received = tuple[Response, Any]
"""A response and, if it was acknowledged, its data."""


class ApiClient:
    """Sends requests to several addresses of the service with one credential."""

    def __init__(self, origins: Sequence[str], auth: tuple[str, str], rng: random.Random) -> None:
        self._origins = origins
        self._rng = rng
        self._client = httpx.AsyncClient(auth=auth, timeout=CLIENT_TIMEOUT_S)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, method: str, path: str, **options: Any) -> Received | None:
        """Send a request to a random address.

        Return None if the connection could not be opened, so that nothing was sent.
        """
        url = self._rng.choice(self._origins) + BASE_PATH + path
        sent_at = time.time()
        try:
            response = await self._client.request(method, url, **options)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return None
        except httpx.HTTPError as error:
            detail = type(error).__name__
            broken = Response(
                outcome=Outcome.UNKNOWN, sent_at=sent_at, received_at=time.time(), detail=detail
            )
            return broken, None
        return _classify(response, sent_at)

    async def send_until(self, deadline: float, method: str, path: str, **options: Any) -> Received | None:
        """Send a request, and retry until a connection is opened.

        Return None if that does not succeed before the deadline.
        """
        while time.monotonic() < deadline:
            received = await self.send(method, path, **options)
            if received is not None:
                return received
            await asyncio.sleep(RETRY_DELAY_S)
        return None


def _classify(response: httpx.Response, sent_at: float) -> Received:
    """Determine the outcome of a response according to the contract."""
    status, body = response.status_code, None
    try:
        body = response.json()
        outcome = _outcome(status, body)
    except (ValueError, KeyError, TypeError, IndexError):
        outcome = Outcome.UNEXPECTED
    has_error = outcome in (Outcome.REJECTED, Outcome.UNAVAILABLE)
    recorded = Response(
        outcome=outcome,
        sent_at=sent_at,
        received_at=time.time(),
        status=status,
        error_code=body["errors"][0]["code"] if has_error and body else None,
        has_retry_after=response.headers.get("Retry-After", "").isdigit(),
        detail=response.text[:300] if outcome is Outcome.UNEXPECTED else "",
    )
    return recorded, body["data"] if outcome is Outcome.ACKNOWLEDGED and body else None


def _outcome(status: int, body: Any) -> Outcome:
    if status == 200 and body["data"] is not None:
        return Outcome.ACKNOWLEDGED
    if status == 503:
        is_unknown = "outcome is unknown" in body["errors"][0]["message"]
        return Outcome.UNKNOWN if is_unknown else Outcome.UNAVAILABLE
    is_rejected = status in (400, 404, 409) and body["errors"][0]["code"]
    return Outcome.REJECTED if is_rejected else Outcome.UNEXPECTED


class IssueRequest(Struct, frozen=True, kw_only=True):
    """A request that issues a badge. Every attempt sends the same one."""

    request_id: str
    badge_id: str
    audience: list[int]
    event_at: float | None
    is_single: bool = False
    """Whether to use earn instead of earnBulk."""
    is_revocable: bool = False
    """Whether the client may revoke the earned badges."""

    def body(self) -> dict[str, Any]:
        """Return the request body."""
        customers = {"customerId": self.audience[0]} if self.is_single else {"customerIds": self.audience}
        date = {} if self.event_at is None else {"earnEventDate": int(self.event_at)}
        shared = {"badgeMetaId": self.badge_id, "requestId": self.request_id, "triggeredBy": TRIGGER}
        return {**shared, **customers, **date}

    @property
    def path(self) -> str:
        """Path of the endpoint."""
        return "/customer/earn" if self.is_single else "/customer/earnBulk"


class RecordingClient:
    """Sends requests and records the responses in the history."""

    def __init__(self, api: ApiClient, history: History) -> None:
        self._api = api
        self._history = history

    async def issue(self, request: IssueRequest, deadline: float) -> Attempt | None:
        """Send the request once. Return None if no connection was opened before the deadline."""
        received = await self._api.send_until(deadline, "POST", request.path, json=request.body())
        return None if received is None else self._record(request, received, is_lookup=False)

    async def look_up(self, request: IssueRequest, deadline: float) -> Attempt | None:
        """Look up the result of the request. Return None if no connection was opened before the deadline."""
        received = await self._api.send_until(
            deadline, "GET", "/requests", params={"requestId": request.request_id}
        )
        return None if received is None else self._record(request, received, is_lookup=True)

    async def revoke(
        self, badge_id: str, customer_id: int, earned_badge_id: str, deadline: float
    ) -> Response | None:
        """Revoke an earned badge. Return None if no connection was opened before the deadline."""
        body = {"badgeMetaId": badge_id, "customerId": customer_id, "earnedBadgeId": earned_badge_id}
        received = await self._api.send_until(deadline, "POST", "/customer/revokeEarn", json=body)
        if received is None:
            return None
        response, _ = received
        self._history.append(
            Revocation(
                badge_id=badge_id,
                customer_id=customer_id,
                earned_badge_id=earned_badge_id,
                response=response,
            )
        )
        return response

    def _record(self, request: IssueRequest, received: Received, *, is_lookup: bool) -> Attempt:
        response, data = received
        earned, failed = _results(request, data)
        attempt = Attempt(
            request_id=request.request_id,
            badge_id=request.badge_id,
            audience=request.audience,
            event_at=request.event_at,
            response=response,
            is_lookup=is_lookup,
            earned=earned,
            failed=failed,
            valid_until=None if data is None else data["expiresOn"],
        )
        self._history.append(attempt)
        return attempt


def _results(request: IssueRequest, data: Any) -> tuple[dict[int, str], dict[int, int]]:
    """Return the earned badge id or the error code of each customer."""
    if data is None:
        return {}, {}
    if request.is_single:
        return {data["customerId"]: data["earnedBadgeId"]}, {}
    entries = data["issuedBadges"]
    earned = {entry["customerId"]: entry["issuedId"] for entry in entries if "error" not in entry}
    failed = {entry["customerId"]: entry["error"]["code"] for entry in entries if "error" in entry}
    return earned, failed


class RequestGenerator:
    """Generates the requests for one badge. It is shared by all clients, so that their audiences overlap."""

    def __init__(self, scenario: Scenario, badge: Badge, now: datetime) -> None:
        self.scenario = scenario
        self.badge_id = badge.badge_id
        self._now = now
        self._front = 500.0
        """Customer ids are drawn from near this one, which increases with every request."""

    def next(self, request_id: str, rng: random.Random) -> IssueRequest:
        """Return a new request with a random audience."""
        [(_, smallest, largest)] = rng.choices(AUDIENCE_SIZES, [weight for weight, _, _ in AUDIENCE_SIZES])
        size = rng.randint(smallest, largest)
        span = max(4 * size, 40)
        start = max(1, int(self._front) - rng.randrange(2 * span))
        self._front += size / self.scenario.requests_per_customer
        return IssueRequest(
            request_id=request_id,
            badge_id=self.badge_id,
            audience=rng.sample(range(start, start + span), size),
            event_at=self._event_at(rng),
            is_single=size == 1 and rng.random() < 0.5,
            is_revocable=self.scenario.has_revocations,
        )

    def _event_at(self, rng: random.Random) -> float | None:
        """Return an instant in the past.

        Half of them are multiples of six hours before now, so that events are at the edges of each other's
        windows.
        """
        if not self.scenario.event_days:
            return None
        age_s = rng.randrange(int(self.scenario.event_days * DAY_S))
        if rng.random() < 0.5:
            age_s -= age_s % EVENT_STEP_S
        return self._now.astimezone(UTC).timestamp() - age_s


class LoadClient:
    """Issues, retries and revokes continuously."""

    def __init__(
        self, name: str, client: RecordingClient, generators: Sequence[RequestGenerator], rng: random.Random
    ) -> None:
        self._name = name
        self._client = client
        self._generators = generators
        self._rng = rng
        self._sent = 0
        self._revocable: list[tuple[str, int, str]] = []
        self.unresolved: dict[str, IssueRequest] = {}
        """Requests of unknown outcome, by request id."""
        self.acknowledged: list[IssueRequest] = []

    async def run_until(self, deadline: float, mean_pause_s: float) -> None:
        """Send requests until the deadline, with a random pause after each."""
        while time.monotonic() < deadline:
            await self._step(deadline)
            await asyncio.sleep(self._rng.uniform(0, 2 * mean_pause_s))

    async def _step(self, deadline: float) -> None:
        """Revoke, repeat an acknowledged request, send a request twice concurrently, or send one once."""
        draw = self._rng.random()
        if draw < 0.08:
            await self.revoke(deadline)
        elif draw < 0.12 and self.acknowledged:
            await self._client.issue(self._rng.choice(self.acknowledged[-50:]), deadline)
        elif draw < 0.17:
            request = self._next_request()
            await asyncio.gather(self._issue(request, deadline), self._issue(request, deadline))
        else:
            await self._issue(self._next_request(), deadline)

    def _next_request(self) -> IssueRequest:
        self._sent += 1
        weights = [generator.scenario.weight for generator in self._generators]
        [generator] = self._rng.choices(self._generators, weights)
        return generator.next(f"{self._name}-{self._sent}", self._rng)

    async def _issue(self, request: IssueRequest, deadline: float) -> None:
        """Send the request. After an undetermined outcome, retry with a probability of 70 %."""
        while (attempt := await self._client.issue(request, deadline)) is not None:
            outcome = attempt.response.outcome
            if outcome is Outcome.ACKNOWLEDGED:
                self.acknowledged.append(request)
                self.unresolved.pop(request.request_id, None)
                self._select_for_revocation(request, attempt)
                return
            if outcome is Outcome.UNKNOWN:
                self.unresolved[request.request_id] = request
            if outcome in (Outcome.REJECTED, Outcome.UNEXPECTED) or self._rng.random() < 0.3:
                return
            await asyncio.sleep(RETRY_DELAY_S)

    def _select_for_revocation(self, request: IssueRequest, attempt: Attempt) -> None:
        """Select up to three of the earned badges for a later revocation."""
        if request.is_revocable:
            selected = list(attempt.earned.items())[:3]
            self._revocable = [(request.badge_id, *each) for each in selected] + self._revocable[:50]

    async def revoke(self, deadline: float) -> None:
        """Revoke one of the selected earned badges, if there is one. In 30 % of cases, send it twice concurrently."""
        if not self._revocable:
            return
        badge_id, customer_id, earned_badge_id = self._revocable.pop(
            self._rng.randrange(len(self._revocable))
        )
        times = 2 if self._rng.random() < 0.3 else 1
        await asyncio.gather(
            *(self._client.revoke(badge_id, customer_id, earned_badge_id, deadline) for _ in range(times))
        )
