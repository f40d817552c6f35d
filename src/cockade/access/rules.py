"""What keys are for, by their age."""

from __future__ import annotations

from datetime import timedelta

from cockade.access.model import TOKEN_TTL_MINUTES_MAX, KeyState, SigningKey


def key_states(keys: list[SigningKey]) -> list[KeyState]:
    """Of keys, the newest first: it signs, and each other one signed until the next came."""
    newer = [None, *(key.created_at for key in keys)]
    return [
        KeyState(
            key_id=key.key_id,
            created_at=key.created_at,
            signs=until is None,
            last_token_ends_at=None if until is None else until + timedelta(minutes=TOKEN_TTL_MINUTES_MAX),
        )
        for key, until in zip(keys, newer, strict=False)
    ]
