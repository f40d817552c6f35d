"""Rules for signing keys and failed logins."""

from __future__ import annotations

from datetime import datetime, timedelta

from cockade.auth.model import TOKEN_TTL_MINUTES_MAX, FailedLogins, SigningKey, SigningKeyInfo


def signing_key_infos(keys: list[SigningKey]) -> list[SigningKeyInfo]:
    """Describe the keys, given newest first. The newest signs; each of the others signed until the next one
    was created.
    """
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
    """Return when the next login attempt is allowed, or None if it is allowed now.

    If the username is known from this address, only its own failures from this address count. So other
    addresses cannot lock out a user, and neither can a different user behind the same address.
    """
    if failed_logins.last_success_at is not None:
        full = [failed_logins.pair_full_at]
    else:
        full = [failed_logins.username_full_at, failed_logins.address_full_at]
    return max((at + window for at in full if at is not None), default=None)


def should_record_success(failed_logins: FailedLogins, now: datetime, for_at_least: timedelta) -> bool:
    """Whether to record a successful login: it deletes failures, or the last record is too old."""
    noted = failed_logins.last_success_at
    return failed_logins.pair_failed or noted is None or noted <= now - for_at_least
