"""Requests with an idempotency key, and their stored responses."""

from __future__ import annotations

from msgspec import Struct

KEY_CHARS_MAX = 255


class IdempotentCall(Struct, frozen=True, kw_only=True):
    """A request with an idempotency key."""

    key: str
    """Unique in its org."""
    key_source: str
    """The field that the key was sent in: `Idempotency-Key`, or `requestId` for orgs whose request ids are keys."""
    fingerprint: bytes
    """A hash of the request: equal for retries."""


class StoredResponse(Struct, frozen=True, kw_only=True):
    """The response of a request that was executed."""

    status: int
    body: bytes | None
    """None: built again from the outcome of `request_id`."""
    request_id: str | None
