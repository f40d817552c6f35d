"""What keys are for, by their age."""

from __future__ import annotations

from datetime import datetime, timedelta

from cockade.auth.model import TOKEN_TTL_MINUTES_MAX, FailedLogins, SigningKey, SigningKeyInfo


def signing_key_infos(keys: list[SigningKey]) -> list[SigningKeyInfo]:
    """Of keys, the newest first: it signs, and each other one signed until the next came."""
    newer = [None, *(key.created_at for key in keys)]
    return [
        SigningKeyInfo(
            key_id=key.key_id,
            created_at=key.created_at,
            signs=until is None,
            last_token_expires_at=None if until is None else until + timedelta(minutes=TOKEN_TTL_MINUTES_MAX),
        )
        for key, until in zip(keys, newer, strict=False)
    ]


def allowed_from(failed_logins: FailedLogins, window: timedelta) -> datetime | None:
    """From when a guess is let through again; None: it is now.

    Where the name is known from this address, only the guesses of this name from here count: strangers cannot lock
    their victim out, nor can a neighbour behind the same address who has a secret wrong.
    """
    if failed_logins.last_success_at is not None:
        full = [failed_logins.pair_full_at]
    else:
        full = [failed_logins.username_full_at, failed_logins.address_full_at]
    return max((at + window for at in full if at is not None), default=None)


def should_record_success(failed_logins: FailedLogins, now: datetime, for_at_least: timedelta) -> bool:
    """Whether a proof is worth a write: it clears guesses, or was not noted for so long."""
    noted = failed_logins.last_success_at
    return failed_logins.pair_failed or noted is None or noted <= now - for_at_least
