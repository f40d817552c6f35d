"""What is kept of a call that may come again."""

from __future__ import annotations

from msgspec import Struct

KEY_CHARS_MAX = 255
"""The longest idempotency key."""


class IdempotentCall(Struct, frozen=True, kw_only=True):
    """A call that may come again, as far as one is told from another."""

    key: str
    """Its idempotency key, unique in its org."""
    key_source: str
    """What the key was sent as: `Idempotency-Key`, or `requestId` where an org's request ids are keys."""
    fingerprint: bytes
    """Of all that it asks for: two calls that ask for the same have the same."""


class StoredResponse(Struct, frozen=True, kw_only=True):
    """What a call was answered."""

    status: int
    body: bytes | None
    """None where the answer is made of a request's outcome again."""
    request_id: str | None
    """Whose outcome that is."""


class Replay(Struct, frozen=True):
    """An answer that was given before."""

    answer: StoredResponse
